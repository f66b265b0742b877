"""What is next for one object: the first rule that has something to say decides."""

from collections.abc import Callable
from typing import Final

from whimbrel.machine import attempts, housekeeping, leaving, neighbours, runs
from whimbrel.machine.checkpoint.expiry import checkpoint_is_due, drop_answered
from whimbrel.machine.decisions import Decision, Hold, Ignore, NextAttempt, StartRun, Wait
from whimbrel.machine.names import FINALIZER, asked_digest, work_digest
from whimbrel.machine.release.check_jobs import check_job_is_left
from whimbrel.machine.release.person import keeps_its_window
from whimbrel.machine.release.rules import release_goes_on, release_is_told
from whimbrel.machine.release.service import end_side_is_lost, service_is_not_ours
from whimbrel.machine.release.window import changed, in_release, is_open_at
from whimbrel.machine.requests import resolve_value, wanted_trigger
from whimbrel.machine.segments import AFTER_MIGRATE
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.spec import Spec
from whimbrel.model.status import Phase, RunState, RunStatus

Rule = Callable[[Observed], Decision | None]


def decide(seen: Observed) -> Decision:
    """Return the next move: one write, one effect, or a wait with a deadline or a named human."""
    for rule in RULES:
        decision = rule(seen)
        if decision is not None:
            return decision
    raise AssertionError("the last rule always decides")


def object_is_gone(seen: Observed) -> Decision | None:
    """Leave an object alone that is deleted and asks nothing of us."""
    if seen.leaving_since is None or FINALIZER in seen.finalizers:
        return None
    return Ignore("deleted")


def spec_is_wrong(seen: Observed) -> Decision | None:
    """Wait for the author; what the API server let pass is checked again here."""
    if seen.spec is not None:
        return None
    return Hold("InvalidSpec", seen.problem, phase=Phase.FAILED)


def person_resolves(seen: Observed) -> Decision | None:
    """Go on with a run whose question a person answered."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or attempts.is_working(seen):
        return None
    value = resolve_value(seen, run)
    if not value or (run.state is RunState.CLOSED and not runs.is_held(run)):
        return None
    return NextAttempt(runs.resumed(seen, run, spec, value), "resolved", resolve=value)


def object_is_suspended(seen: Observed) -> Decision | None:
    """Start nothing; a working Job is told to stop at its next safe point."""
    run, spec = seen.status.run, seen.spec
    if spec is None or not spec.suspend or seen.leaving_since is not None:
        return None
    stop = housekeeping.delete_unfinished(seen, "suspended")
    if stop is not None:
        return stop
    if run is not None and in_release(run) and run.release.since:
        return NextAttempt(changed(run, since=""), "suspended")
    done = run is not None and runs.is_good(run) and run.work == work_digest(spec)
    message = "suspended: nothing is started until spec.suspend is false"
    return Wait(
        Phase.SUSPENDED,
        "Suspended",
        message,
        human="whoever sets spec.suspend",
        ready=done or is_open_at(run, *AFTER_MIGRATE),
        completed=done,
    )


def new_run_is_wanted(seen: Observed) -> Decision | None:
    """Start a run for another spec or an annotation, unless the one before is really working."""
    run, spec = seen.status.run, seen.spec
    if spec is None or seen.leaving_since is not None or attempts.is_working(seen):
        return None
    if keeps_its_window(run):
        return None
    trigger = wanted_trigger(seen)
    if run is not None and not trigger and not _is_other_work(seen, run):
        return None
    return StartRun(
        _next_run(seen, spec, trigger),
        retry=attempts.annotation(seen, "retry"),
        rollback=attempts.annotation(seen, "rollback"),
    )


def _is_other_work(seen: Observed, run: RunStatus) -> bool:
    if run.generation == seen.generation or seen.spec is None:
        return False
    # Only `suspend` or `deletionPolicy` changed: what is open goes on, what is done stays done.
    goes_on = run.state is RunState.OPEN or runs.is_good(run)
    return not (goes_on and run.work == work_digest(seen.spec))


def _next_run(seen: Observed, spec: Spec, trigger: str) -> RunStatus:
    run = seen.status.run
    goal = _goal(run, trigger, asked_digest(spec))
    if run is not None and goal is run.goal and runs.has_unknown_target(run):
        return runs.continued(seen, run, spec)
    return runs.new_run(seen, spec, trigger, goal)


def _goal(run: RunStatus | None, trigger: str, asked: str) -> Segment:
    if trigger.startswith("rollback:"):
        return Segment.ROLLBACK
    # A way back that was not finished goes on when a person allows data loss, lifts a limit, or
    # asks for another try; going up again is asked for by another `migrations`.
    unfinished = run is not None and run.asked == asked and runs.is_half_back(run)
    return Segment.ROLLBACK if unfinished else Segment.MIGRATE


RULES: Final[tuple[Rule, ...]] = (
    object_is_gone,
    attempts.answer_arrived,
    drop_answered,
    check_job_is_left,
    leaving.object_leaves,
    spec_is_wrong,
    attempts.container_end_is_news,
    person_resolves,
    object_is_suspended,
    release_is_told,
    new_run_is_wanted,
    housekeeping.job_of_before_is_left,
    housekeeping.finalizer_is_missing,
    housekeeping.finalizer_is_left,
    housekeeping.old_job_is_kept,
    checkpoint_is_due,
    end_side_is_lost,
    attempts.run_is_over,
    service_is_not_ours,
    attempts.person_approves,
    attempts.plan_waits,
    release_goes_on,
    attempts.name_is_taken,
    attempts.job_is_there,
    attempts.pod_of_before_still_ends,
    attempts.backoff_is_not_over,
    neighbours.neighbour_works,
    attempts.job_is_missing,
)
