"""The queue: each object once at a time, a group one after the other, errors do not spread."""

import asyncio
from collections import Counter

import pytest

from whimbrel.controller.metrics import Metrics
from whimbrel.controller.queue import WorkQueue
from whimbrel.controller.world import Key


class Turns:
    """Counts turns and how many ran at once."""

    def __init__(self) -> None:
        self.done: Counter[Key] = Counter()
        self.running: set[Key] = set()
        self.most = 0
        self.gates: dict[Key, asyncio.Event] = {}
        self.again: dict[Key, list[float | None]] = {}
        self.finished = asyncio.Event()

    async def turn(self, key: Key) -> float | None:
        assert key not in self.running
        self.running.add(key)
        self.most = max(self.most, len(self.running))
        try:
            if key in self.gates:
                await self.gates[key].wait()
            if key[1] == "broken":
                raise ValueError("a mistake of ours")
            return self.again[key].pop(0) if self.again.get(key) else None
        finally:
            self.running.discard(key)
            self.done[key] += 1
            self.finished.set()

    async def until(self, key: Key, times: int) -> None:
        while self.done[key] < times:
            self.finished.clear()
            await asyncio.wait_for(self.finished.wait(), 5)


A, B, C, BROKEN = ("n", "a"), ("n", "b"), ("n", "c"), ("n", "broken")


@pytest.fixture
async def turns():
    return Turns()


@pytest.fixture
async def queue(turns: Turns):
    made = WorkQueue(turns.turn, workers=4, metrics=Metrics())
    task = asyncio.create_task(made.run())
    yield made
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_many_events_are_one_turn_and_one_more_when_they_came_during_it(turns, queue):
    turns.gates[A] = asyncio.Event()
    for _ in range(100):
        queue.add(A)
    queue.add(B)
    await turns.until(B, 1)  # A has started by now
    for _ in range(100):
        queue.add(A)
    turns.gates[A].set()
    await turns.until(A, 2)
    queue.add(C)
    await turns.until(C, 1)
    assert turns.done[A] == 2


async def test_long_turn_of_one_object_does_not_delay_another(turns, queue):
    turns.gates[A] = asyncio.Event()
    queue.add(A)
    queue.add(B)
    await turns.until(B, 1)
    assert turns.done[A] == 0
    turns.gates[A].set()
    await turns.until(A, 1)


async def test_same_secret_takes_turns(turns, queue):
    turns.gates[A] = asyncio.Event()
    queue.add(A, group="n/db")
    queue.add(B, group="n/db")
    queue.add(C)
    await turns.until(C, 1)
    assert turns.done[B] == 0
    turns.gates[A].set()
    await turns.until(B, 1)


async def test_the_end_of_a_neighbour_wakes_those_that_are_due_next(turns, queue):
    keys = [("n", f"object-{number}") for number in range(9)]
    for number, key in enumerate(keys):
        queue.add(key, 3600.0 - number, group="n/db")
    queue.wake("n/db", lambda key: key != keys[8])
    for key in keys[5:8]:
        await turns.until(key, 1)
    assert set(turns.done) == set(keys[5:8])


async def test_the_end_of_a_neighbour_does_not_wake_who_waits_for_a_person_first(turns, queue):
    """They have no moment of their own, and would take every place."""
    for number in range(4):
        queue.add(("n", f"gate-{number}"), group="n/db")
        await turns.until(("n", f"gate-{number}"), 1)
    queue.add(A, 3600.0, group="n/db")
    queue.wake("n/db", lambda key: True)
    await turns.until(A, 1)


async def test_workers_are_limited(turns):
    queue = WorkQueue(turns.turn, workers=1, metrics=Metrics())
    for key in (A, B, C):
        queue.add(key)
    task = asyncio.create_task(queue.run())
    for key in (A, B, C):
        await turns.until(key, 1)
    task.cancel()
    assert turns.most == 1


async def test_error_is_tried_again_and_stops_nobody_else(turns, queue):
    queue.add(BROKEN)
    await turns.until(BROKEN, 2)
    queue.add(A)
    await turns.until(A, 1)


async def test_delay_is_kept_and_an_event_comes_earlier(turns, queue):
    turns.again[A] = [0.05, 3600.0, None]
    queue.add(A)
    await turns.until(A, 2)
    queue.add(A)
    await turns.until(A, 3)
