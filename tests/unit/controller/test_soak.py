"""A soak counts only while it is measured: by its probe's Pod, and by the controller itself."""

from typing import Any

import pytest

from tests.blue_green import check
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import _some_turns, _working, released, segment, told, until
from tests.unit.controller.test_workload_checks import workload
from whimbrel.machine.timestamps import precise, unix

Body = dict[str, Any]
SOAK = 40.0
COMPLETED = ("Completed", "True", ["blue", "green"])
JOB = {
    "name": "smoke",
    "type": "Job",
    "when": ["Soak"],
    "interval": "10s",
    "timeout": "10s",
    "job": {"image": "smoke:1", "command": ["smoke"]},
}


async def passes(cluster: FakeCluster, seconds: float) -> None:
    """Let the operator look as often as it wants to, for so long, while the node does its work."""
    end = cluster.now + seconds
    while cluster.now < end:
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += min(again or 1.0, end - cluster.now)


async def evict(cluster: FakeCluster) -> None:
    """End the Pod of the current Job from outside: its runner says nothing."""
    (path,) = [
        each for each in cluster.api.objects if each.endswith(f"{cluster.status()['job']}-x")
    ]
    gone = {"terminated": {"exitCode": 137, "reason": "Error"}}
    pod = cluster.api.objects[path]["status"]["containerStatuses"][0]
    cluster.api.put_status(path, {"containerStatuses": [pod | {"state": gone}]})


def stalled(cluster: FakeCluster) -> list[str]:
    conditions = [each for status in cluster.shown for each in status.get("conditions", ())]
    return [each["message"] for each in conditions if each["type"] == "Stalled"]


async def test_an_image_that_is_away_for_two_soaks_is_followed_by_a_whole_one():
    cluster = await released()
    await until(cluster, "Soak")
    cluster.node.image_is_there = False
    await passes(cluster, 2 * SOAK)
    assert segment(cluster) == "Soak"
    cluster.node.image_is_there = True
    # The kubelet tries again.
    path = next(
        each for each in cluster.api.objects if each.endswith(f"{cluster.status()['job']}-x")
    )
    cluster.api.put_status(path, {})
    begun = cluster.now
    await passes(cluster, 5)
    assert f"until {precise(begun + SOAK)}" in cluster.status()["message"]
    await cluster.run()
    assert told(cluster) == COMPLETED
    assert cluster.now >= begun + SOAK


async def test_a_probe_that_was_evicted_is_followed_by_a_whole_soak():
    cluster = await released(soak="10m", limits={"progressDeadline": "1m"})
    await until(cluster, "Soak")
    await passes(cluster, 500)
    await evict(cluster)
    begun = cluster.now
    await cluster.run(limit=1500)
    assert told(cluster) == COMPLETED
    assert cluster.now >= begun + 600
    assert stalled(cluster) == []


@pytest.mark.parametrize("operator", ["kept", "restarted"])
@pytest.mark.parametrize(
    "checks",
    [
        pytest.param([workload("10s")], id="Workload"),
        pytest.param([JOB], id="Job"),
        pytest.param([workload("10s"), check("Soak")], id="beside a probe"),
    ],
)
async def test_an_operator_that_was_away_begins_the_soak_anew(checks: list[Body], operator: str):
    cluster = await released(healthChecks=checks, soak="5m")
    await until(cluster, "Soak")
    await passes(cluster, 60)
    cluster.now += 600  # nobody looks; the node goes on
    while await cluster.node.step():
        pass
    if operator == "restarted":
        cluster.world = cluster.new_operator()
    begun = cluster.now
    await cluster.run(limit=1500)
    assert told(cluster) == COMPLETED
    assert cluster.now >= begun + 300
    assert stalled(cluster) == []


@pytest.mark.parametrize("checks", [[workload("10s")], [JOB]], ids=["Workload", "Job"])
async def test_an_operator_that_is_soon_back_goes_on_with_the_soak(checks: list[Body]):
    cluster = await released(healthChecks=checks, soak="5m")
    await until(cluster, "Soak")
    begun = unix(cluster.status()["run"]["release"]["since"])
    for _ in range(4):
        await passes(cluster, 40)
        cluster.now += 15
        cluster.world = cluster.new_operator()
    await cluster.run(limit=1500)
    assert told(cluster) == COMPLETED
    assert cluster.now < begun + 300 + 60


async def test_what_failed_before_a_restart_of_the_operator_still_counts():
    cluster = await released(healthChecks=[workload("10s")], soak="5m")
    await until(cluster, "Soak")
    await passes(cluster, 30)
    cluster.application.broken = {"shop-green"}
    ill = cluster.now
    while segment(cluster) == "Soak":
        await passes(cluster, 12)  # longer than one interval, shorter than three
        cluster.world = cluster.new_operator()
    assert cluster.now <= ill + 48


async def test_a_probe_that_is_evicted_again_and_again_hides_no_check_of_ours():
    cluster = await released(healthChecks=[workload("60s"), check("Soak")], soak="10m")
    await until(cluster, "Soak")
    cluster.application.broken = {"shop-green"}
    ill = cluster.now
    while segment(cluster) == "Soak" and cluster.now < ill + 600:
        await passes(cluster, 40)
        if segment(cluster) == "Soak":
            await evict(cluster)
    assert cluster.now <= ill + 240


async def test_a_probe_that_does_not_start_hides_no_check_of_ours():
    cluster = await released(healthChecks=[workload("10s"), check("Soak")], soak="10m")
    await until(cluster, "Soak")
    cluster.node.image_is_there = False
    await passes(cluster, 20)
    cluster.application.broken = {"shop-green"}
    ill = cluster.now
    await passes(cluster, 40)
    assert segment(cluster) != "Soak"
    assert cluster.now <= ill + 40


async def test_a_soak_that_is_watched_anew_after_a_suspension_is_not_called_late():
    cluster = await released()
    await _working(cluster, "Soak")
    await cluster.apply(suspend=True)
    await _some_turns(cluster)
    cluster.now += 7200
    cluster.node.hold = False
    await cluster.apply(suspend=False)
    await cluster.run()
    assert told(cluster) == COMPLETED
    assert stalled(cluster) == []
