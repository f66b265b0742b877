"""What the failure of a step means: try again, come back later, or it has failed."""

from typing import Final

from whimbrel.model.errors import FailedError, HeldError, TransientError, WhimbrelError
from whimbrel.planning.dialects.fates import Fate, Trouble
from whimbrel.planning.sql_down import allow_command
from whimbrel.runner.bench import Bench
from whimbrel.runner.step_work import StepFailedError
from whimbrel.runner.transactions import End
from whimbrel.runner.watchdog import Sighting

LOCK_TRIES: Final = 3  # tries before a lock that makes others wait too long counts as a failure
SALVAGE_TOO_LARGE: Final = "SalvageDoesNotFit"


class TryAgainError(Exception):
    """The same step may pass in a moment; `sighting` names who is in the way."""

    def __init__(self, sighting: str) -> None:
        super().__init__(sighting)
        self.sighting = sighting


def raise_meaning(failure: StepFailedError, bench: Bench, tries: int) -> None:
    """Raise what a failed step means; the order of the reasons is the documentation.

    Raises:
        TryAgainError: A lock was not to be had, or a dead-lock chose us.
        TransientError: Stopped, or the connection is lost: a later attempt looks first.
        FailedError: The same text would fail again; nothing of its transaction stayed.
    """
    if bench.place.stopping.is_set():
        raise _stopped(failure) from failure
    if bench.holding.interrupts.lost.is_set():
        raise TransientError(
            "LockLost", f"the session that holds the lock is gone; {_state(failure)}"
        ) from failure
    if failure.end in (End.UNKNOWN, End.RUNNING) or failure.fate is Fate.UNKNOWN:
        raise TransientError(
            "ConnectionLost", f"{bench.clean(failure.sentence())}; {_state(failure)}"
        ) from failure
    sighting = _sighting(failure, bench)
    if sighting is not None:
        raise _lock(failure, sighting, bench, tries) from failure
    if failure.fate is Fate.HEALS and failure.trouble is not Trouble.CANCELLED:
        raise TryAgainError(bench.clean(failure.sentence())) from failure
    raise failed(failure, bench) from failure


def _sighting(failure: StepFailedError, bench: Bench) -> Sighting | None:
    """Return the wait for a lock that ended the statement, or None where something else did."""
    seen = bench.holding.watchdog.last_sighting(bench.holding.attempt.backend_pid)
    # A statement_timeout cancels too, maybe long after a wait that another statement got over.
    cancelled = failure.trouble is Trouble.CANCELLED and seen is not None and seen.stopped
    return seen if cancelled or failure.trouble is Trouble.LOCK else None


def failed(failure: StepFailedError, bench: Bench) -> WhimbrelError:
    """Return the end for a statement that would fail again."""
    sentence = bench.clean(failure.sentence())
    return FailedError("StatementFailed", f"{sentence}; {_state(failure)}")


def _lock(failure: StepFailedError, sighting: Sighting, bench: Bench, tries: int) -> Exception:
    told = sighting.sentence()
    if sighting.waited or failure.trouble is Trouble.LOCK:
        return TryAgainError(f"{_where(failure)}: {told}")
    if tries < LOCK_TRIES:
        return TryAgainError(f"{_where(failure)}: {told}")
    if failure.doing:
        return HeldError(
            SALVAGE_TOO_LARGE,
            f"{failure.doing} {told}, more than limits.lockHold; {_state(failure)}; raise "
            "limits.lockHold, or allow the loss",
            command=allow_command(bench.order.owner()),
        )
    return FailedError(
        "LockHeldTooLong",
        f"{_where(failure)}: {failure.shown()}: {told}, more than limits.lockHold, "
        f"{tries} times; {_state(failure)}; make the statement shorter or raise limits.lockHold",
    )


def _stopped(failure: StepFailedError) -> TransientError:
    return TransientError(
        "Stopped", f"stopped on request at {_where(failure)}; {_state(failure)}", retry_after=1.0
    )


def _where(failure: StepFailedError) -> str:
    return f"{failure.file}, line {failure.line}" if failure.file else failure.doing


def _state(failure: StepFailedError) -> str:
    if failure.end is End.ABORTED:
        proof = f" (transaction {failure.xid} is aborted)" if failure.xid else ""
        return f"nothing of this {failure.unit} stayed{proof}"
    return "what became of it is looked up before anything else is done"
