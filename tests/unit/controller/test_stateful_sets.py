"""A release between two StatefulSets."""

import pytest

from tests.blue_green import BLUE, blue_green
from tests.fake_application import APPS
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import told


async def stateful() -> FakeCluster:
    """A shop of StatefulSets alone; one that looks for Deployments finds none."""
    cluster = FakeCluster()
    await cluster.application.deploy("blue", kind="StatefulSet")
    await cluster.application.deploy("green", kind="StatefulSet")
    await cluster.application.serve(BLUE)
    spec = blue_green()
    for track in ("blue", "green"):
        spec["strategy"]["blueGreen"][track]["workloadRef"]["kind"] = "StatefulSet"
    watched = {
        "type": "Workload",
        "workload": {"ref": {"kind": "StatefulSet", "name": "shop-green"}},
    }
    spec["healthChecks"].append({"name": "green", "when": ["Soak"]} | watched)
    await cluster.apply(**spec)
    return cluster


@pytest.mark.parametrize("red", [False, True], ids=["good", "red"])
async def test_a_release_between_stateful_sets(red: bool):
    cluster = await stateful()
    cluster.ledger.health = {"Soak": ["red"]} if red else {}
    await cluster.run()
    back = ("RolledBack", "False", ["blue", "green", "blue"])
    assert told(cluster) == (back if red else ("Completed", "True", ["blue", "green"]))
    green = cluster.api.objects[f"{APPS}/statefulsets/shop-green"]
    assert green["spec"]["replicas"] == (0 if red else 2)
    scaled = cluster.status()["run"]["release"].get("scaled") or []
    assert [each["kind"] for each in scaled] == (["StatefulSet"] if red else [])


async def test_a_stateful_set_that_gets_sick_in_the_soak_goes_back():
    cluster = await stateful()
    await cluster.run(lambda: cluster.status().get("run", {}).get("segment") == "Soak")
    cluster.application.broken = {"shop-green"}
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
