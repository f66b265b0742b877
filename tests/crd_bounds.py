"""The bounds of the CRD, held against an object as the API server does it."""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]


def over_bounds(schema: Schema, value: Any, path: str = "status") -> Iterator[str]:
    """Yield the place of each text, list and map that is longer than its schema lets it be."""
    for bound in ("maxLength", "maxItems", "maxProperties"):
        if bound in schema and len(value) > schema[bound]:
            yield f"{path}: {len(value)}, {bound} is {schema[bound]}"
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from over_bounds(schema["items"], each, f"{path}[{number}]")
    if isinstance(value, dict):
        members = schema.get("properties", {})
        for name, each in value.items():
            member = members.get(name) or schema["additionalProperties"]
            yield from over_bounds(member, each, f"{path}.{name}")
