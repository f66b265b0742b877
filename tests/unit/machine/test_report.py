"""Whatever an answer says, the status that tells it is one that the API server takes."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.crd_bounds import over_bounds
from tests.unit.machine.test_decide import GATED, NOW, RUN, SPEC, run, seen
from whimbrel.machine.decisions import Hold, RecordResult, Wait
from whimbrel.machine.report import report
from whimbrel.machine.runs import answered
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.crd import status_schema
from whimbrel.model.plan import Segment
from whimbrel.model.result import Holder, Outcome, Result
from whimbrel.model.status import Phase, Status

SCHEMA = status_schema()


def written(status: Status) -> dict[str, Any]:
    """The body that is sent; it holds its own bounds."""
    body = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert list(over_bounds(SCHEMA, body)) == []
    assert Status.model_validate(body) == status
    return body


def told(result: Result, *, segment: Segment = Segment.MIGRATE, gated: bool = False) -> Status:
    """The status after an answer."""
    spec = GATED if gated else SPEC
    look = replace(seen(run(segment=segment)), spec=spec)
    return report(look, RecordResult(answered(look, spec, result), result))


def an_answer(**more: Any) -> Result:
    fields = {"run": RUN.id, "segment": "Migrate", "attempt": 1, "reason": "Why", "message": "what"}
    return Result.model_validate({"outcome": Outcome.DONE} | fields | more)


@pytest.mark.parametrize(
    ("kept", "shown", "last"),
    [
        pytest.param(64, 64, "salvage_r_63", id="as many as the schema allows: all of them"),
        pytest.param(65, 64, "and 2 more", id="one more: the last place says how many"),
        pytest.param(100, 64, "and 37 more", id="many more"),
    ],
)
def test_salvage_tables_are_told_as_far_as_there_is_room(kept: int, shown: int, last: str):
    tables = tuple(f"salvage_r_{n}" for n in range(kept))
    body = written(told(an_answer(salvage=tables)))
    assert (len(body["salvage"]), body["salvage"][-1]) == (shown, last)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        pytest.param(None, ("old",), id="nobody has looked: as before"),
        pytest.param((), (), id="all of them were dropped"),
        pytest.param(("new", "old"), ("new", "old"), id="a later run kept one more"),
    ],
)
def test_salvage_is_what_the_newest_look_found(answer, shown):
    look = seen(run().model_copy(update={"salvage": ("old",)}))
    result = an_answer(salvage=answer)
    assert report(look, RecordResult(RUN, result)).salvage == shown


TEXTS = st.builds(
    lambda size, letter: letter * size,
    st.sampled_from([0, 1, 64, 254, 256, 1025, 4097, 9000]),
    st.sampled_from(["x", "é", '"', "\U0001f40c", "\x01"]),
)
LISTS = st.builds(
    lambda text, size: (text,) * size, TEXTS, st.sampled_from([0, 1, 16, 17, 64, 65, 200])
)
HOLDERS = st.builds(Holder, **dict.fromkeys(("namespace", "name", "uid", "cluster", "run"), TEXTS))
CHECKPOINTS = st.builds(
    CheckpointStatus,
    **dict.fromkeys(("id", "state", "reason", "dump"), TEXTS),
    tables=LISTS,
)
WORDS = """run segment reason message command revision plan_digest image database database_uuid
    fence target"""
MONSTERS = st.builds(
    Result,
    outcome=st.sampled_from(Outcome),
    attempt=st.integers(1, 10**9),
    applied=st.integers(0, 10**300),
    direction=st.sampled_from(["", "up", "down"]),
    holder=st.none() | HOLDERS,
    checkpoint=st.none() | CHECKPOINTS,
    goes_on=st.booleans(),
    warnings=LISTS,
    salvage=LISTS,
    **dict.fromkeys(WORDS.split(), TEXTS),
)


@settings(deadline=None)
@given(MONSTERS, st.sampled_from([Segment.LOOK, Segment.MIGRATE, Segment.ROLLBACK]), st.booleans())
def test_a_monstrous_answer_is_told_within_the_bounds_of_the_schema(result, segment, gated):
    written(told(result, segment=segment, gated=gated))


@settings(deadline=None)
@given(TEXTS, TEXTS, TEXTS)
def test_a_monstrous_rest_is_told_within_the_bounds_of_the_schema(reason, message, command):
    written(report(seen(run()), Hold(reason, message, command)))
    written(report(seen(run()), Wait(Phase.PENDING, reason, message, until=NOW, paused=reason)))
