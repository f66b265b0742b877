"""The object is being deleted: what must still happen before it may go."""

from typing import Final

from whimbrel.machine.decisions import Decision, NextAttempt, ReleaseFinalizer, StartRun
from whimbrel.machine.runs import BACK, DELETED, is_held, new_run, outcome_of, reopened
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.spec import DeletionPolicy, Spec
from whimbrel.model.status import RunState, RunStatus

BOUND: Final = 300.0  # seconds after which an object goes in any case


def object_leaves(seen: Observed) -> Decision | None:
    """Take back or abort what is open, then let the object go; never later than the bound."""
    run = seen.status.run
    if seen.leaving_since is None:
        return None
    if run is None:
        return ReleaseFinalizer()
    if seen.namespace_leaving:
        return ReleaseFinalizer(left=_left(run, "the namespace terminates"))
    if seen.spec is None or _time_is_over(seen, run, seen.leaving_since):
        return ReleaseFinalizer(left=_left(run, "it could not be cleaned up in time"))
    if seen.spec.deletion_policy is DeletionPolicy.ROLLBACK:
        return _take_back(seen, seen.spec, run)
    return _abort(seen, seen.spec, run)


def _abort(seen: Observed, spec: Spec, run: RunStatus) -> Decision | None:
    if run.goal is Segment.ABORT:
        return _release_closed(run)
    if run.state is RunState.CLOSED and not is_held(run):
        return ReleaseFinalizer()
    return NextAttempt(reopened(seen, run, spec, Segment.ABORT), "deleted: unfinished work ends")


def _take_back(seen: Observed, spec: Spec, run: RunStatus) -> Decision | None:
    if run.trigger != DELETED:
        return StartRun(new_run(seen, spec, DELETED, Segment.ROLLBACK))
    if outcome_of(run) in BACK:
        return _release_closed(run)
    return None  # a rollback that failed keeps the object, until the bound, for a human


def _release_closed(run: RunStatus) -> ReleaseFinalizer | None:
    if run.state is RunState.OPEN:
        return None
    if outcome_of(run) in BACK:
        return ReleaseFinalizer()
    return ReleaseFinalizer(left=_left(run, run.last.message if run.last else ""))


def _time_is_over(seen: Observed, run: RunStatus, since: float) -> bool:
    job = seen.current_job()
    works = job is not None and job.pod is not None and job.pod.working
    # A rollback that really runs is given the run's own deadline.
    takes_back = run.trigger == DELETED and works and seen.now < unix(run.deadline)
    return seen.now >= since + BOUND and not takes_back


def _left(run: RunStatus, why: str) -> str:
    if run.state is RunState.CLOSED and not is_held(run) and outcome_of(run) in BACK:
        return ""
    return (
        f"run {run.id} may still hold the database: {why}. Its rows stay in the ledger; "
        "`whimbrel gc` lists them"
    )
