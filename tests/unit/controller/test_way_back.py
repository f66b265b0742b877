"""A way back that is interrupted, asked for twice or held leads where it led at first."""

import pytest

from tests.fake_cluster import FakeCluster, spec
from tests.fake_runner import Ledger

ALLOWED = {"rollback": {"allowDataLoss": {"by": "me", "reason": "test data"}}}

# The same migrations, with the down file that was wrong.
MENDED = spec()["migrations"] | {
    "inline": {"files": {"001_a.up.sql": "SELECT 1", "001_a.down.sql": "SELECT 2"}}
}


async def applied_twice(script: list[str]) -> FakeCluster:
    """An object that was applied twice, so that a second way back would lead further."""
    cluster = FakeCluster(["ok", "ok", *script])
    cluster.ledger = cluster.node.ledger = Ledger(pending=("001",))
    await cluster.apply()
    await cluster.run()
    cluster.ledger.pending = ("001", "002")
    await cluster.apply(limits={"lockTimeout": "1s"})
    await cluster.run()
    assert cluster.ledger.before == ["", "001"]
    return cluster


async def asked_back(script: list[str]) -> FakeCluster:
    cluster = await applied_twice(script)
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    return cluster


@pytest.mark.parametrize("vanish", ["vanish before", "vanish after"])
async def test_lost_way_back_is_tried_again_without_a_look(vanish: str):
    cluster = await asked_back([vanish])
    assert not any("-look-" in path for _, path in cluster.api.writes)
    assert cluster.status()["phase"] == "RolledBack"
    assert cluster.ledger.applied == ["001"]


@pytest.mark.parametrize("lost", ["vanish before", "vanish after"])
@pytest.mark.parametrize("how", ["retry", "rollback", "allowDataLoss"])
async def test_held_way_back_is_no_second_one(lost: str, how: str):
    cluster = await asked_back([lost, "held"])
    assert cluster.status()["phase"] == "Held"
    await go_on(cluster, how)
    await cluster.run()
    assert cluster.status()["phase"] == "RolledBack"
    assert cluster.ledger.applied == ["001"]


async def go_on(cluster: FakeCluster, how: str) -> None:
    if how == "allowDataLoss":
        await cluster.apply(limits={"lockTimeout": "1s"}, **ALLOWED)
    else:
        await cluster.annotate(**{f"{how}_requested_at": "later"})


@pytest.mark.parametrize("how", ["retry", "rollback", "allowDataLoss"])
async def test_way_back_that_would_lose_data_keeps_its_target(how: str):
    cluster = await asked_back(["loses data"])
    first = cluster.status()["run"]
    assert (cluster.status()["phase"], first["to"]) == ("Held", "001")
    cluster.ledger.before.append("002")  # "before the newest run" is another place by now
    await go_on(cluster, how)
    await cluster.run()
    assert cluster.status()["phase"] == "RolledBack"
    assert cluster.status()["run"]["id"] != first["id"]  # the ledger has closed the first one
    assert cluster.ledger.applied == ["001"]


@pytest.mark.parametrize("how", ["retry", "rollback", "allowDataLoss", "down"])
async def test_automatic_way_back_that_failed_goes_on_as_a_way_back(how: str):
    cluster = await applied_twice(["rollback failed"])
    cluster.ledger.pending = ("001", "002", "003")
    await cluster.apply(limits={"lockTimeout": "2s"})
    await cluster.run()
    assert cluster.status()["conditions"][0]["reason"] == "RollbackFailed"
    assert cluster.ledger.applied == ["001", "002", "003"]
    cluster.ledger.before.clear()  # what the newest run is, is no longer asked
    match how:
        case "allowDataLoss":
            await cluster.apply(limits={"lockTimeout": "2s"}, **ALLOWED)
        case "down":
            await cluster.apply(migrations=MENDED, limits={"lockTimeout": "2s"})
        case _:
            await go_on(cluster, how)
    await cluster.run()
    assert cluster.status()["phase"] == "RolledBack"
    assert cluster.ledger.applied == ["001", "002"]


async def test_after_a_way_back_that_has_arrived_the_next_one_leads_further():
    cluster = await asked_back([])
    await cluster.annotate(rollback_requested_at="later")
    await cluster.run()
    assert cluster.status()["phase"] == "RolledBack"
    assert cluster.ledger.applied == []
