"""`parse_spec` refuses what the API server refuses, in the same words."""

import pytest

from tests.checkpoint_refusals import CHECKPOINT_REFUSALS
from tests.refusals import (
    ALEMBIC,
    DJANGO,
    PRISMA,
    REFUSALS,
    SEQUELIZE,
    SQL,
    TYPEORM,
    Refusal,
    changed,
)
from tests.release_refusals import RELEASE_REFUSALS
from whimbrel.model.errors import SpecError
from whimbrel.model.spec import Tool, parse_spec


@pytest.mark.parametrize(
    "refusal",
    [*REFUSALS, *RELEASE_REFUSALS, *CHECKPOINT_REFUSALS],
    ids=lambda each: each.id,
)
def test_a_wrong_spec_is_refused_in_one_sentence(refusal: Refusal):
    with pytest.raises(SpecError) as caught:
        parse_spec(refusal.spec())
    assert (refusal.here or refusal.sentence) in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("change", "place"),
    [
        pytest.param({"limits": {"lockTime": "1s"}}, "spec.limits.lockTime", id="unknown field"),
        pytest.param({"migrations": None}, "spec.migrations", id="nothing where an object belongs"),
    ],
)
def test_the_sentence_begins_with_the_field(change, place):
    with pytest.raises(SpecError, match=f"^{place}: "):
        parse_spec(changed(SQL, change))


@pytest.mark.parametrize(
    "name", ["x" * 63, "Straße", 'a"b', "a.b", " ", "select", "a\nb"], ids=repr
)
def test_every_other_identifier_is_legal(name: str):
    spec = parse_spec(changed(SQL, {"database.ledgerSchema": name}))
    assert spec.database.ledger_schema == name


@pytest.mark.parametrize(
    "base",
    [SQL, ALEMBIC, DJANGO, PRISMA, SEQUELIZE, TYPEORM],
    ids=lambda each: each["migrations"]["tool"],
)
def test_what_was_parsed_reads_back_as_itself(base):
    spec = parse_spec(base)
    assert parse_spec(spec.model_dump(by_alias=True)) == spec
    assert parse_spec(spec.model_dump(by_alias=True, mode="json", exclude_defaults=True)) == spec


def test_defaults_are_the_careful_choice():
    spec = parse_spec(SQL)
    assert spec.migrations.tool is Tool.SQL
    assert spec.migrations.to == "head"
    assert (spec.limits.lock_timeout, spec.limits.lock_hold) == (0.1, 2.0)
    assert spec.rollback.keep_salvage == 7 * 24 * 3600
    assert (spec.suspend, spec.deletion_policy) == (False, "Retain")
