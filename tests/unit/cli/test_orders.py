from pathlib import Path

import pytest

from whimbrel.cli.commands.resolve import Verdict, resolved
from whimbrel.cli.manifest import Manifest
from whimbrel.cli.orders import (
    Errand,
    after_result,
    begin_attempt,
    fresh_record,
    order_of,
    record_of,
)
from whimbrel.cli.record import LocalRun, Record, closed_run
from whimbrel.model.order import Known, Resolution
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome, Result
from whimbrel.model.spec import parse_spec
from whimbrel.model.status import RunState

UP = Errand(Segment.MIGRATE, run="new", at=100)


def manifest(**migrations: object) -> Manifest:
    source = {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 1"}}}
    spec = {
        "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
        "migrations": source | migrations,
    }
    return Manifest(Path("/shop.yaml"), "", "shop", parse_spec(spec), {})


def seen(record: Record | None = None, wanted: Manifest | None = None) -> Record:
    wanted = wanted or manifest()
    return record_of(record, wanted, fresh_record(wanted, "team", "uid"))


def ended(outcome: Outcome, **more: object) -> Result:
    fields = {"run": "new", "segment": "Migrate", "attempt": 1, "reason": "R", "message": "m"}
    return Result(outcome=outcome, **fields | more)


def test_the_first_attempt_of_a_new_object():
    record = begin_attempt(seen(), UP)
    order = order_of(record, manifest().spec, "local:here", 5.0)
    assert (order.run, order.attempt, order.number) == ("new", 1, 100)
    assert (order.owner(), order.cluster, order.deadline) == ("team/shop", "local:here", 5.0)


@pytest.mark.parametrize(
    ("outcome", "run", "attempt"),
    [
        pytest.param(None, "new", 2, id="killed: goes on"),
        pytest.param(Outcome.NOT_FINISHED, "new", 2, id="not finished: goes on"),
        pytest.param(Outcome.HELD, "next", 1, id="held: another run, unless it is resolved"),
        pytest.param(Outcome.DONE, "next", 1, id="done: another run"),
        pytest.param(Outcome.FAILED, "next", 1, id="failed: another run"),
        pytest.param(Outcome.REFUSED, "next", 1, id="refused: another run"),
    ],
)
def test_what_the_next_command_does_after_an_end(outcome, run, attempt):
    record = begin_attempt(seen(), UP)
    if outcome is not None:
        record = after_result(record, ended(outcome), "now")
    record = begin_attempt(seen(record), Errand(Segment.MIGRATE, run="next", at=50))
    assert record.run is not None
    assert (record.run.id, record.run.attempt) == (run, attempt)


@pytest.mark.parametrize(
    "errand",
    [
        pytest.param(Errand(Segment.ROLLBACK, run="next", at=50), id="another segment"),
        pytest.param(Errand(Segment.ROLLBACK, run="next", at=50, to="base"), id="another target"),
    ],
)
def test_another_errand_is_another_run(errand):
    record = begin_attempt(begin_attempt(seen(), UP), errand)
    assert record.run == LocalRun(
        id="next", number=101, segment=errand.segment, to=errand.to, spec_digest=record.spec_digest
    )


def test_an_edited_spec_is_another_run_with_a_higher_number():
    record = seen(begin_attempt(seen(), UP), manifest(to="001"))
    following = begin_attempt(record, Errand(Segment.MIGRATE, run="next", at=50)).run
    assert following is not None
    assert (following.id, following.number) == ("next", 101)


def test_a_consent_to_data_loss_is_no_other_spec():
    wanted = manifest()
    spec = wanted.spec.model_copy(update={"rollback": parse_spec_with_consent(wanted).rollback})
    consented = Manifest(wanted.path, "", "shop", spec, {})
    assert seen(seen(), consented).spec_digest == seen().spec_digest
    assert spec.rollback.allow_data_loss is not None


def parse_spec_with_consent(wanted: Manifest):
    raw = wanted.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    raw["rollback"]["allowDataLoss"] = {"by": "me", "reason": "told so"}
    return parse_spec(raw)


def test_what_the_ledger_must_not_be_older_than_is_kept_and_never_falls():
    record = begin_attempt(seen(), UP)
    record = after_result(record, ended(Outcome.DONE, epoch=7, database_uuid="u"), "now")
    record = after_result(record, ended(Outcome.REFUSED, epoch=0), "now")
    assert record.known == Known(database="u", epoch=7)
    record = after_result(record, ended(Outcome.DONE, epoch=2, database_uuid="other"), "now")
    assert record.known == Known(database="other", epoch=2)


def test_another_database_is_a_fresh_start_that_keeps_the_project():
    kept = seen().model_copy(update={"known": Known(database="u", epoch=7), "project": "/p"})
    other = fresh_record(manifest(), "team", "uid").model_copy(update={"database": "db:5432/x"})
    record = record_of(kept, manifest(), other)
    assert (record.known, record.run, record.project) == (Known(), None, "/p")


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        pytest.param(Outcome.NOT_FINISHED, True, id="not used yet"),
        pytest.param(Outcome.DONE, False, id="used"),
        pytest.param(Outcome.HELD, False, id="held for another reason"),
    ],
)
def test_an_answer_to_held_is_used_once(outcome, kept):
    answer = Resolution(verdict="TakeOver", run="new", by="me", reason="r")
    record = begin_attempt(seen(), UP).model_copy(update={"resolution": answer})
    assert (after_result(record, ended(outcome), "now").resolution is not None) is kept


def test_a_retry_is_a_new_run_with_a_token_that_ends_with_it():
    record = begin_attempt(seen(), UP)
    record = begin_attempt(
        closed_run(record, retry="t1"), Errand(Segment.MIGRATE, run="next", at=50)
    )
    assert record.run is not None
    assert (record.run.id, record.run.state) == ("next", RunState.OPEN)
    assert order_of(record, manifest().spec, "c", 0.0).retry == "t1"
    assert after_result(record, ended(Outcome.DONE), "now").retry == ""


def test_an_approval_travels_only_where_a_gate_asks():
    record = begin_attempt(seen(), UP).model_copy(update={"approved": "digest"})
    gated = parse_spec_with_gate(manifest())
    assert order_of(record, manifest().spec, "c", 0.0).approved == ""
    assert order_of(record, gated, "c", 0.0).approved == "digest"


def parse_spec_with_gate(wanted: Manifest):
    raw = wanted.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return parse_spec(raw | {"approval": {"before": ["Start"]}})


def test_an_answer_goes_on_with_the_run_that_is_held():
    record = after_result(begin_attempt(seen(), UP), ended(Outcome.HELD), "now")
    record = resolved(record, Verdict.LEDGER_ACCEPTED, "ada", "restored")
    record = begin_attempt(seen(record), Errand(Segment.MIGRATE, run="next", at=50))
    assert record.run is not None
    assert (record.run.id, record.run.attempt) == ("new", 2)
    given = order_of(record, manifest().spec, "c", 0.0).resolution
    assert given == Resolution(verdict="LedgerAccepted", run="new", by="ada", reason="restored")
