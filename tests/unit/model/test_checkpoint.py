"""Sizes as an author writes them, and what a checkpoint is without a word of his."""

import pytest

from tests.refusals import SQL, changed
from whimbrel.model.checkpoint import (
    SHOWN,
    CheckpointStatus,
    OnConflict,
    OnLaterRun,
    Scope,
    format_bytes,
    parse_bytes,
)
from whimbrel.model.crd import spec_schema
from whimbrel.model.result import MESSAGE_LIMIT, Outcome, Result, decode_result, encode_result
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


def test_an_answer_with_a_large_checkpoint_fits_its_message_and_keeps_what_counts():
    kept = CheckpointStatus(
        id="r" * 40,
        state="Ready",
        tables=tuple("ä" * 253 for _ in range(SHOWN)),
        kept_until="2026-11-26T12:00:00Z",
        reason='"' * 1024,
    )
    result = Result(
        outcome=Outcome.DONE, run="r" * 40, segment="Migrate", attempt=1, reason="Applied",
        message="\u0001" * 4000, checkpoint=kept, plan="x" * 9000, checks="y" * 2600,
    )  # fmt: skip
    text = encode_result(result)
    assert len(text.encode()) <= MESSAGE_LIMIT
    told = decode_result(text)
    assert told is not None
    assert told.checkpoint is not None
    assert (told.checkpoint.id, told.checkpoint.state) == (kept.id, "Ready")
