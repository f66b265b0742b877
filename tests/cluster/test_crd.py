"""What the real API server refuses, in which words; through kubectl only."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint_refusals import CHECKPOINT_REFUSALS
from tests.cluster.kube import ROOT, kubectl
from tests.refusals import ALEMBIC, REFUSALS, SQL, Refusal, changed
from tests.release_refusals import RELEASE_REFUSALS

pytestmark = pytest.mark.cluster
IMMUTABLE = "database is immutable: create another object for another database"
# The API server adds this line where a missing or overlong field keeps it from asking the rules.
RULES_NOT_ASKED = "* <nil>: Invalid value: null: some validation rules were not checked"


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """Return a namespace for the objects of this file."""
    name = f"crd-{uuid.uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def manifest(spec: dict, name: str = "shop") -> str:
    """Return the text of a suspended object: only the API server has a say about it."""
    head = {"apiVersion": "whimbrel.dev/v1alpha1", "kind": "DatabaseMigration"}
    return json.dumps(head | {"metadata": {"name": name}, "spec": {"suspend": True, **spec}})


def apply(namespace: str, text: str, *, fine: bool = False) -> str:
    """`kubectl apply` and what it said."""
    return kubectl("-n", namespace, "apply", "-f", "-", given=text, fine=fine)


def complaints(said: str) -> list[str]:
    """Return the sentences of a refusal, without kubectl's words around them."""
    _, found, rest = said.strip().partition(" is invalid: ")
    assert found, said
    lines = [line for line in rest.splitlines() if line and not line.startswith(RULES_NOT_ASKED)]
    return [line.removeprefix("* ") for line in lines]


@pytest.mark.parametrize(
    "refusal",
    [*REFUSALS, *RELEASE_REFUSALS, *CHECKPOINT_REFUSALS],
    ids=lambda each: each.id,
)
def test_a_wrong_object_is_refused_in_one_sentence(namespace: str, refusal: Refusal):
    (complaint,) = complaints(apply(namespace, manifest(refusal.spec(), "wrong")))
    assert complaint.startswith(f"{refusal.place}: ")
    assert complaint.endswith(refusal.sentence)


def test_an_unknown_field_is_refused(namespace: str):
    said = apply(namespace, manifest(changed(SQL, {"limits.lockTime": "1s"}), "wrong"))
    assert 'unknown field "spec.limits.lockTime"' in said


def test_a_long_name_is_refused(namespace: str):
    (complaint,) = complaints(apply(namespace, manifest(SQL, "x" * 64)))
    assert complaint.endswith(
        "metadata.name may have 63 characters at most: it is a label of the Jobs"
    )
    assert "created" in apply(namespace, manifest(SQL, "x" * 63), fine=True)


@pytest.mark.parametrize(
    "name", ["x" * 63, "é" * 63, 'a"b', "a.b", " ", "select", "a\nb", "$1"], ids=repr
)
def test_every_other_identifier_is_legal(namespace: str, name: str):
    text = manifest(changed(SQL, {"migrations.history": name}), "legal")
    assert apply(namespace, text, fine=True)
    stored = json.loads(kubectl("-n", namespace, "get", "dbm", "legal", "-o", "json"))
    assert stored["spec"]["migrations"]["history"] == name


FULL = changed(
    ALEMBIC,
    {
        "database.tls.caFrom.configMapKeyRef": {"name": "ca", "key": "ca.crt"},
        "database.runRole.secretKeyRef": {"name": "runs", "key": "url"},
    },
)
EDITS = (
    pytest.param({"op": "replace", "value": "other"}, "urlFrom/secretKeyRef/name", id="URL edited"),
    pytest.param({"op": "replace", "value": "other"}, "ledgerSchema", id="ledger schema edited"),
    pytest.param({"op": "remove"}, "tls", id="optional member removed"),
    pytest.param({"op": "remove"}, "runRole", id="run role removed"),
)


@pytest.mark.parametrize(("edit", "member"), EDITS)
def test_the_database_cannot_be_edited(namespace: str, edit: dict, member: str):
    apply(namespace, manifest(FULL, "full"), fine=True)
    patch = json.dumps([edit | {"path": f"/spec/database/{member}"}])
    words = ("patch", "dbm", "full", "--type=json", "-p", patch)
    (complaint,) = complaints(kubectl("-n", namespace, *words, fine=False))
    assert complaint == f'spec: Invalid value: "object": {IMMUTABLE}'


def test_the_database_cannot_get_another_member(namespace: str):
    apply(namespace, manifest(SQL, "plain"), fine=True)
    tls = {"configMapKeyRef": {"name": "ca", "key": "ca.crt"}}
    said = apply(namespace, manifest(changed(SQL, {"database.tls.caFrom": tls}), "plain"))
    assert complaints(said) == [f'spec: Invalid value: "object": {IMMUTABLE}']


@pytest.mark.parametrize(
    ("path", "place"), [("/spec/database", "spec.database"), ("/spec", "spec")]
)
def test_the_database_cannot_be_removed(namespace: str, path: str, place: str):
    apply(namespace, manifest(SQL, "plain"), fine=True)
    patch = json.dumps([{"op": "remove", "path": path}])
    words = ("patch", "dbm", "plain", "--type=json", "-p", patch)
    assert complaints(kubectl("-n", namespace, *words, fine=False)) == [f"{place}: Required value"]


def test_what_is_applied_again_is_unchanged_and_the_rest_may_change(namespace: str):
    apply(namespace, manifest(SQL, "again"), fine=True)
    assert "unchanged" in apply(namespace, manifest(SQL, "again"), fine=True)
    bumped = changed(SQL, {"migrations.to": "001"})
    assert "configured" in apply(namespace, manifest(bumped, "again"), fine=True)


def test_defaults_and_columns(namespace: str):
    apply(namespace, manifest(SQL, "columns"), fine=True)
    stored = json.loads(kubectl("-n", namespace, "get", "dbm", "columns", "-o", "json"))
    assert stored["spec"]["limits"]["lockTimeout"] == "100ms"
    assert stored["spec"]["strategy"] == {"type": "Transactional"}
    header, *_ = kubectl("-n", namespace, "get", "dbm").splitlines()
    narrow = ["NAME", "DATABASE", "STRATEGY", "PHASE", "REVISION", "PROGRESS", "READY", "AGE"]
    assert header.split() == narrow
    wide, *_ = kubectl("-n", namespace, "get", "dbm", "-o", "wide").splitlines()
    assert wide.split() == [*narrow, "ACTIVE", "MESSAGE"]


def test_explain_knows_every_field():
    said = kubectl("explain", "dbm.spec.database.ledgerSchema")
    assert "Schema of the ledger; a DBA may create it beforehand." in said


EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_accepted(namespace: str, path: Path):
    said = kubectl("-n", namespace, "apply", "--dry-run=server", "-f", str(path))
    assert "databasemigration.whimbrel.dev/" in said
