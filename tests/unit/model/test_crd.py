"""The schema is structural, bounded and described; tests/cluster asks the API server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from whimbrel.model.bounds import SENTENCES
from whimbrel.model.crd import crd, crd_text
from whimbrel.model.reference import reference_text

ROOT = Path(__file__).parents[3]
LIMIT = 262_144  # bytes: kubectl apply keeps a copy in an annotation, which is not larger
VERSION = crd()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every schema with its path."""
    yield path, schema
    for name, member in schema.get("properties", {}).items():
        yield from nodes(member, f"{path}.{name}".removeprefix("."))
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


NODES = dict(nodes(SCHEMA))
WRITTEN = {path: node for path, node in NODES.items() if path.startswith(("spec", "status"))}


def faulty(wrong) -> list[str]:
    """Return the paths below spec and status for which `wrong` is true."""
    return [path for path, node in WRITTEN.items() if wrong(node)]


def test_files_are_up_to_date():
    generated = crd_text()
    assert (ROOT / "crds/whimbrel.dev_databasemigrations.yaml").read_text() == generated
    assert (ROOT / "charts/whimbrel/files/crd.yaml").read_text() == generated
    assert (ROOT / "docs/reference.md").read_text() == reference_text()
    assert yaml.safe_load(generated) == crd()


def test_fits_an_annotation():
    assert len(crd_text().encode()) < LIMIT


def test_nothing_is_said_that_a_structural_schema_may_not_say():
    forbidden = {"$ref", "$defs", "anyOf", "allOf", "oneOf", "const", "title", "propertyNames"}
    forbidden |= {"patternProperties", "pattern"}
    assert faulty(lambda node: forbidden & node.keys()) == []
    assert faulty(lambda node: node.get("additionalProperties") is False) == []
    assert faulty(lambda node: "type" not in node) == []


def test_everything_is_bounded():
    # What is unbounded counts as huge in the price of a CEL rule, and the CRD is refused for it.
    assert faulty(lambda n: n["type"] == "string" and not {"maxLength", "enum"} & n.keys()) == []
    assert faulty(lambda n: n["type"] == "array" and "maxItems" not in n) == []
    assert faulty(lambda n: "additionalProperties" in n and "maxProperties" not in n) == []


def test_every_list_says_how_it_is_merged():
    assert faulty(lambda n: n["type"] == "array" and "x-kubernetes-list-type" not in n) == []


def test_every_field_is_described():
    undescribed = faulty(lambda node: not node.get("description"))
    assert [path for path in undescribed if not path.endswith("[]")] == []


def test_every_rule_is_one_sentence_without_its_expression():
    for path, node in NODES.items():
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"], path
            assert "self" not in rule["message"], path
            assert "\n" not in rule["message"], path


def test_every_sentence_is_used():
    said = [r["message"] for n in NODES.values() for r in n.get("x-kubernetes-validations", [])]
    assert [text for text in SENTENCES.values() if text not in said] == []


def test_an_object_that_nobody_has_looked_at_is_not_ready():
    assert SCHEMA["properties"]["status"]["default"] == {"observedGeneration": -1}
    assert [
        path for path in WRITTEN if path.startswith("status.") and "default" in NODES[path]
    ] == []


def test_defaults_are_declared_wherever_the_model_has_one():
    whole = {"lockTimeout": "100ms", "lockHold": "2s", "progressDeadline": "1h"}
    assert NODES["spec.limits"]["default"] == whole
    assert NODES["spec.limits.lockTimeout"]["default"] == "100ms"
    assert NODES["spec.rollback.keepSalvage"]["default"] == "168h"
    assert NODES["spec.suspend"]["default"] is False
    required = SCHEMA["properties"]["spec"]["required"]
    assert required == ["database", "migrations"]


def test_names_and_columns():
    names = crd()["spec"]["names"]
    assert (names["kind"], names["shortNames"]) == ("DatabaseMigration", ["dbm"])
    columns = [column["name"] for column in VERSION["additionalPrinterColumns"]]
    narrow = ["Database", "Strategy", "Phase", "Revision", "Progress", "Ready", "Age"]
    assert columns == [*narrow, "Active", "Message"]
    assert all(each["priority"] == 1 for each in VERSION["additionalPrinterColumns"][-2:])
    assert VERSION["subresources"] == {"status": {}}
