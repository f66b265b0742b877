"""What everybody who works on a checkpoint needs; neither the bench nor the order of a run."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from whimbrel.runner.checkpoint.manifest import Checkpoint, State, set_state
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Session


@dataclass(frozen=True)
class Desk:
    """Where work on a checkpoint is done.

    Attributes:
        ledger: Ledger seen through the worker's own session.
        another_session: Opens a further session to the same database, with the same login.
        guard: Raises unless epoch and lock are ours; called first in each transaction that writes.
        tell: Takes a line about what is being done.
        stopping: Set when the runner is told to stop at the next safe point.
        patiently: While it is open, nobody ends statements of ours that wait for locks.
    """

    ledger: Ledger
    another_session: Callable[[], Session]
    guard: Callable[[Session], None]
    tell: Callable[[str], None]
    stopping: threading.Event
    patiently: Callable[[], AbstractContextManager[None]] = nullcontext

    def set_state(self, checkpoint: Checkpoint, state: State, *, reason: str = "") -> None:
        """Move a checkpoint to a state, if it is still ours to move, in a transaction of its own.

        Raises:
            HeldError: It is not in a state before that one.
        """
        with self.session.transaction():
            self.guard(self.session)
            set_state(self.ledger, checkpoint.id, state, reason=reason)

    @property
    def session(self) -> Session:
        """Return the worker's own session."""
        return self.ledger.session
