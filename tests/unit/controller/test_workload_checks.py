"""Checks that the controller makes itself: how soon they decide, and what a restart forgets."""

from typing import Any

import pytest

from tests.blue_green import check
from tests.fake_application import APPS, CORE
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import _some_turns, released, segment, told, until

Body = dict[str, Any]


def workload(interval: str, **changes: Any) -> Body:
    """A check of green in the soak."""
    watched = {"workload": {"ref": {"name": "shop-green"}}, "interval": interval}
    return {"name": "green", "type": "Workload", "when": ["Soak"]} | watched | changes


async def restarted(cluster: FakeCluster, times: int) -> None:
    await cluster.application.step()
    state = {"name": "app", "restartCount": times, "state": {"running": {}}}
    status = {"phase": "Running", "containerStatuses": [state]}
    cluster.api.put_status(f"{CORE}/pods/shop-green-0", status)


@pytest.mark.parametrize("operator", ["kept", "restarted"])
async def test_restarts_in_a_soak_count_also_where_the_operator_is_restarted(operator: str):
    cluster = await released(healthChecks=[workload("5s")], soak="1m")
    await restarted(cluster, 2)  # before the soak: those are well
    await until(cluster, "Soak")
    await _some_turns(cluster, 4)
    assert segment(cluster) == "Soak"
    await restarted(cluster, 6)
    if operator == "restarted":
        cluster.world = cluster.new_operator()
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert "4 restarts since the moment began" in cluster.status()["run"]["release"]["red"]


async def test_restarts_before_a_soak_that_begins_anew_do_not_count():
    cluster = await released(healthChecks=[workload("5s")], soak="1m")
    await until(cluster, "Soak")
    await _some_turns(cluster, 4)
    await cluster.apply(suspend=True)
    await _some_turns(cluster, 4)
    await restarted(cluster, 6)
    await cluster.apply(suspend=False)
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a probe"])
@pytest.mark.parametrize("interval", [1, 2, 5, 7, 10])
async def test_three_failures_decide_within_three_intervals(interval: int, beside: bool):
    checks = [workload(f"{interval}s"), *([check("Soak")] if beside else [])]
    cluster = await released(healthChecks=checks, soak="10m")
    await until(cluster, "Soak")
    if beside:
        await _started(cluster)
    await _some_turns(cluster, 10)
    cluster.application.broken = {"shop-green"}
    await cluster.application.step()
    since = cluster.now
    for _ in range(60):
        again = await cluster.turn()
        if segment(cluster) != "Soak":
            break
        if not await cluster.application.step():
            cluster.now += again or 0
    assert segment(cluster) == "SwitchBack"
    assert cluster.now - since <= 3 * interval + 1  # one for the turn that decides


async def _started(cluster: FakeCluster) -> None:
    """Let the probe's Job work, and go on working."""
    for _ in range(6):
        await cluster.turn()
        if not await cluster.application.step():
            cluster.node.hold = True
            await cluster.node.step()


async def test_a_workload_that_does_not_exist_pauses_and_takes_nothing_back():
    missing = {"workload": {"ref": {"name": "worker"}}}
    cluster = await released(healthChecks=[workload("5s", **missing)], soak="1m")
    await until(cluster, "Soak")
    await cluster.run(lambda: cluster.condition("Paused") == "True")
    assert told(cluster) == ("Soaking", "True", ["blue", "green"])
    assert "Deployment/worker does not exist" in cluster.status()["message"]
    labels = {"matchLabels": {"app": "worker"}}
    template = {"spec": {"containers": [{"name": "app", "image": "worker:1"}]}}
    spec = {"replicas": 1, "selector": labels, "template": template}
    worker = {"kind": "Deployment", "metadata": {"name": "worker", "namespace": "shop"}}
    await cluster.api.create(f"{APPS}/deployments", worker | {"spec": spec})
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_another_image_than_the_one_that_was_asked_for_is_red():
    newer = {"workload": {"ref": {"name": "shop-green", "image": "shop:2"}}}
    cluster = await released(healthChecks=[workload("5s", **newer)], soak="1m")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert "does not run shop:2" in cluster.status()["run"]["release"]["red"]
