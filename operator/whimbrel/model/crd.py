"""The CustomResourceDefinition, generated from the models of spec and status.

``python -m whimbrel.model.crd`` writes it to standard output; `make crds` keeps the files that
are checked in. What a structural schema must look like:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

import yaml
from pydantic import BaseModel

from whimbrel.model.bounds import SENTENCES, format_duration, rules
from whimbrel.model.checkpoint import format_bytes
from whimbrel.model.spec import Spec
from whimbrel.model.status import Status

GROUP: Final = "whimbrel.dev"
VERSION: Final = "v1alpha1"
KIND: Final = "DatabaseMigration"
PLURAL: Final = "databasemigrations"

Schema = dict[str, Any]

RULES: Final = "x-kubernetes-validations"
_LIST_TYPE: Final = "x-kubernetes-list-type"
# Said by pydantic, refused or ignored by the API server. `additionalProperties: false` is not
# allowed beside `properties`: unknown fields are pruned, and kubectl refuses them (--validate).
_NOT_STRUCTURAL: Final = ("title", "const", "propertyNames", "patternProperties", "$defs")
_NAME_LIMIT: Final = rules(
    (
        "size(self.metadata.name) <= 63",
        "metadata.name may have 63 characters at most: it is a label of the Jobs",
    )
)
_COLUMNS: Final = (
    ("Database", "string", ".status.database"),
    ("Strategy", "string", ".spec.strategy.type"),
    ("Phase", "string", ".status.phase"),
    ("Revision", "string", ".status.revision"),
    ("Progress", "string", ".status.progress"),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status'),
    ("Age", "date", ".metadata.creationTimestamp"),
)
_WIDE_COLUMNS: Final = (
    ("Active", "string", ".status.active"),
    ("Message", "string", ".status.message"),
)


def crd() -> dict[str, Any]:
    """Return the CustomResourceDefinition as it is applied."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": _names(),
            "versions": [_version()],
        },
    }


def crd_text() -> str:
    """Return the YAML text of the CustomResourceDefinition."""
    comment = "# Generated from whimbrel/model by `make crds`. Change the models instead.\n"
    # Through JSON, so that no two places share a list: YAML would write anchors for them.
    separate = json.loads(json.dumps(crd()))
    return comment + yaml.safe_dump(separate, sort_keys=False, width=100, allow_unicode=True)


def spec_schema() -> Schema:
    """Return the structural schema of `spec`."""
    return _schema_of(Spec)


def status_schema() -> Schema:
    """Return the structural schema of `status`.

    Only `observedGeneration` has a default: without it an object that nobody has looked at
    counts as ready (kstatus), and any other default would state something nobody has read.
    """
    schema = _without_defaults(_schema_of(Status))
    return schema | {"default": {"observedGeneration": -1}}


def _names() -> Schema:
    return {
        "kind": KIND,
        "listKind": f"{KIND}List",
        "plural": PLURAL,
        "singular": PLURAL.removesuffix("s"),
        "shortNames": ["dbm"],
        "categories": ["databases"],
    }


def _version() -> Schema:
    columns = [{"name": name, "type": kind, "jsonPath": path} for name, kind, path in _COLUMNS]
    wide = [
        {"name": name, "type": kind, "jsonPath": path, "priority": 1}
        for name, kind, path in _WIDE_COLUMNS
    ]
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [*columns, *wide],
        "schema": {"openAPIV3Schema": _object_schema()},
    }


def _object_schema() -> Schema:
    return {
        "type": "object",
        "description": "A migration of one database, carried out once and taken back if it fails.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}."},
            "kind": {"type": "string", "description": f"{KIND}."},
            "metadata": {"type": "object"},
            "spec": spec_schema(),
            "status": status_schema(),
        },
        **_NAME_LIMIT,
    }


def _schema_of(model: type[BaseModel]) -> Schema:
    generated = model.model_json_schema(by_alias=True)
    return _structural(generated, generated.get("$defs", {}))


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return what the API server accepts in place of what pydantic says."""
    node = _resolved(node, definitions)
    schema = {key: value for key, value in node.items() if key not in _NOT_STRUCTURAL}
    if "const" in node:
        schema["enum"] = [node["const"]]
    if schema["type"] == "integer":
        schema["format"] = "int64"
    _add_members(schema, node, definitions)
    _add_default(schema)
    _add_sentence(schema, node)
    return schema


def _resolved(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return the node with its reference inlined and `or null` taken away."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        own = {key: value for key, value in node.items() if key != "$ref"}
        return _resolved({**definitions[name], **own}, definitions)
    if "anyOf" not in node:
        return node
    (wanted,) = (each for each in node["anyOf"] if each.get("type") != "null")
    own = {key: value for key, value in node.items() if key != "anyOf"}
    return _resolved({**wanted, **own}, definitions)


def _add_default(schema: Schema) -> None:
    default = schema.pop("default", None)
    if default is None:
        return
    if schema["type"] == "string" and isinstance(default, float):
        default = format_duration(default)
    if schema["type"] == "string" and isinstance(default, int):
        default = format_bytes(default)
    # Whole, not {}: the rules of the object are asked about its default before any member of it
    # has got one of its own (the API server refuses the CRD: "no such key").
    members = schema.get("properties", {}).items()
    whole = {name: member["default"] for name, member in members if "default" in member}
    schema["default"] = whole if schema["type"] == "object" else default


def _add_members(schema: Schema, node: Schema, definitions: Mapping[str, Schema]) -> None:
    if schema["type"] == "array":
        schema["items"] = _structural(node["items"], definitions)
        schema.setdefault(_LIST_TYPE, "atomic")
    if schema["type"] == "object":
        _add_object_members(schema, node, definitions)


def _add_object_members(schema: Schema, node: Schema, definitions: Mapping[str, Schema]) -> None:
    schema.pop("additionalProperties", None)
    values = [*node.get("patternProperties", {}).values(), node.get("additionalProperties")]
    if "properties" in node:
        members = node["properties"].items()
        schema["properties"] = {name: _structural(each, definitions) for name, each in members}
    elif isinstance(values[0], dict):
        schema["additionalProperties"] = _structural(values[0], definitions)


def _add_sentence(schema: Schema, node: Schema) -> None:
    """Put a rule with a sentence in the place of a regular expression."""
    pattern = schema.pop("pattern", None)
    if pattern is not None:
        # The pattern wants at least one character, so one sentence is enough for "" as well.
        schema.pop("minLength", None)
        _add_rule(schema, f"self.matches(r'{pattern}')", SENTENCES[pattern])
    for keys in node.get("patternProperties", {}):
        _add_rule(schema, f"self.all(key, key.matches(r'{keys}'))", "keys: " + SENTENCES[keys])


def _add_rule(schema: Schema, rule: str, message: str) -> None:
    schema[RULES] = [*schema.get(RULES, []), *rules((rule, message))[RULES]]


def _without_defaults(schema: Schema) -> Schema:
    kept = {key: value for key, value in schema.items() if key != "default"}
    if "properties" in kept:
        members = kept["properties"].items()
        kept["properties"] = {name: _without_defaults(each) for name, each in members}
    if "items" in kept:
        kept["items"] = _without_defaults(kept["items"])
    return kept


if __name__ == "__main__":
    sys.stdout.write(crd_text())
