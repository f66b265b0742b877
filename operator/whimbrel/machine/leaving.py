"""The object is being deleted: what must still happen before it may go."""

from typing import Final

from whimbrel.machine.attempts import annotation, is_working
from whimbrel.machine.checkpoint.expiry import dropped_first
from whimbrel.machine.decisions import Decision, NextAttempt, ReleaseFinalizer, StartRun
from whimbrel.machine.names import work_digest
from whimbrel.machine.release.traffic import between_sides
from whimbrel.machine.release.window import in_release
from whimbrel.machine.requests import wanted_trigger
from whimbrel.machine.runs import (
    BACK,
    DELETED,
    is_held,
    new_run,
    outcome_of,
    reopened,
    takes_all_back,
)
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.spec import DeletionPolicy, Spec
from whimbrel.model.status import RunState, RunStatus

BOUND: Final = 300.0  # seconds after which an object goes in any case


def object_leaves(seen: Observed) -> Decision | None:
    """Take back or abort what is open, then let the object go; never later than the bound."""
    late = seen.leaving_since is not None and seen.now >= seen.leaving_since + BOUND
    return dropped_first(seen, _leaves(seen), late=late)


def _leaves(seen: Observed) -> Decision | None:
    run = seen.status.run
    if seen.leaving_since is None:
        return None
    if run is None:
        return ReleaseFinalizer()
    if seen.namespace_leaving:
        return ReleaseFinalizer(left=_left(seen, run, "the namespace terminates"))
    if seen.spec is None or _time_is_over(seen, run, seen.leaving_since):
        return ReleaseFinalizer(left=_left(seen, run, f"not done in time{_said(run)}"))
    return _ended(seen, seen.spec, run)


def _ended(seen: Observed, spec: Spec, run: RunStatus) -> Decision | None:
    if _is_on_its_way(seen, run):
        return None  # the traffic arrives at one side first, and a way back at its end
    if _wants_back(seen):
        return _take_back(seen, spec, run)
    return _abort(seen, spec, run)


def _is_on_its_way(seen: Observed, run: RunStatus) -> bool:
    return between_sides(seen) or (in_release(run) and run.goal is Segment.ROLLBACK)


def _abort(seen: Observed, spec: Spec, run: RunStatus) -> Decision | None:
    if run.goal is Segment.ABORT:
        return _release_closed(seen, run)
    if run.state is RunState.CLOSED and not is_held(run):
        return ReleaseFinalizer()
    return NextAttempt(reopened(seen, run, spec, Segment.ABORT), "deleted: unfinished work ends")


def _take_back(seen: Observed, spec: Spec, run: RunStatus) -> Decision | None:
    if not takes_all_back(run.trigger):
        return _start(seen, spec, DELETED)
    if outcome_of(run) in BACK:
        return _release_closed(seen, run)
    trigger = wanted_trigger(seen)
    if is_working(seen) or not (trigger or run.work != work_digest(spec)):
        return None  # a rollback that failed keeps the object, until the bound, for a human
    return _start(seen, spec, f"{DELETED}:{trigger}" if trigger else DELETED)


def _start(seen: Observed, spec: Spec, trigger: str) -> StartRun:
    run = new_run(seen, spec, trigger, Segment.ROLLBACK)
    return StartRun(run, annotation(seen, "retry"), annotation(seen, "rollback"))


def _release_closed(seen: Observed, run: RunStatus) -> ReleaseFinalizer | None:
    if run.state is RunState.OPEN:
        return None
    if outcome_of(run) in BACK:
        return ReleaseFinalizer()
    return ReleaseFinalizer(left=_left(seen, run, f"it was not closed{_said(run)}"))


def _time_is_over(seen: Observed, run: RunStatus, since: float) -> bool:
    if not takes_all_back(run.trigger):
        # A rollback that was not even tried (the operator was away) is not late yet.
        tried = not _wants_back(seen) or _is_on_its_way(seen, run)
        return seen.now >= since + BOUND and tried
    # A rollback that really runs is given the run's own deadline; a person may ask for another.
    works = is_working(seen) and seen.now < unix(run.deadline)
    return seen.now >= max(since, unix(run.started_at)) + BOUND and not works


def _wants_back(seen: Observed) -> bool:
    return seen.spec is not None and seen.spec.deletion_policy is DeletionPolicy.ROLLBACK


def _said(run: RunStatus) -> str:
    return f": {run.last.message}" if run.last else ""


def _left(seen: Observed, run: RunStatus, why: str) -> str:
    rows = f"The rows of run {run.id} stay in the ledger; `whimbrel gc --url URL` lists them"
    clean = run.state is RunState.CLOSED and outcome_of(run) in BACK
    if _wants_back(seen) and not (clean and takes_all_back(run.trigger)):
        return (
            f"the schema stays in the database, although deletionPolicy is Rollback; {why}. {rows}"
        )
    return "" if clean else f"run {run.id} may still hold the database: {why}. {rows}"
