"""Where a closed run rests."""

from whimbrel.machine.decisions import Done, Hold
from whimbrel.machine.runs import BACK
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome
from whimbrel.model.status import Phase, RunStatus


def settled(run: RunStatus) -> Done | Hold:
    """Return the rest that the last answer of a closed run asks for."""
    last = run.last
    assert last is not None  # noqa: S101  # only an answer closes a run
    outcome = Outcome(last.outcome)
    if outcome in BACK and (run.goal is not Segment.MIGRATE or outcome is Outcome.ROLLED_BACK):
        return Hold("RolledBack", _back(run, last.message), last.command, Phase.ROLLED_BACK)
    if outcome in BACK:
        return Done(_good_reason(outcome), last.message)
    return Hold(last.reason, last.message, last.command, _phase(run, outcome))


def _back(run: RunStatus, message: str) -> str:
    release = run.release
    told = [release.red, "the traffic is at the old side" if release.writes else "", message]
    return "; ".join(text for text in (*told, release.stays) if text)


def _good_reason(outcome: Outcome) -> str:
    reasons = {Outcome.NOTHING_TO_DO: "NoChange", Outcome.AHEAD: "DatabaseAhead"}
    return reasons.get(outcome, "Completed")


def _phase(run: RunStatus, outcome: Outcome) -> Phase:
    if outcome is Outcome.HELD:
        return Phase.HELD
    return Phase.ROLLBACK_FAILED if run.goal is Segment.ROLLBACK else Phase.FAILED
