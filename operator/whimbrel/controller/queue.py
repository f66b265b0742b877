"""A queue of keys: each once, with a moment, one at a time per object and per group."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final

from whimbrel.controller.logs import SUBJECT
from whimbrel.controller.metrics import Metrics
from whimbrel.controller.world import Key

log = logging.getLogger(__name__)
LONGEST: Final = 60.0  # seconds of backoff after errors
NEVER: Final = 3600.0
WOKEN: Final = 3  # one can go on; the others look again when the clock says so

Turn = Callable[[Key], Awaitable[float | None]]


class WorkQueue:
    """Gives each object its turns: different objects in parallel, one object never twice.

    Objects of one group (the same Secret) take turns one after the other. That saves work; the
    lock in the database is what guarantees anything.
    """

    def __init__(self, turn: Turn, *, workers: int, metrics: Metrics) -> None:
        self._turn = turn
        self._workers = workers
        self._metrics = metrics
        self._due: dict[Key, float] = {}
        self._groups: dict[Key, str] = {}
        self._running: dict[Key, asyncio.Task[float | None]] = {}
        self._failures: dict[Key, int] = {}
        self._changed = asyncio.Event()

    def add(self, key: Key, delay: float = 0.0, *, group: str = "") -> None:
        """Ask for a turn; of two moments for one object the earlier one counts."""
        moment = time.monotonic() + delay
        self._due[key] = min(moment, self._due.get(key, moment))
        if group:
            self._groups[key] = group
        self._metrics.waiting.set(len(self._due))
        self._changed.set()

    def wake(self, group: str, awake: Callable[[Key], bool]) -> None:
        """Ask for a turn of a few objects of a group that are awake: those that are due next."""
        keys = [key for key, known in self._groups.items() if known == group and awake(key)]
        for key in sorted(keys, key=lambda each: self._due.get(each, math.inf))[:WOKEN]:
            self.add(key)

    def forget(self, key: Key) -> None:
        """Forget the group of an object that is gone."""
        self._groups.pop(key, None)
        self._failures.pop(key, None)

    async def run(self) -> None:
        """Work until cancelled; turns that run are cancelled too."""
        try:
            while True:
                self._changed.clear()
                self._start_due()
                await self._wait_for_change()
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _start_due(self) -> None:
        now = time.monotonic()
        busy = {self._groups.get(key, str(key)) for key in self._running}
        for key, moment in sorted(self._due.items(), key=lambda item: item[1]):
            group = self._groups.get(key, str(key))
            if moment > now or len(self._running) >= self._workers:
                return
            if key not in self._running and group not in busy:
                busy.add(group)
                self._start(key)

    def _start(self, key: Key) -> None:
        del self._due[key]
        self._metrics.waiting.set(len(self._due))
        task = asyncio.create_task(self._bound_turn(key))
        self._running[key] = task
        task.add_done_callback(lambda ended: self._ended(key, ended))

    async def _bound_turn(self, key: Key) -> float | None:
        SUBJECT.set("/".join(key))
        with self._metrics.seconds.time():
            return await self._turn(key)

    def _ended(self, key: Key, task: asyncio.Task[float | None]) -> None:
        del self._running[key]
        self._changed.set()
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._try_again(key, error)
            return
        self._failures.pop(key, None)
        again = task.result()
        if again is not None:
            self.add(key, again)

    def _try_again(self, key: Key, error: BaseException) -> None:
        # Whatever went wrong in the turn of one object must not end the turns of the others.
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        pause = min(LONGEST, 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1.0)  # noqa: S311  # spread, no secret
        self._metrics.errors.labels(type(error).__name__).inc()
        log.error("%s/%s: again in %.1f s", *key, pause, exc_info=error)
        self.add(key, pause)

    async def _wait_for_change(self) -> None:
        waiting = [moment for key, moment in self._due.items() if self._may_start(key)]
        pause = min(waiting, default=time.monotonic() + NEVER) - time.monotonic()
        try:
            await asyncio.wait_for(self._changed.wait(), max(pause, 0.0))
        except TimeoutError:
            return

    def _may_start(self, key: Key) -> bool:
        if len(self._running) >= self._workers or key in self._running:
            return False
        busy = {self._groups.get(other, str(other)) for other in self._running}
        return self._groups.get(key, str(key)) not in busy
