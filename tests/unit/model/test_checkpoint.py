"""Sizes as an author writes them, and what a checkpoint is without a word of his."""

import pytest

from tests.refusals import SQL, changed
from whimbrel.model.checkpoint import OnConflict, OnLaterRun, Scope, format_bytes, parse_bytes
from whimbrel.model.crd import spec_schema
from whimbrel.model.spec import parse_spec


@pytest.mark.parametrize(
    ("text", "size"), [("1Gi", 2**30), ("512Mi", 2**29), ("2Ti", 2**41), ("1500", 1500)]
)
def test_a_size_reads_back_as_itself(text: str, size: int):
    assert parse_bytes(text) == size
    assert parse_bytes(format_bytes(size)) == size


@pytest.mark.parametrize("text", ["", "1GB", "-1Gi", "1.5Gi", "0", "0Mi", "Gi", " 1Gi"])
def test_what_is_no_size_is_refused(text: str):
    with pytest.raises(ValueError, match="512Mi"):
        parse_bytes(text)


def test_defaults_are_the_careful_choice():
    asked = parse_spec(changed(SQL, {"checkpoint": {}})).checkpoint
    assert asked is not None
    assert (asked.scope, asked.on_later_run) == (Scope.AUTO, OnLaterRun.CLOSE)
    assert (asked.on_conflict, asked.keep_for) == (OnConflict.RECORD, 24 * 3600)
    assert asked.max_journal == 2**30


def test_the_schema_says_the_defaults_as_an_author_would():
    members = spec_schema()["properties"]["checkpoint"]["properties"]
    assert members["maxJournal"]["default"] == "1Gi"
    assert members["keepFor"]["default"] == "24h"


def test_a_wish_for_a_checkpoint_reads_back_as_itself():
    wish = {
        "scope": "Tables",
        "tables": [{"name": "users"}, {"schema": "shop", "name": "orders"}],
        "mappings": [{"table": {"name": "users"}, "from": "mail", "to": "email"}],
    }
    spec = parse_spec(changed(SQL, {"checkpoint": wish, "strategy": {"type": "Checkpoint"}}))
    assert parse_spec(spec.model_dump(by_alias=True, mode="json")) == spec
