"""Leader election between candidates that see one API server."""

import asyncio

import pytest

from tests.fake_api import FakeApi
from whimbrel.controller import lease as module
from whimbrel.controller.client import ApiError
from whimbrel.controller.lease import Lease


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def candidates(api: FakeApi) -> tuple[Lease, Lease]:
    return Lease(api, "w", "whimbrel", "one"), Lease(api, "w", "whimbrel", "two")


async def test_one_leads_and_keeps_leading(clock: list[float]):
    one, two = candidates(FakeApi(lambda: 0.0))
    for _ in range(20):
        assert await one.try_once()
        assert not await two.try_once()
        clock[0] += 2


async def test_silent_leader_is_followed_after_the_duration(clock: list[float]):
    one, two = candidates(FakeApi(lambda: 0.0))
    assert await one.try_once()
    assert not await two.try_once()
    clock[0] += module.DURATION - 1
    assert not await two.try_once()
    clock[0] += 2
    assert await two.try_once()
    assert not await one.try_once()


async def test_released_lease_is_free_at_once(clock: list[float]):
    one, two = candidates(FakeApi(lambda: 0.0))
    assert await one.try_once()
    await one.release()
    assert await two.try_once()
    await one.release()  # no longer ours: nothing happens
    assert await two.try_once()


async def test_two_at_the_same_moment_one_wins(clock: list[float]):
    api = FakeApi(lambda: 0.0)
    won = await asyncio.gather(*(each.try_once() for each in candidates(api)))
    assert sorted(won) == [False, True]


class Away(FakeApi):
    """An API server that does not answer."""

    async def get(self, path: str) -> None:
        raise ApiError(0, "ServerDisconnectedError", path)


async def test_unreachable_api_server_is_no_leadership(clock: list[float]):
    assert not await Lease(Away(lambda: 0.0), "w", "whimbrel", "one").try_once()


async def test_leader_that_cannot_renew_holds_it_no_longer(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "DEADLINE", 0.2)
    monkeypatch.setattr(module, "PERIOD", 0.02)
    one = Lease(Away(lambda: 0.0), "w", "whimbrel", "one")
    await asyncio.wait_for(one.hold(), 5)


async def test_candidate_told_to_stop_gives_up(clock: list[float]):
    one, two = candidates(FakeApi(lambda: 0.0))
    assert await one.try_once()
    stop = asyncio.Event()
    stop.set()
    assert not await two.acquire(stop)
