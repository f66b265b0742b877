"""What a run is told, what is kept of its attempts, and which number it has."""

from dataclasses import replace

import pytest

from tests.unit.machine.test_decide import (
    GATED,
    HOLDER,
    NOW,
    RUN,
    answer,
    ended,
    job,
    pod,
    run,
    seen,
)
from whimbrel.machine import names
from whimbrel.machine.decide import decide
from whimbrel.machine.report import report
from whimbrel.machine.runs import ended_attempts
from whimbrel.model.observed import PodSeen
from whimbrel.model.result import Outcome
from whimbrel.model.status import (
    Handled,
)


def test_order_says_what_the_runner_must_know():
    status = run(
        database="uuid",
        epoch=4,
        holder=HOLDER,
        ended=("Migrate/1",),
        attempt=2,
        trigger="retry:now",
        answer=f"FenceProven:{RUN.id}",
    )
    marks = {names.RESOLVE_BY: "me", names.RESOLVE_REASON: "checked"}
    order = decide(seen(status, annotations=marks, holder_gone=True, cluster="c")).order
    assert (order.known.database, order.known.epoch) == ("uuid", 4)
    assert (order.ended, order.holder_gone) == (("Migrate/1",), ("other-run",))
    assert (order.retry, order.cluster, order.attempt) == ("now", "c", 2)
    assert (order.resolution.verdict, order.resolution.by) == ("FenceProven", "me")


@pytest.mark.parametrize(
    ("told", "known"),
    [
        pytest.param({"database_uuid": "a", "epoch": 60}, ("a", 60), id="the same: it grows"),
        pytest.param({"database_uuid": "a", "epoch": 40}, ("a", 50), id="the same: never falls"),
        pytest.param({}, ("a", 50), id="the ledger was not reached"),
        pytest.param({"database_uuid": "b", "epoch": 3}, ("b", 3), id="another counts for itself"),
    ],
)
def test_what_the_next_attempt_knows_of_the_database(told, known):
    text = answer(Outcome.NOT_FINISHED, **told)
    looked = seen(run(database="a", epoch=50), jobs=(job(pod=pod(message=text)),))
    after = seen(report(looked, decide(looked)), now=NOW + 600)
    order = decide(after).order
    assert (order.known.database, order.known.epoch) == known


def test_a_way_back_names_the_run_that_it_cut_off():
    """Else a run that has come to no database would be taken for the release before it."""
    marks = {names.ROLLBACK: "now"}
    asked = seen(run(), annotations=marks)
    began = decide(asked)
    after = seen(report(asked, began), annotations=marks)
    order = decide(after).order
    assert (order.segment, order.unfinished) == ("Rollback", RUN.id)
    assert decide(seen(run(unfinished="before"))).order.unfinished == ""


@pytest.mark.parametrize(
    ("pod_", "kept"),
    [
        pytest.param(pod(ended=True), ("Migrate/1@p",), id="no answer: its end is a proof"),
        pytest.param(
            pod(ended=True, message=answer(Outcome.NOT_FINISHED)), (), id="it closed itself"
        ),
        pytest.param(
            pod(ended=True, message=answer(Outcome.NOT_FINISHED, attempt_open=True)),
            ("Migrate/1@p",),
            id="it says that it could not close itself",
        ),
        pytest.param(
            pod(ended=True, run="before"), ("before/Migrate/1@p",), id="of the run before"
        ),
        pytest.param(pod(), (), id="it runs"),
    ],
)
def test_which_ends_are_kept_as_proofs(pod_: PodSeen, kept: tuple[str, ...]):
    looked = seen(run(attempt=2), pods=(pod_,))
    assert decide(replace(looked, jobs=(job(attempt=2),))) is not None
    assert ended_attempts(looked) == kept


def test_ended_attempts_of_the_run_before_are_handed_on():
    status = run(ended=("Migrate/1",))
    decision = decide(seen(status, generation=2, spec=GATED))
    assert decision.run.ended == (f"{RUN.id}/Migrate/1",)


@pytest.mark.parametrize(
    ("before", "number"),
    [
        pytest.param(0, int(NOW), id="the status was lost: still above every run of before"),
        pytest.param(int(NOW) + 90, int(NOW) + 91, id="the clock went back: still above the last"),
    ],
)
def test_the_number_of_a_run_only_grows(before: int, number: int):
    asked = {names.RETRY: "later"}
    decision = decide(seen(ended(Outcome.DONE, number=before), annotations=asked))
    assert decision.run.number == number


def test_the_same_words_asked_again_are_another_run():
    """The ledger would answer with the end of the first one (retry: A, then B, then A)."""
    asked = {names.RETRY: "A"}
    first = decide(seen(ended(Outcome.DONE), annotations=asked)).run
    handled = ended(Outcome.DONE, number=first.number).model_copy(
        update={"handled": Handled(retry="B")}
    )
    again = decide(seen(handled, annotations=asked)).run
    assert (again.trigger, again.id != first.id) == (first.trigger, True)
