"""Deleted with `deletionPolicy: Rollback`: taken back, or it is said that the schema stays."""

from dataclasses import replace

import pytest

from tests.fake_cluster import KEY, PATH, FakeCluster
from whimbrel.controller import paths
from whimbrel.controller.observe import observe
from whimbrel.machine.decide import decide

ALLOWED = {"rollback": {"allowDataLoss": {"by": "me", "reason": "test data"}}}


async def deleted(script: list[str]) -> FakeCluster:
    cluster = FakeCluster(["ok", *script])
    await cluster.apply(deletionPolicy="Rollback")
    await cluster.run()
    await cluster.annotate(retry_requested_at="last year")
    await cluster.run()
    await cluster.api.delete(PATH)
    return cluster


async def held(script: list[str]) -> FakeCluster:
    cluster = await deleted(["ok", *script])
    await cluster.run(lambda: cluster.status().get("phase") == "Held")
    assert cluster.ledger.applied == ["001", "002"]
    return cluster


def left_behind(cluster: FakeCluster) -> list[str]:
    events = [body for path, body in cluster.api.objects.items() if "/events/" in path]
    return [event["message"] for event in events if event["reason"] == "LeftBehind"]


@pytest.mark.parametrize("how", ["allowDataLoss", "retry"])
@pytest.mark.parametrize("after", [0, 290])
async def test_held_rollback_of_a_deleted_object_goes_on(how: str, after: int):
    cluster = await held(["loses data"])
    cluster.now += after  # however late: it gets its time
    if how == "retry":
        await cluster.annotate(retry_requested_at="now")
    else:
        await cluster.apply(deletionPolicy="Rollback", **ALLOWED)
    cluster.node.image_is_there = False
    await cluster.run(lambda: "ImagePullBackOff" in said(cluster))
    cluster.now += 20
    cluster.node.image_is_there = True
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert cluster.ledger.applied == []
    assert left_behind(cluster) == []


def said(cluster: FakeCluster) -> str:
    return str(cluster.status().get("message", ""))


async def test_object_that_could_not_be_taken_back_goes_with_an_event():
    cluster = await held(["loses data"] * 9)
    moment = cluster.now
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert 290 <= cluster.now - moment <= 320
    (told,) = left_behind(cluster)
    assert "the schema stays in the database" in told
    assert "WouldLoseData" in told
    assert len(cluster.node.script) == 8  # nobody asked again


async def test_operator_that_was_away_takes_back_all_the_same():
    cluster = await deleted([])
    cluster.now += 600
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert cluster.ledger.done == ["001", "002", "-001", "-002"]


async def test_terminating_namespace_takes_the_object_along_and_says_so():
    cluster = await deleted([])
    await cluster.api.delete(paths.namespace(KEY[0]))
    look = await observe(cluster.world, KEY)
    decision = decide(replace(look.seen, namespace_leaving=True))
    assert "the schema stays in the database" in decision.left
