"""Green gets the traffic when it can take it, and whoever looks hears whether blue could again."""

from typing import Any

import pytest

from tests.blue_green import BLUE, GREEN, blue_green, check
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


def side(which: str, /, **selector: str) -> dict[str, Any]:
    """Return a side whose selector may be wrong."""
    return {which: {"selector": selector, "workloadRef": {"name": f"shop-{which}"}}}


async def waits(cluster: FakeCluster) -> None:
    for _ in range(30):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 0


@pytest.mark.parametrize("track", ["green", "blue"])
@pytest.mark.parametrize("selector", [BLUE, None], ids=["shows blue", "shows nothing"])
async def test_a_selector_that_finds_no_pods_of_its_workload_is_named_and_never_written(
    track: str, selector: dict[str, str] | None
):
    wrong = side(track, app="shop", track="gren")
    cluster = await released(selector, **blue_green(**wrong))
    await waits(cluster)
    assert (segment(cluster), cluster.condition("Ready")) == ("Prepare", "True")
    message = cluster.status()["message"]
    assert f"spec.strategy.blueGreen.{track}.selector" in message
    assert "app=shop,track=gren" in message
    assert f"Deployment/shop-{track}" in message
    assert all(each in ("", "blue") for each in cluster.application.sides)
    await cluster.apply(**blue_green())
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")
    assert cluster.application.sides[-2:] == ["blue", "green"]


async def relabel(cluster: FakeCluster, track: str, **labels: str) -> None:
    """Give Pods labels that another selector finds; its workload still counts them."""
    for path, pod in list(cluster.api.objects.items()):
        if f"/pods/shop-{track}-" in path:
            before = pod["metadata"]["labels"]
            await cluster.api.patch(path, {"metadata": {"labels": before | labels}})


async def test_a_selector_that_finds_only_some_of_greens_pods_is_waited_for():
    cluster = await released(**blue_green(**side("green", pod="0", **GREEN)))
    await cluster.application.step()
    await cluster.api.patch(
        "/api/v1/namespaces/shop/pods/shop-green-0", {"metadata": {"labels": {"pod": "0"}}}
    )
    await waits(cluster)
    assert (segment(cluster), cluster.application.sides) == ("Prepare", ["blue"])
    assert "2 ready Pods of Deployment/shop-green; it finds 1" in cluster.status()["message"]


async def test_a_selector_that_loses_its_pods_before_the_switch_gets_no_traffic():
    cluster = await released(
        **blue_green(**side("green", slot="a", **GREEN)) | {"healthChecks": [check("PreSwitch")]}
    )
    await cluster.application.step()
    await relabel(cluster, "green", slot="a")
    await _working(cluster, "PreSwitch")
    await relabel(cluster, "green", slot="b")
    cluster.node.hold = False
    await waits(cluster)
    assert (segment(cluster), cluster.application.sides) == ("Prepare", ["blue"])


async def test_a_selector_of_blue_that_finds_nothing_blocks_the_way_back_and_is_named():
    cluster = await released(**blue_green(**side("blue", slot="a", **BLUE)))
    await cluster.application.step()
    await relabel(cluster, "blue", slot="a")
    await until(cluster, "Soak")
    await relabel(cluster, "blue", slot="b")
    cluster.ledger.health = {"Soak": ["red"]}
    await waits(cluster)
    assert told(cluster) == ("RollingBack", "False", ["blue", "green"])
    assert "spec.strategy.blueGreen.blue.selector" in cluster.status()["message"]
    await relabel(cluster, "blue", slot="a")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
