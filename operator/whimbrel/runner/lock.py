"""The session lock of the running worker: polled, watched, and asserted by every step."""

import random
import threading
import time
from collections.abc import Callable
from typing import Final

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.runner.beside import Beside
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

HEARTBEAT_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.25


def take_lock(session: Session, *, patience: float) -> None:
    """Take the migrator's lock in the session, by polling: never a blocking wait.

    A blocked pg_advisory_lock next to CREATE INDEX CONCURRENTLY ends in "deadlock detected"
    (flyway issue 1654).

    Args:
        session: The working session, outside a transaction.
        patience: Seconds to go on trying.

    Raises:
        TransientError: Another session holds it; the message names it.
    """
    end = time.monotonic() + patience
    while not own(session, session.dialect.server.TRY_LOCK)[0][0]:
        if time.monotonic() >= end:
            raise TransientError("Busy", f"{_holder(session)} holds the migrator's lock")
        time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, no secret


def release_lock(session: Session) -> None:
    """Give the lock back; closing the session does the same."""
    own(session, session.dialect.server.UNLOCK)


def _holder(session: Session) -> str:
    found = own(session, session.dialect.server.LOCK_HOLDER)
    if not found:
        return "a session that has just ended"
    pid, name = found[0]
    return f"the session {name or 'without a name'} (pid {pid})"


def assert_step_may_run(ledger: Ledger, epoch: int) -> None:
    """Check epoch and lock, and keep the epoch until the end of the step's transaction.

    One statement, the first of each step's transaction. Whoever raises the epoch waits for the
    transaction; a transaction that begins later finds the new epoch.

    Raises:
        TransientError: Somebody took over (`Superseded`), or the lock is lost.
        RefusedError: A pooler gives each transaction another backend.
    """
    if not keep_epoch(ledger, epoch):
        raise RefusedError(
            "PoolerInTransactionMode",
            "the session's own backend does not hold the lock, so a pooler in transaction mode "
            "stands between: give a direct URL",
        )


def keep_epoch(ledger: Ledger, epoch: int) -> bool:
    """Check the epoch and keep it until the end of a transaction; tell whether it has the lock.

    Raises:
        TransientError: Somebody took over (`Superseded`).
    """
    current, locked = ledger.rows(ledger.words.CHECK_STEP)[0]
    if current != epoch:
        raise TransientError(
            "Superseded", f"the epoch is {current}, this attempt's is {epoch}: somebody took over"
        )
    return bool(locked)


class Heartbeat(Beside):
    """Asks every few seconds, over the session that holds the lock, whether it still does.

    While a statement runs there, that statement is the heartbeat: a lost session ends it, at the
    latest by the socket's time-outs.

    Attributes:
        lost: Set when the lock, or the session, is gone.
    """

    def __init__(
        self, session: Session, on_loss: Callable[[], None], *, interval: float = HEARTBEAT_SECONDS
    ) -> None:
        super().__init__("heartbeat", patience=interval)
        self.lost = threading.Event()
        self._session = session
        self._on_loss = on_loss
        self._interval = interval

    def work(self) -> None:
        """Ask until it is lost."""
        while not self.over.wait(self._interval):
            if self._session.still_holds_lock() or self.over.is_set():
                continue
            self.lost.set()
            self._on_loss()
            return
