"""Green gets the traffic when it can take it, and whoever looks hears whether blue could again."""

import pytest

from tests.blue_green import check
from tests.fake_application import APPS
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import (
    _some_turns,
    _working,
    released,
    segment,
    told,
    until,
)


async def scale(cluster: FakeCluster, track: str, replicas: int) -> None:
    await cluster.api.patch(f"{APPS}/deployments/shop-{track}", {"spec": {"replicas": replicas}})


@pytest.mark.parametrize("deployed", [True, False], ids=["its Pods are ready", "asked for alone"])
async def test_blue_that_grows_before_the_switch_is_waited_for_by_green(deployed: bool):
    cluster = await released(healthChecks=[check("PreSwitch")], soak="0s")
    await _working(cluster, "PreSwitch")
    cluster.application.broken = set() if deployed else {"shop-blue"}
    await scale(cluster, "blue", 6)
    cluster.node.hold = False
    for _ in range(30):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 0
    assert (segment(cluster), cluster.application.sides) == ("Prepare", ["blue"])
    assert "as many ready Pods as blue, 6; it has 2" in cluster.status()["message"]
    await scale(cluster, "green", 6)
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_blue_that_somebody_scaled_to_zero_is_told_as_long_as_a_way_back_may_come():
    cluster = await released()
    await until(cluster, "Prepare")
    await scale(cluster, "blue", 0)
    await until(cluster, "Soak")
    await _some_turns(cluster, 3)
    missing = "a way back would have to wait for Deployment/shop-blue"
    assert missing in cluster.status()["message"]
    shown = [each["message"] for each in cluster.shown if each["phase"] == "Switching"]
    assert any(missing in each for each in shown), shown
    await scale(cluster, "blue", 2)
    await cluster.application.step()
    await _some_turns(cluster, 2)
    assert missing not in cluster.status()["message"]
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
