"""A person who asks for the way back: in a probe, and before a run has done anything."""

import pytest

from tests.blue_green import blue_green, check
from tests.fake_application import APPS
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import _working, released, segment, told, until


async def test_a_rollback_that_is_asked_for_while_a_probe_runs_does_not_wait_for_it():
    cluster = await released()
    await _working(cluster, "Soak")
    for _ in range(3):
        await cluster.node.step()
    await cluster.annotate(rollback_requested_at="now")
    await cluster.turn()
    assert segment(cluster) == "SwitchBack"
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert cluster.status()["handled"]["rollback"] == "now"


@pytest.mark.parametrize("moment", ["PostMigrate", "Soak"])
async def test_a_red_check_after_a_migration_alone_takes_it_back(moment: str):
    cluster = FakeCluster()
    cluster.ledger.health = {moment: ["red"]}
    await cluster.apply(healthChecks=[check("PostMigrate"), check("Soak")], soak="30s")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", [])
    assert cluster.ledger.done == ["001", "002", "-001", "-002"]
    assert cluster.ledger.open_run == ""


async def next_release(cluster: FakeCluster, pending: str = "003", **changes: object) -> None:
    """Apply another migration, whose baseline gets no answer."""
    cluster.ledger.pending += (pending,)
    cluster.ledger.health = {"Baseline": ["unknown"] * 9}
    news = {"healthChecks": [check("Baseline"), check("Soak")], "limits": {"lockTimeout": "2s"}}
    await cluster.apply(**(blue_green() | news | changes))


async def ask_back(cluster: FakeCluster, value: str = "now") -> None:
    await cluster.annotate(rollback_requested_at=value)
    await cluster.run()


GATE = {"approval": {"before": ["Start"]}}


@pytest.mark.parametrize(
    ("where", "changes", "script"),
    [
        pytest.param("Look", {}, [], id="Look"),
        pytest.param("Look", {}, ["vanish before"], id="a lost Look"),
        pytest.param("Approve", GATE, [], id="Approve"),
        pytest.param("Baseline", {}, [], id="Baseline"),
        pytest.param("Baseline", GATE, [], id="Baseline behind a gate"),
    ],
)
async def test_before_a_run_has_done_anything_it_is_closed_and_the_release_before_it_stays(
    where: str, changes: dict, script: list[str]
):
    cluster = await released()
    await cluster.run()
    cluster.node.script = script
    await next_release(cluster, **changes)
    await until(cluster, "Approve" if changes else where)
    await cluster.run(lambda: not cluster.node.script)
    if (where, changes) == ("Baseline", GATE):
        await cluster.run()
        await cluster.annotate(approve=cluster.status()["gate"]["token"])
        await until(cluster, where)
    await ask_back(cluster)
    assert told(cluster) == ("Failed", "False", ["blue", "green"])
    assert cluster.status()["conditions"][0]["reason"] == "NothingToRollBack"
    assert "whimbrel retry shop-schema -n shop" in cluster.status()["message"]
    assert cluster.status()["handled"]["rollback"] == "now"
    assert cluster.ledger.applied == ["001", "002"]
    assert cluster.api.objects[f"{APPS}/deployments/shop-green"]["spec"]["replicas"] == 2
    await ask_back(cluster, "once more")
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert cluster.ledger.applied == []


async def test_a_baseline_without_an_answer_says_that_nothing_was_done_and_names_no_way_back():
    cluster = await released()
    await cluster.run()
    await next_release(cluster)
    await cluster.run(lambda: cluster.condition("Paused") == "True")
    message = cluster.status()["message"]
    assert "rollback" not in message
    assert "nothing was done" in message
    assert "correct the check" in message
    assert "kubectl patch -n shop dbm/shop-schema" in message
    await cluster.apply(healthChecks=[check("Soak")])
    await cluster.run()
    assert cluster.ledger.applied == ["001", "002", "003"]


async def test_a_run_whose_migration_was_lost_has_done_something():
    """The look after it is none before it."""
    cluster = await released(healthChecks=[], soak="0s")
    await until(cluster, "Migrate")
    cluster.node.script = ["vanish after"]
    await until(cluster, "Look")
    await ask_back(cluster)
    assert told(cluster)[:2] == ("RolledBack", "False")
    assert cluster.ledger.applied == []


@pytest.mark.parametrize("changes", [{}, GATE], ids=["without a gate", "with a gate"])
async def test_a_migration_that_was_lost_is_followed_by_no_baseline(changes: dict):
    cluster = await released(**({"healthChecks": [], "soak": "0s"} | changes))
    if changes:
        await cluster.run()
        await cluster.annotate(approve=cluster.status()["gate"]["token"])
    await until(cluster, "Migrate")
    cluster.node.script = ["vanish after"]
    await until(cluster, "Look")
    cluster.ledger.pending += ("003",)
    cluster.ledger.health = {"Baseline": ["red"]}
    await cluster.apply(healthChecks=[check("Baseline")])
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")
    assert cluster.ledger.probes == []


@pytest.mark.parametrize("where", ["Prepare", "Held"])
async def test_an_unfinished_run_before_it_is_what_is_taken_back(where: str):
    cluster = await released()
    if where == "Held":
        cluster.node.script = ["held"]
        await cluster.run()
    else:
        await until(cluster, where)
    for number, lock in (("003", "1s"), ("004", "2s")):
        await next_release(cluster, number, limits={"lockTimeout": lock})
        await until(cluster, "Look")
    unfinished = cluster.ledger.open_run
    await cluster.run(lambda: cluster.condition("Paused") == "True" or where == "Held")
    assert cluster.ledger.open_run == unfinished
    await ask_back(cluster)
    assert cluster.ledger.open_run == ""
    assert cluster.ledger.applied == []
