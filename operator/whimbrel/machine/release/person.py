"""What a person may say while a release goes on, and what another generation means then."""

from dataclasses import replace

from whimbrel.machine.decisions import Decision, NextAttempt
from whimbrel.machine.names import work_digest
from whimbrel.machine.release.window import (
    at,
    changed,
    in_release,
    is_open_at,
    once_more,
    way_back,
)
from whimbrel.machine.requests import is_approved, waits_for_approval, wanted_trigger
from whimbrel.machine.runs import advanced, at_segment, closed, noted
from whimbrel.machine.written import has_written
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome, Result
from whimbrel.model.status import RunState, RunStatus


def person_speaks(seen: Observed) -> Decision | None:
    """Go back, or measure again, in the same run: traffic and schema belong together."""
    run, spec, trigger = seen.status.run, seen.spec, wanted_trigger(seen)
    if run is None or spec is None or not trigger or not in_release(run):
        return None
    if is_open_at(run, Segment.FINISH) and seen.current_job() is not None:
        return None  # its end is a moment away, and then the answer is another run
    forward = run.goal is Segment.MIGRATE
    if trigger.startswith("rollback:") and forward:
        back = changed(run, red=run.release.red or "a person asked for the way back")
        return NextAttempt(way_back(seen, spec, back), "asked for", trigger=trigger)
    if is_open_at(run, Segment.DRAIN) and spec.strategy.blue_green is not None:
        # Somebody may have moved the traffic to green again.
        back = way_back(seen, spec, changed(run, switched=True))
        return NextAttempt(back, "asked for", trigger=trigger)
    # On the way back what was written has still to be verified.
    red, writes = ("", 0) if forward else (run.release.red, min(run.release.writes, 1))
    anew = once_more(seen, run, red=red, paused="", writes=writes, drift=0, reached=False)
    return NextAttempt(anew, "asked for", trigger=trigger)


def nothing_goes_back(seen: Observed) -> Decision | None:
    """Close a run that has written nothing: "the newest run" would be the release before it."""
    run, trigger = seen.status.run, wanted_trigger(seen)
    if run is None or run.state is RunState.CLOSED or not trigger.startswith("rollback:"):
        return None
    if has_written(run):
        return None
    where = f"{seen.name} -n {seen.namespace}"
    refused = Result(
        outcome=Outcome.REFUSED,
        run=run.id,
        segment=run.segment,
        attempt=run.attempt,
        reason="NothingToRollBack",
        message="nothing was done by this run, which is closed, and nothing was taken back; to "
        f"take back the release before it, ask once more: whimbrel rollback {where}; to begin "
        f"this one again: whimbrel retry {where}",
        command=f"whimbrel retry {where}",
    )
    over = closed(changed(noted(seen, run, refused), paused=""))
    return NextAttempt(over, "asked for before anything was done", trigger=trigger)


def switch_waits(seen: Observed) -> Decision | None:
    """Wait for whoever may give green the traffic, then look at green once more: time has gone."""
    here = at(seen, Segment.SWITCH_GATE)
    if here is None:
        return None
    run, spec = here
    if run.release.approved:
        return NextAttempt(advanced(seen, run, spec), "approved")
    if is_approved(seen):
        approved = changed(run, approved=True)
        again = at_segment(seen, approved, spec, Segment.PREPARE)
        return NextAttempt(again, "approved: green is looked at once more")
    wait = waits_for_approval(seen, "green is ready, and its traffic waits for approval")
    return replace(wait, human="whoever may approve the switch", ready=True, paused=wait.reason)


def checks_were_edited(seen: Observed) -> Decision | None:
    """Measure anew by the newest spec, where nothing else of it has changed."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not in_release(run) or run.generation == seen.generation:
        return None
    if run.work != work_digest(spec) or is_open_at(run, Segment.FINISH):
        return None
    newest = run.model_copy(update={"generation": seen.generation})
    return NextAttempt(once_more(seen, newest, red="", paused=""), "the checks were edited")


def release_was_suspended(seen: Observed) -> Decision | None:
    """Begin a segment anew after a suspension: what was not watched does not count."""
    run = seen.status.run
    if run is None or not in_release(run) or run.release.since:
        return None
    return NextAttempt(once_more(seen, run), "resumed")


def keeps_its_window(run: RunStatus | None) -> bool:
    """Tell whether another spec has to wait for the end of this run.

    Before the switch it need not: nothing shows the new version yet, and the ledger hands the
    database over. After it only a run that waits for a person anyway gives way.
    """
    if run is None or not in_release(run):
        return False
    waits = bool(run.release.red or run.release.paused)
    return run.goal is not Segment.MIGRATE or (run.release.switched and not waits)
