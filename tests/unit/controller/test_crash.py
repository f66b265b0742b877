"""The operator is killed before and after each of its writes: nothing runs twice, same end."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest

from tests.blue_green import deploy
from tests.fake_api import FakeApi
from tests.fake_cluster import KEY, PATH, FakeCluster, Killed
from whimbrel.controller.client import Client
from whimbrel.controller.observe import observe
from whimbrel.controller.reconcile import reconcile
from whimbrel.machine.decide import decide

Body = dict[str, Any]
BUMPED = {"migrations": {"tool": "sql", "inline": {"files": {"003_c.up.sql": "SELECT 3"}}}}


class DyingClient:
    """Ends the process before or after its k-th write."""

    def __init__(self, api: FakeApi, k: int, moment: str) -> None:
        self.api, self.k, self.moment, self.writes = api, k, moment, 0

    async def get(self, path: str) -> Body | None:
        return await self.api.get(path)

    async def list(self, path: str, selector: str = "") -> list[Body]:
        return await self.api.list(path, selector)

    async def text(self, path: str, lines: int = 0) -> str | None:
        return await self.api.text(path, lines)

    async def change(self, path: str, operations: Sequence[Body]) -> Body:
        return await self._dying(self.api.change, path, operations)

    async def create(self, path: str, body: Body) -> Body:
        return await self._dying(self.api.create, path, body)

    async def replace(self, path: str, body: Body) -> Body:
        return await self._dying(self.api.replace, path, body)

    async def patch(self, path: str, body: Body) -> Body:
        return await self._dying(self.api.patch, path, body)

    async def delete(self, path: str, uid: str) -> None:
        await self._dying(self.api.delete, path, uid)

    async def _dying(self, write: Any, *words: Any) -> Any:
        self.writes += 1
        mine = self.writes == self.k
        if mine and self.moment == "before":
            raise Killed
        result = await write(*words)
        if mine:
            raise Killed
        return result


async def migrate(cluster: FakeCluster) -> None:
    await cluster.apply()
    await cluster.run()


async def vanish(cluster: FakeCluster) -> None:
    cluster.node.script = ["vanish after"]
    await migrate(cluster)


async def approve(cluster: FakeCluster) -> None:
    await cluster.apply(approval={"before": ["Start"]})
    await cluster.run()
    await cluster.annotate(approve=cluster.status()["gate"]["token"])
    await cluster.run()


async def fail_and_fix(cluster: FakeCluster) -> None:
    cluster.node.script = ["busy", "fail"]
    await migrate(cluster)
    await cluster.apply(**BUMPED)
    await cluster.run()


async def take_back(cluster: FakeCluster) -> None:
    await migrate(cluster)
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()


async def delete(cluster: FakeCluster) -> None:
    await cluster.apply(deletionPolicy="Rollback")
    await cluster.run()
    await cluster.api.delete(PATH)
    await cluster.run()


async def suspend(cluster: FakeCluster) -> None:
    await cluster.apply()
    cluster.node.hold = True
    await cluster.run(lambda: bool(cluster.jobs()))
    await cluster.apply(suspend=True)
    await cluster.run()
    cluster.node.hold = False
    await cluster.apply(suspend=False)
    await cluster.run()


async def release(cluster: FakeCluster) -> None:
    """Traffic, application and schema: the same end, and no side but one."""
    await deploy(cluster)
    await cluster.run()


async def release_and_back(cluster: FakeCluster) -> None:
    cluster.ledger.health = {"Soak": ["red"]}
    await release(cluster)


async def checkpoint_expires(cluster: FakeCluster) -> None:
    """Kept for a day, then dropped by a Job of its own; the object stays as it was."""
    await cluster.apply(checkpoint={})
    await cluster.run()
    assert is_dropped(cluster)


def is_dropped(cluster: FakeCluster) -> bool:
    kept = cluster.ledger.checkpoint
    return kept is not None and kept.state == "Closed"


async def keep_one(cluster: FakeCluster) -> None:
    """Migrate, and stop while a checkpoint of that is kept."""
    await cluster.apply(checkpoint={})
    await cluster.run(lambda: cluster.status().get("phase") == "Completed")


async def checkpoint_is_followed(cluster: FakeCluster) -> None:
    """The next run brings its own, and that one is dropped at its time."""
    await keep_one(cluster)
    cluster.ledger.pending += ("003",)
    await cluster.apply(checkpoint={}, **BUMPED)
    await cluster.run()


async def checkpoint_and_deletion(cluster: FakeCluster) -> None:
    await keep_one(cluster)
    await cluster.api.delete(PATH)
    await cluster.run()
    assert is_dropped(cluster)


async def checkpoint_and_back(cluster: FakeCluster) -> None:
    await keep_one(cluster)
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()


STORIES = {
    story.__name__: story
    for story in (
        migrate,
        vanish,
        approve,
        fail_and_fix,
        take_back,
        delete,
        suspend,
        release,
        release_and_back,
        checkpoint_expires,
        checkpoint_is_followed,
        checkpoint_and_deletion,
        checkpoint_and_back,
    )
}


def ending(cluster: FakeCluster) -> tuple[Any, ...]:
    """What must be the same however often the operator died."""
    status = cluster.status()
    applied = status.get("applied", {}).get("revision")
    facts = (status.get("phase"), applied, "checkpoint" in status, PATH in cluster.api.objects)
    kept = cluster.ledger.checkpoint
    return (*facts, cluster.ledger.done, cluster.application.sides, kept and kept.state)


async def told(story: str, client: Client | None = None, cluster: FakeCluster | None = None) -> Any:
    cluster = cluster or FakeCluster()
    if client is not None:
        cluster.client = client
        cluster.world = cluster.new_operator()
    await STORIES[story](cluster)
    return cluster


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("story", STORIES)
@pytest.mark.sampled("a killed operator")
async def test_killed_at_every_write(story: str, moment: str):
    undisturbed = FakeCluster()
    counter = DyingClient(undisturbed.api, 0, moment)
    whole = ending(await told(story, counter, undisturbed))
    points = 0
    for k in itertools.count(1):
        cluster = FakeCluster()
        client = DyingClient(cluster.api, k, moment)
        await told(story, client, cluster)
        if client.writes < k:
            break
        points += 1
        assert ending(cluster) == whole, f"killed {moment} write {k}"
        assert cluster.node.most_at_once <= 1
    assert points >= counter.writes >= 6


async def test_crash_points_are_many():
    points = 0
    for story in STORIES:
        cluster = FakeCluster()
        client = DyingClient(cluster.api, 0, "before")
        await told(story, client, cluster)
        points += 2 * client.writes
    assert points >= 150


async def test_decision_of_a_stopped_leader_is_without_effect():
    """Between decision and POST a leader is stopped; another one ends the work meanwhile."""
    cluster = FakeCluster()
    await cluster.apply()
    stale = cluster.new_operator()
    for _ in range(2):
        await cluster.turn()
    look = await observe(stale, KEY)
    assert look is not None
    decision = decide(look.seen)
    assert type(decision).__name__ == "CreateJob"
    await cluster.run()
    for path in [path for path in cluster.api.objects if "/jobs/" in path]:
        await cluster.api.delete(path)

    from_memory = StaleReads(cluster.api)
    from_memory.frozen = {PATH: look.raw}
    stale.client = from_memory
    await reconcile(stale, KEY)
    assert len(cluster.jobs()) == 1  # the Job is there again, but ...
    await cluster.run()
    assert cluster.ledger.done == ["001", "002"]
    assert cluster.status()["phase"] == "Completed"


class StaleReads(DyingClient):
    """Reads the object as it was when the process was stopped."""

    def __init__(self, api: FakeApi) -> None:
        super().__init__(api, -1, "never")
        self.frozen: dict[str, Body] = {}

    async def get(self, path: str) -> Body | None:
        return self.frozen.get(path) or await self.api.get(path)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.sampled("leaders with stale reads")
async def test_three_leaders_with_stale_reads(seed: int):
    """Any interleaving of three operators, each now and then with an old view of the object."""
    chance = random.Random(seed)
    cluster = FakeCluster(["busy", "vanish after", "ok"])
    await cluster.apply()
    clients = [StaleReads(cluster.api) for _ in range(3)]
    leaders = [cluster.new_operator() for _ in clients]
    for leader, client in zip(leaders, clients, strict=True):
        leader.client = client
    for _ in range(120):
        number = chance.randrange(3)
        client = clients[number]
        if chance.random() < 0.3:
            client.frozen = {PATH: await cluster.api.get(PATH) or {}}
        if chance.random() < 0.5:
            client.frozen = {}
        await reconcile(leaders[number], KEY)
        if chance.random() < 0.5:
            await cluster.node.step()
        cluster.now += chance.random() * 3
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.ledger.done == ["001", "002"]
