"""The reference of the custom resource as Markdown: every field, from the same schema as the CRD.

``python -m whimbrel.model.reference`` writes it to standard output.
"""

import json
import sys
from collections.abc import Iterator
from typing import Final

from whimbrel.model.bounds import SENTENCES
from whimbrel.model.crd import GROUP, KIND, RULES, VERSION, Schema, spec_schema, status_schema

_HEAD: Final = f"""# Reference: {KIND}

Generated from `whimbrel/model` by `make crds`. API group `{GROUP}`, version `{VERSION}`, short
name `dbm`. `kubectl explain dbm.spec --recursive` shows the same. What is not *required* may be
left out. Durations are written as in Go: `100ms`, `30s`, `5m`, `1h30m`; sizes as `512Mi`, `1Gi`.
"""


def reference_text() -> str:
    """Return the Markdown text."""
    parts = (_HEAD, _section("spec", spec_schema()), _section("status", status_schema()))
    return "\n".join(parts)


def _section(name: str, schema: Schema) -> str:
    head = [f"## {name}", "", "| field | type | default | meaning |", "|---|---|---|---|"]
    rows = [*head, *_rows(name, schema)]
    refusals = list(_refusals(name, schema))
    if refusals:
        rows += ["", "Refused by the API server, with these words:", "", *refusals]
    return "\n".join(rows) + "\n"


def _rows(path: str, schema: Schema) -> Iterator[str]:
    """Yield a table row for each member, and for the members of that member."""
    for name, member in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        required = name in schema.get("required", ())
        yield _row(here, member, required=required)
        below = member.get("items", member)
        yield from _rows(here + "[]" * ("items" in member), below)


def _row(path: str, schema: Schema, *, required: bool) -> str:
    default = "*required*" if required else _default(schema)
    return f"| `{path}` | {_type(schema)} | {default} | {schema['description']} |"


def _default(schema: Schema) -> str:
    value = schema.get("default", "")
    if isinstance(value, dict) or value in ([], ""):
        return ""
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def _type(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" if value else "empty" for value in schema["enum"])
    if "items" in schema:
        return f"list of at most {schema['maxItems']}"
    if "additionalProperties" in schema:
        return f"map of at most {schema['maxProperties']}"
    if "maxLength" in schema:
        return f"string, at most {schema['maxLength']}"
    return str(schema["type"])


def _refusals(path: str, schema: Schema) -> Iterator[str]:
    """Yield the messages of the rules that speak of more than one field's form."""
    for rule in schema.get(RULES, []):
        if rule["message"].removeprefix("keys: ") not in SENTENCES.values():
            yield f"- `{path}`: {rule['message']}"
    for name, member in schema.get("properties", {}).items():
        yield from _refusals(f"{path}.{name}", member)
    if "items" in schema:
        yield from _refusals(f"{path}[]", schema["items"])


if __name__ == "__main__":
    sys.stdout.write(reference_text())
