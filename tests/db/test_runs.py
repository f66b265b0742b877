"""Reservation and attempts on real servers."""

import json

import pytest
from psycopg.errors import UniqueViolation

from tests.db.orders import RUN, a_ledger, an_order, resolved
from whimbrel.model.errors import HeldError, TransientError
from whimbrel.model.plan import RunnerPlan, Segment
from whimbrel.model.steps import Direction
from whimbrel.planning.dialects.postgresql_ledger import INSERT_RUN
from whimbrel.runner.attempts import (
    close_attempt,
    open_attempt,
    read_attempt,
    read_attempts,
    record_tool,
)
from whimbrel.runner.ledger import read_meta
from whimbrel.runner.resolutions import read_resolutions
from whimbrel.runner.runs import (
    Over,
    Reserved,
    Waiting,
    close_run,
    open_run,
    read_run,
    read_runs,
    reserve,
    set_run_plan,
)

OTHER = {"name": "other", "uid": "uid-2", "run": "run-2-0123456789"}


class Fence:
    """Counts what it was asked to prove; answers, or raises what it was told."""

    def __init__(self, answer: str | HeldError = "") -> None:
        self.asked: list[str] = []
        self.answer = answer

    def __call__(self, run: str) -> str:
        self.asked.append(run)
        if isinstance(self.answer, HeldError):
            raise self.answer
        return self.answer


@pytest.fixture
def ledger(database):
    with a_ledger(database) as opened:
        yield opened


def test_the_first_run_reserves(ledger):
    reserved = reserve(ledger, an_order(), Fence())
    assert reserved == Reserved(read_run(ledger, RUN), "")
    assert (reserved.run.state, reserved.run.purpose) == ("open", "Migrate")


def test_the_same_run_goes_on_after_its_attempts_are_proven_to_be_over(ledger):
    reserve(ledger, an_order(), Fence())
    fence = Fence("Epoch")
    again = reserve(ledger, an_order(attempt=2, segment=Segment.ROLLBACK), fence)
    assert (again.run.id, again.proof, fence.asked) == (RUN, "Epoch", [RUN])


def test_another_object_waits_and_the_holder_is_named(ledger):
    reserve(ledger, an_order(), Fence())
    fence = Fence()
    waiting = reserve(ledger, an_order(**OTHER), fence)
    assert isinstance(waiting, Waiting)
    assert (waiting.holder.namespace, waiting.holder.name, waiting.holder.run) == (
        "shop", "schema", RUN,
    )  # fmt: skip
    assert fence.asked == []


@pytest.mark.parametrize(
    ("order", "why"),
    [
        pytest.param({"run": "run-3"}, "own", id="another run of the same object"),
        pytest.param(
            {"run": "run-3", "uid": "new", "holder_gone": (RUN,)},
            "own",
            id="the object was created again",
        ),
        pytest.param(OTHER | {"holder_gone": (RUN,)}, "gone", id="the holder was deleted"),
        pytest.param(
            OTHER | {"cluster": "two", "resolution": resolved("TakeOver")}, "person",
            id="a person's word, for the holder's run",
        ),
        pytest.param(
            OTHER | {"resolution": resolved("TakeOver", OTHER["run"])}, "person",
            id="a person's word, for our own run",
        ),
    ],
)  # fmt: skip
def test_take_over_needs_a_proven_fence(ledger, order, why):
    reserve(ledger, an_order(), Fence())
    taking = an_order(**order)
    unproven = Fence(HeldError("FenceUnproven", "no"))
    with pytest.raises(HeldError):
        reserve(ledger, taking, unproven)
    assert open_run(ledger).id == RUN
    taken = reserve(ledger, taking, Fence("Kubelet"))
    assert (taken.run.id, taken.proof) == (order["run"], "Kubelet")
    assert read_run(ledger, RUN).state == "superseded"
    assert bool(read_resolutions(ledger)) == (why == "person")


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(OTHER | {"cluster": "two"}, id="another cluster's run"),
        pytest.param(
            {"run": "run-3", "cluster": "two"}, id="an object of the same name in another cluster"
        ),
        pytest.param(
            OTHER | {"cluster": "two", "holder_gone": (RUN,)},
            id="one cluster cannot know that another's object is gone",
        ),
        pytest.param(
            OTHER | {"resolution": resolved("TakeOver", "run-9")}, id="a word about another run"
        ),
        pytest.param(OTHER | {"resolution": resolved("FenceProven")}, id="another verdict"),
    ],
)
def test_no_take_over_without_a_person(ledger, order):
    reserve(ledger, an_order(), Fence())
    assert isinstance(reserve(ledger, an_order(**order), Fence()), Waiting)


def test_a_stale_leader_does_not_take_over_from_a_newer_run(ledger):
    reserve(ledger, an_order(number=5), Fence())
    with pytest.raises(TransientError, match="newer run"):
        reserve(ledger, an_order(run="run-0", number=4), Fence())


@pytest.mark.parametrize("state", ["done", "failed", "rolled_back", "aborted", "superseded"])
def test_a_closed_run_frees_the_database_and_is_not_run_again(ledger, state):
    reserve(ledger, an_order(), Fence())
    open_attempt(ledger, an_order(), name="n")
    close_attempt(ledger, an_order(), json.dumps({"outcome": "Done"}))
    close_run(ledger, RUN, state)
    assert reserve(ledger, an_order(attempt=7), Fence()) == Over(state, '{"outcome": "Done"}')
    assert isinstance(reserve(ledger, an_order(**OTHER), Fence()), Reserved)
    assert [run.state for run in read_runs(ledger)] == [state, "open"]


def test_a_held_run_goes_on_holding(ledger):
    reserve(ledger, an_order(), Fence())
    close_run(ledger, RUN, "held")
    assert isinstance(reserve(ledger, an_order(**OTHER), Fence()), Waiting)
    assert isinstance(reserve(ledger, an_order(attempt=2), Fence()), Reserved)


def test_two_open_runs_cannot_exist(ledger):
    """Whoever came past the lock finds the ledger's own index."""
    reserve(ledger, an_order(), Fence())
    with pytest.raises(UniqueViolation, match="run_only_one_open"):
        ledger.rows(INSERT_RUN, "x", "shop", "b", "uid", "cluster", 1, "Migrate")


def test_every_attempt_has_an_epoch_of_its_own(ledger):
    reserve(ledger, an_order(), Fence())
    first = open_attempt(ledger, an_order(), name="whimbrel:run")
    close_attempt(ledger, an_order(), "{}")
    second = open_attempt(ledger, an_order(attempt=2), name="whimbrel:run")
    assert (first.epoch, second.epoch) == (1, 2)
    assert read_meta(ledger).epoch == 2
    assert second.backend_pid == ledger.session.info.backend_pid
    assert second.process.pid > 0 < second.process.start
    assert [each.state for each in read_attempts(ledger, RUN)] == ["closed", "open"]


def test_a_closed_attempt_answers_what_it_answered(ledger):
    reserve(ledger, an_order(), Fence())
    open_attempt(ledger, an_order(), name="n")
    close_attempt(ledger, an_order(), '{"outcome":"Done"}')
    assert reserve(ledger, an_order(), Fence()) == Over("open", '{"outcome":"Done"}')
    with pytest.raises(TransientError, match="a second time"):
        open_attempt(ledger, an_order(), name="n")


def test_an_attempt_that_is_open_is_not_opened_again(ledger):
    reserve(ledger, an_order(), Fence())
    open_attempt(ledger, an_order(), name="n")
    with pytest.raises(TransientError, match="started before and is open"):
        open_attempt(ledger, an_order(), name="n")


def test_the_tool_and_the_plan_are_recorded(ledger):
    reserve(ledger, an_order(), Fence())
    open_attempt(ledger, an_order(), name="n")
    record_tool(ledger, an_order(), run_role="whimbrel_run_1")
    set_run_plan(ledger, RUN, RunnerPlan(Direction.UP, "1"), digest="d", image="shop:2")
    seen = read_attempt(ledger, an_order())
    assert (seen.tool, seen.run_role) == (True, "whimbrel_run_1")
    run = read_run(ledger, RUN)
    assert (run.plan_digest, run.image) == ("d", "shop:2")
