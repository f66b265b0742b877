"""Measures checks side by side, each at its own pace, until they say together what they say."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from whimbrel.machine.release.judge import (
    Tally,
    counted,
    may_turn_red,
    patience,
    shown,
    state_of,
    together,
)
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.bounds import format_duration
from whimbrel.model.probed import longest
from whimbrel.model.release.checked import CheckStatus, Measurement, State, measured
from whimbrel.model.release.health import HealthCheck, Moment
from whimbrel.runner.probes.found import Found, Probe

_TICK: Final = 0.2  # seconds between two looks at the clock and at SIGTERM
# Whoever hangs in the resolver or in a driver keeps a thread; others must find one.
_THREADS: Final = 256
_LAST_WORDS: Final = 0.1  # seconds for measurements that are given up to close what they opened

Report = Callable[[Sequence[CheckStatus]], None]


@dataclass(frozen=True)
class Window:
    """How long is measured.

    Attributes:
        moment: The moment.
        until: Unix seconds at which a soak ends; others are over from the beginning.
    """

    moment: Moment
    until: float = 0.0

    @property
    def is_over(self) -> bool:
        """Return whether a green check may count as such."""
        return time.time() >= self.until


@dataclass(frozen=True)
class Ending:
    """What the checks say in the end.

    Attributes:
        state: All together; Open where it was asked to stop.
        checks: Each of them.
        decisive: Those that made it so.
    """

    state: State
    checks: tuple[CheckStatus, ...]
    decisive: tuple[CheckStatus, ...]


@dataclass
class _Watched:
    """A check that is measured; `waiting_since` is when (monotonic) it was green the last time."""

    probe: Probe
    window: Window
    waiting_since: float
    tally: Tally = field(default_factory=Tally)

    @property
    def check(self) -> HealthCheck:
        return self.probe.check

    def state(self) -> State:
        """Return its state; one that stays open for longer than its patience is inconclusive."""
        now, is_over = time.monotonic(), self.window.is_over
        state = state_of(self.check, self.tally, over=is_over)
        if state is not State.OPEN or not is_over:
            self.waiting_since = now
        is_late = now - self.waiting_since > patience(self.check)
        return State.INCONCLUSIVE if is_late else state


def watch(
    probes: Sequence[Probe], window: Window, stopping: threading.Event, report: Report
) -> Ending:
    """Measure until the checks say something together, or until a stop is asked for.

    Nothing that hangs delays the end: not a thread in the resolver, not a peer that keeps silent.
    """
    loop = asyncio.new_event_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    try:
        return loop.run_until_complete(_watch(probes, window, stopping, report))
    finally:
        loop.close()  # does not wait for threads, as asyncio.run does


async def _watch(
    probes: Sequence[Probe], window: Window, stopping: threading.Event, report: Report
) -> Ending:
    news = asyncio.Event()
    answered = time.monotonic()
    watched = [_Watched(probe, window, answered) for probe in probes]
    tasks = [asyncio.create_task(_measure_on(each, news)) for each in watched]
    try:
        while True:
            ending = _ending(watched, window)
            if ending.state is not State.INCONCLUSIVE:
                answered = time.monotonic()
            if news.is_set():
                news.clear()
                report(ending.checks)
            if stopping.is_set() or _is_over(ending, watched, answered):
                return ending
            await _next(news, tasks)
    finally:
        await _give_up_the_rest()


def _is_over(ending: Ending, watched: Sequence[_Watched], answered: float) -> bool:
    """Tell whether the end is one: a pause waits for what may turn red, as it counts anew after it.

    Args:
        ending: What the checks say now.
        watched: Each of them.
        answered: When (monotonic) none was without an answer the last time.
    """
    if ending.state is not State.INCONCLUSIVE:
        return ending.state is not State.OPEN
    waited = time.monotonic() - answered
    return not any(
        waited < patience(each.check) and may_turn_red(each.check, each.tally, each.state())
        for each in watched
    )


async def _next(news: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        if task.done():
            task.result()  # none ever ends but by a mistake of ours, which nothing may hide
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), _TICK)


def _ending(watched: Sequence[_Watched], window: Window) -> Ending:
    seen = [(each, each.state()) for each in watched]
    checks = [shown(each.check, window.moment, each.tally, state) for each, state in seen]
    state = together([(each.check, state) for each, state in seen])
    if state is State.GREEN and not window.is_over:
        state = State.OPEN  # what is ignored is no reason to end a soak
    decisive = [
        status
        for status, (each, its) in zip(checks, seen, strict=True)
        if together([(each.check, its)]) is state
    ]
    return Ending(state, tuple(checks), tuple(decisive))


async def _measure_on(each: _Watched, news: asyncio.Event) -> None:
    due = time.monotonic() + each.check.initial_delay
    while True:
        await asyncio.sleep(due - time.monotonic())
        found = await _in_time(each.probe)
        each.tally = counted(each.tally, _measurement(found))
        news.set()
        # After a pause of the whole Pod they do not follow each other without one.
        due = max(due + each.check.interval, time.monotonic())


async def _in_time(probe: Probe) -> Found:
    """Measure once; after the time-out it is over, even for what does not let itself be ended."""
    seconds = longest(probe.check)
    task = asyncio.ensure_future(probe.measure())
    task.add_done_callback(_hear_out)
    await asyncio.wait({task}, timeout=seconds)
    if task.done():
        return task.result()
    task.cancel()
    return Found(probe.late, "", f"no answer within {format_duration(seconds)}")


def _hear_out(task: asyncio.Future[Found]) -> None:
    """Take the error of what was given up: asyncio would log it with all that it holds."""
    if not task.cancelled():
        task.exception()


def _measurement(found: Found) -> Measurement:
    return measured(rfc3339(time.time()), found.verdict, found.value, found.message)


async def _give_up_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=_LAST_WORDS)
