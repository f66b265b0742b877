"""A second connection that keeps our sessions, and a tool's, from stalling the application."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from whimbrel.model.errors import TransientError
from whimbrel.planning.dialects.dialect import Dialect
from whimbrel.runner.beside import Beside
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Row, Session, Watched

_QUIET_SECONDS: Final = 0.025  # nothing of ours is active
_LONGEST_TICK: Final = 0.2
_SECOND_TRY: Final = 1.0  # a session that was cancelled and still blocks is terminated after that
_RECONNECT_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Limits:
    """What the application may feel, in seconds.

    Attributes:
        wait: Longest wait of ours for a lock (`limits.lockTimeout`).
        hold: Longest wait of others for a lock of ours (`limits.lockHold`).
    """

    wait: float
    hold: float


@dataclass(frozen=True)
class Other:
    """A session on the other side of a lock.

    Attributes:
        age: Seconds since its transaction began.
        doing: How its query begins, without values; "" where it is not ours to see.
    """

    pid: int
    application_name: str
    login: str
    state: str
    age: float
    doing: str

    def __str__(self) -> str:
        """Return the words that a person needs to find it."""
        name = f"{self.application_name}, " if self.application_name else ""
        doing = f", {self.doing}" if self.doing else ""
        state = f", {self.state}" if self.state else ""
        return f"pid {self.pid} ({name}login {self.login}{state}, {self.age:.1f} s{doing})"


@dataclass(frozen=True)
class Sighting:
    """One of ours in a wait for a lock, or others in a wait for one of ours.

    Attributes:
        pid: Backend of ours.
        waited: True when ours waited, False when it made others wait.
        seconds: How long, when it was seen last.
        others: Who blocked it, or whom it blocked.
        stopped: Whether it was cancelled or terminated for that.
    """

    pid: int
    waited: bool
    seconds: float
    others: tuple[Other, ...]
    stopped: bool = False

    def sentence(self) -> str:
        """Return what happened, naming the sessions on the other side."""
        names = ", ".join(str(other) for other in self.others) or "a session that has ended"
        if self.waited:
            return f"waited {self.seconds:.2f} s for a lock held by {names}"
        return f"made others wait {self.seconds:.2f} s: {names}"


class Watchdog(Beside):
    """Watches in a thread with a connection of its own, and cancels what exceeds the limits.

    It must log in as a role that may cancel the watched sessions: the same login, or the tool's.
    """

    def __init__(self, connect: Callable[[], Session], watched: Watched, limits: Limits) -> None:
        super().__init__("watchdog")
        self._connect = connect
        self._watched = watched
        self._limits = limits
        self._session, self._pid = self._connected()
        self._seen: dict[int, Sighting] = {}
        self._first_stop: dict[int, float] = {}

    @property
    def backend_pid(self) -> int:
        """Return the watchdog's own backend, which a fence must spare."""
        return self._pid

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let its session go with it."""
        super().__exit__(kind, error, trace)
        self._session.close()

    @contextlib.contextmanager
    def patiently(self) -> Iterator[None]:
        """Let ours wait as long as it takes (CONCURRENTLY); others wait no longer than ever."""
        limits = self._limits
        self._limits = replace(limits, wait=math.inf)
        try:
            yield
        finally:
            self._limits = limits

    def forget(self) -> None:
        """Forget what was seen: another try begins, and has a first time of its own."""
        self._seen.clear()
        self._first_stop.clear()

    def last_sighting(self, pid: int) -> Sighting | None:
        """Return the newest wait that a backend of ours was part of."""
        return self._seen.get(pid)

    def sightings(self) -> tuple[Sighting, ...]:
        """Return the newest sighting of every backend of ours."""
        return tuple(self._seen.values())

    def work(self) -> None:
        """Look until it is over."""
        pause = 0.0
        while not self.over.wait(pause):
            try:
                pause = self._look()
            except SERVER_ERRORS:
                pause = self._reconnect()

    def _reconnect(self) -> float:
        self._session.close()
        with contextlib.suppress(TransientError, *SERVER_ERRORS):
            self._session, self._pid = self._connected()
            return 0.0
        return _RECONNECT_SECONDS

    def _connected(self) -> tuple[Session, int]:
        session = self._connect()
        session.pin()
        return session, session.backend()

    def _look(self) -> float:
        """Look once; return the seconds until the next look."""
        waits = self._session.watch(self._watched)
        if not waits.ours:
            return _QUIET_SECONDS
        tick = min(self._limits.wait / 4, _LONGEST_TICK)
        seen = sorted(sightings_of(waits.ours, waits.waiters), key=lambda each: each.seconds)
        # One cancel for all that wait for a session: a second one would end what it does next.
        for sighting in {each.pid: each for each in seen}.values():
            tick = min(tick, self._judge(sighting, waits.ours[sighting.pid]))
        return tick

    def _judge(self, sighting: Sighting, state: str) -> float:
        limit = self._limits.wait if sighting.waited else self._limits.hold
        over = sighting.seconds >= limit
        before = self._seen.get(sighting.pid)
        if not over and before is not None and before.stopped:
            # One of several waiters that came later: not what the cancel was for.
            return max(0.001, limit - sighting.seconds)
        # Remembered before it is stopped: the worker asks why as soon as its statement fails.
        self._seen[sighting.pid] = replace(sighting, others=self._describe(sighting), stopped=over)
        if not over:
            return max(0.001, limit - sighting.seconds)
        self._stop(sighting.pid, state)
        return self._limits.wait / 4

    def _describe(self, sighting: Sighting) -> tuple[Other, ...]:
        before = self._seen.get(sighting.pid)
        if before is not None and _pids(before) == _pids(sighting):
            return before.others  # no question between a limit that is passed and the cancel
        dialect, found = self._session.dialect, self._session.describe(_pids(sighting))
        return tuple(other_of(row, dialect) for row in found)

    def _stop(self, pid: int, state: str) -> None:
        """Cancel; terminate what cannot be cancelled: it holds locks and runs no statement."""
        first = self._first_stop.setdefault(pid, time.monotonic())
        persists = time.monotonic() - first > _SECOND_TRY
        self._session.stop(pid, hard=state != "active" or persists)


def sightings_of(
    ours: dict[int, str], waiters: Iterable[tuple[int, float, list[int]]]
) -> tuple[Sighting, ...]:
    """Return our own waits and the waits of others for us, among all waits for locks.

    Args:
        ours: Backends of ours and their states.
        waiters: Backend, seconds that it has waited, and who blocks it.
    """
    waiters = tuple(waiters)
    waits = [
        Sighting(pid, waited=True, seconds=seconds, others=_named(blockers))
        for pid, seconds, blockers in waiters
        if pid in ours
    ]
    blocked = [
        Sighting(mine, waited=False, seconds=seconds, others=_named([pid]))
        for pid, seconds, blockers in waiters
        if pid not in ours
        for mine in sorted(ours.keys() & set(blockers))
        if mine not in {wait.pid for wait in waits}
    ]
    return (*waits, *blocked)


def other_of(row: Row, dialect: Dialect) -> Other:
    """Return a session from a row of `Session.describe`."""
    values = (*row[:5], dialect.server.first_words(row[5]))
    return Other(*values)


def _pids(sighting: Sighting) -> list[int]:
    return sorted(other.pid for other in sighting.others)


def _named(pids: list[int]) -> tuple[Other, ...]:
    return tuple(Other(pid, "", "", "", 0.0, "") for pid in sorted(set(pids)) if pid)
