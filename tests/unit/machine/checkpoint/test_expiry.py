"""When a kept checkpoint goes: in its time, with its object, and never while it may be needed."""

import pytest

from tests.kept_checkpoint import CLOSED, NOW, RUN, dropping, kept
from tests.unit.machine.test_decide import LEAVING, SPEC, answer, ended, run, seen
from whimbrel.machine.decide import decide
from whimbrel.machine.decisions import CreateJob, KeepCheckpoint, ReleaseFinalizer
from whimbrel.machine.report import report
from whimbrel.machine.timestamps import rfc3339, unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome

DROPPED = answer(Outcome.DONE, segment="Discard")
BUSY = answer(Outcome.NOT_FINISHED, segment="Discard", retry_after=45.0)


@pytest.mark.parametrize(
    ("observed", "expected"),
    [
        pytest.param(seen(kept(until=NOW + 1)), "Done", id="in its time: rest"),
        pytest.param(seen(kept()), "CreateJob", id="its time is over: drop it"),
        pytest.param(seen(kept(), jobs=(dropping(working=True),)), "Done", id="it goes: rest"),
        pytest.param(
            seen(kept(), jobs=(dropping(message=DROPPED),)), "KeepCheckpoint", id="it is gone"
        ),
        pytest.param(
            seen(kept(), jobs=(dropping(ended=True),)), "KeepCheckpoint", id="unheard: once more"
        ),
        pytest.param(seen(kept(not_before=rfc3339(NOW + 9))), "Done", id="not yet again: rest"),
        pytest.param(seen(kept(ended(Outcome.HELD))), "Hold", id="a held run may need it"),
        pytest.param(seen(kept(run())), "CreateJob", id="a run goes on first"),
        pytest.param(
            seen(kept(until=NOW + 1), **LEAVING), "CreateJob", id="deleted: it goes first"
        ),
        pytest.param(
            seen(kept(), jobs=(dropping(working=True),), **LEAVING), "Wait", id="deleted: it goes"
        ),
        pytest.param(
            seen(kept(not_before=rfc3339(NOW + 9)), **LEAVING), "Wait", id="deleted: not yet again"
        ),
        pytest.param(
            seen(kept(), leaving_since=NOW - 301), "ReleaseFinalizer", id="deleted: not for ever"
        ),
        pytest.param(
            seen(kept(), namespace_leaving=True, **LEAVING),
            "ReleaseFinalizer",
            id="the namespace goes: at once",
        ),
    ],
)
def test_next_decision(observed: Observed, expected: str):
    assert type(decide(observed)).__name__ == expected


def test_the_job_is_told_which_checkpoint_and_no_tool_is_started():
    decision = decide(seen(kept()))
    assert isinstance(decision, CreateJob)
    told = decision.order
    assert (told.segment, told.run, told.attempt) == (Segment.DISCARD, RUN, 1)
    assert (decision.tool_image, told.spec) == ("", SPEC)


def test_an_attempt_that_was_busy_is_repeated_later_under_another_name():
    looked = seen(kept(), jobs=(dropping(message=BUSY),))
    decision = decide(looked)
    assert isinstance(decision, KeepCheckpoint)
    after = report(looked, decision)
    assert after.checkpoint is not None
    assert after.checkpoint.attempt == 2
    assert unix(after.checkpoint.not_before) >= NOW + 45
    assert after.run == CLOSED, "what the run ended with stays"
    later = seen(after, now=unix(after.checkpoint.not_before), jobs=looked.jobs)
    again = decide(later)
    assert isinstance(again, CreateJob)
    assert again.name != looked.jobs[0].name


def test_an_object_that_goes_without_dropping_it_says_what_stays():
    decision = decide(seen(kept(), namespace_leaving=True, **LEAVING))
    assert isinstance(decision, ReleaseFinalizer)
    assert f"The checkpoint of run {RUN} stays in the database" in decision.left
    assert "whimbrel gc" in decision.left
