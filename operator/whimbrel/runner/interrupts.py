"""Ending what the worker's session does, from another thread, when it has to stop."""

import contextlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from whimbrel.runner.beside import Beside
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session
from whimbrel.runner.surroundings import Surroundings

STRIKE_AGAIN: Final = 0.5  # seconds; a cancel between two statements hits nothing
_TOOL_GRACE: Final = 5.0  # seconds between SIGTERM and SIGKILL for a foreign tool


class Interrupts(Beside):
    """Cancels the running statement, again and again, once SIGTERM came or the lock is lost.

    Not where an end is read back and recorded: a cancel there would leave nobody who can say what
    state the database is in. Such statements are ours, and give way to locks by themselves.

    Attributes:
        lost: Set when the lock, or its session, is gone.
    """

    def __init__(self, session: Session, place: Surroundings) -> None:
        super().__init__("stop")
        self.lost = threading.Event()
        self._session, self._place = session, place
        self._held_back = threading.RLock()
        self._most, self._asked = math.inf, math.inf

    @contextmanager
    def held_back(self, most: float = math.inf) -> Iterator[None]:
        """Let nothing be cancelled meanwhile, unless the lock is lost: then nothing may go on.

        A stop waits for it no longer than `most` seconds.
        """
        with self._held_back:
            before, self._most = self._most, most
            try:
                yield
            finally:
                self._most = before

    def strike(self) -> None:
        """Cancel what the session does now; callable from any thread."""
        free = self._held_back.acquire(blocking=False)
        try:
            late = time.monotonic() > self._asked + self._most
            if free or late or self.lost.is_set():
                with contextlib.suppress(*SERVER_ERRORS):
                    self._session.cancel_safe(timeout=STRIKE_AGAIN)
        finally:
            if free:
                self._held_back.release()

    def work(self) -> None:
        """Wait until it has to stop; then stop it."""
        while not self.over.wait(STRIKE_AGAIN / 5):
            if self._place.stopping.is_set() or self.lost.is_set():
                break
        self._asked = time.monotonic()
        end_programs(self._place, self.over, self.strike)


def end_programs(place: Surroundings, over: threading.Event, strike: Callable[[], None]) -> None:
    """Signal whatever programs run, until it is over; each time something else is struck too."""
    end = time.monotonic() + _TOOL_GRACE
    while not over.is_set():
        strike()
        for program in place.programs():
            program.signal(signal.SIGKILL if time.monotonic() > end else signal.SIGTERM)
        over.wait(STRIKE_AGAIN)
