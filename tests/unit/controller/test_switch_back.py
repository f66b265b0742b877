"""The way back where the Service shows blue already: green stays until blue has the traffic."""

import pytest

from tests.blue_green import BLUE, blue_green, check
from tests.fake_application import APPS, SERVICE
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import (
    _some_turns,
    _working,
    edit_service,
    released,
    segment,
    told,
    until,
)

MOVED = ["blue", "green", "blue", "green", "blue"]


async def moved_by_hand(selector: dict[str, str | None] | None = None) -> FakeCluster:
    """A release that is held, since somebody has moved its traffic away from green twice."""
    cluster = await released()
    await _working(cluster, "Soak")
    await edit_service(cluster)
    await cluster.run(lambda: cluster.application.selector() != BLUE)
    await _some_turns(cluster)
    await edit_service(cluster)
    await _some_turns(cluster)
    assert told(cluster) == ("Held", "False", MOVED)
    cluster.node.hold = False
    if selector:
        await cluster.api.patch(SERVICE, {"spec": {"selector": selector}})
    return cluster


async def ask_back(cluster: FakeCluster) -> None:
    await cluster.annotate(rollback_requested_at="now")
    for _ in range(30):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 0


def replicas(cluster: FakeCluster, track: str) -> int:
    found: int = cluster.api.objects[f"{APPS}/deployments/shop-{track}"]["spec"]["replicas"]
    return found


async def test_blue_without_pods_is_scaled_up_before_green_is_drained():
    cluster = await moved_by_hand()
    blue = f"{APPS}/deployments/shop-blue"
    await cluster.api.patch(blue, {"spec": {"replicas": 0}})
    await cluster.application.step()
    cluster.application.broken = {"shop-blue"}
    await ask_back(cluster)
    assert (segment(cluster), replicas(cluster, "green")) == ("SwitchBack", 2)
    assert cluster.status()["conditions"][0]["reason"] == "RollbackBlocked"
    assert "stays at green" not in cluster.status()["message"]
    cluster.application.broken.clear()
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", MOVED)
    scaled = cluster.status()["run"]["release"]["scaled"]
    assert [each["name"] for each in scaled] == ["shop-blue", "shop-green"]


async def test_pods_of_others_behind_the_service_are_waited_for():
    cluster = await moved_by_hand()
    slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices"
    other = {"addresses": ["stray"], "conditions": {"ready": True}}
    labels = {"kubernetes.io/service-name": "shop"}
    made = {"metadata": {"name": "stray", "labels": labels}, "endpoints": [other]}
    await cluster.api.create(slices, made)
    await ask_back(cluster)
    assert (segment(cluster), replicas(cluster, "green")) == ("SwitchBack", 2)
    assert "1 of others" in cluster.status()["message"]
    await cluster.api.delete(f"{slices}/stray")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", MOVED)


@pytest.mark.parametrize("selector", [{"track": None}, {"app": "page", "track": None}])
async def test_a_service_that_shows_neither_side_is_given_to_blue(selector: dict):
    cluster = await moved_by_hand(selector)
    await ask_back(cluster)
    await cluster.run()
    assert cluster.application.selector() == BLUE
    assert told(cluster)[:2] == ("RolledBack", "False")
    assert cluster.ledger.applied == []


@pytest.mark.parametrize("where", ["Switch", "SwitchBack"])
async def test_sides_that_are_taken_out_of_the_spec_between_them_are_asked_for(where: str):
    checks = {"healthChecks": [check("Soak")]}
    cluster = await released(**checks)
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, where)
    await cluster.apply(strategy={"type": "Transactional", "blueGreen": None})
    await _some_turns(cluster)
    assert segment(cluster) == where
    assert "put spec.strategy.blueGreen back" in cluster.status()["message"]
    await cluster.apply(**(blue_green() | checks))
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
