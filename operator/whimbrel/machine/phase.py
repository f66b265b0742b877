"""What a person sees: one view for every decision."""

from dataclasses import dataclass
from typing import Final

from whimbrel.machine.attempts import gave_up, progressing
from whimbrel.machine.decisions import Decision, Done, Hold, Ignore, StartRun, Wait
from whimbrel.machine.settled import settled
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.status import Phase, RunState

BAD: Final = frozenset({Phase.FAILED, Phase.ROLLBACK_FAILED, Phase.ROLLED_BACK, Phase.HELD})
PAUSED: Final = frozenset({Phase.AWAITING_APPROVAL, Phase.SUSPENDED})
UNKNOWN: Final = frozenset({Phase.PENDING, Phase.PREFLIGHT})


@dataclass(frozen=True)
class View:
    """Phase and the flags that the conditions follow from.

    Attributes:
        ready: True, False or Unknown.
        reconciling: Never together with `stalled`.
        paused: Reason of the condition Paused, or "".
    """

    phase: Phase
    ready: str
    reason: str
    message: str
    reconciling: bool = False
    stalled: bool = False
    paused: str = ""
    completed: bool = False


def view(seen: Observed, decision: Decision) -> View:
    """Return what status shows while this decision is the newest one."""
    match decision:
        case Wait() as wait:
            return _waiting(wait)
        case Hold() as hold:
            return _held(hold)
        case Done(reason, message):
            return View(Phase.COMPLETED, "True", reason, message, completed=True)
        case StartRun(run):
            # The end of the run before is not the state of a generation that nobody looked at.
            return _waiting(progressing(seen, run))
        case Ignore():
            return View(Phase.PENDING, "Unknown", "Deleting", "deleted", reconciling=True)
        case _:
            return _acting(seen)


def _waiting(wait: Wait) -> View:
    if wait.ready:
        return View(
            wait.phase,
            "True",
            wait.reason,
            wait.message,
            paused=wait.paused,
            completed=wait.completed,
        )
    if wait.stalled:
        return View(wait.phase, "False", wait.reason, wait.message, stalled=True)
    ready = "Unknown" if wait.phase in UNKNOWN else "False"
    paused = wait.paused or (wait.reason if wait.phase in PAUSED else "")
    return View(wait.phase, ready, wait.reason, wait.message, reconciling=True, paused=paused)


def _held(hold: Hold) -> View:
    message = hold.message if hold.command in hold.message else f"{hold.message}. {hold.command}"
    return View(hold.phase, "False", hold.reason, message, stalled=True)


def _acting(seen: Observed) -> View:
    run = seen.status.run
    if run is None:
        return View(Phase.PENDING, "Unknown", "Pending", "not started yet", reconciling=True)
    if run.state is RunState.CLOSED:
        return view(seen, settled(run))
    if run.failures and seen.now >= unix(run.deadline):
        return _waiting(gave_up(run.last.message if run.last else "no answer", seen.now))
    return _waiting(progressing(seen, run))
