"""Questions that only a cluster asks, answered by the real kubectl and CLI over HTTP."""

import asyncio
from pathlib import Path

from tests.blue_green import GREEN, deploy
from tests.fake_application import SERVICE
from tests.fake_cluster import KEY, PATH, FakeCluster
from tests.fake_http import serving_api
from tests.scenarios.held.asking import held_in_cluster
from tests.scenarios.terminal import Terminal
from whimbrel.controller import paths


async def obey_in_cluster(cluster: FakeCluster, folder: Path, command: str) -> None:
    """Type a command where kubectl and `whimbrel` reach the API server, and go on to the end."""
    async with serving_api(cluster.api, folder) as (_, kubeconfig):
        terminal = Terminal(folder, more={"KUBECONFIG": str(kubeconfig)})
        said = await asyncio.to_thread(terminal.type, command)
    assert said.code == 0, said
    await cluster.run()


async def test_the_name_of_our_job_is_taken(tmp_path: Path):
    cluster = FakeCluster()
    await cluster.apply()
    await cluster.turn()
    name = cluster.status()["job"]
    foreign = {"metadata": {"name": name, "namespace": KEY[0]}, "spec": {}}
    await cluster.api.create(paths.jobs(KEY[0]), foreign)
    for _ in range(4):
        await cluster.turn()
    command = held_in_cluster(cluster, "JobNameTaken")
    assert command.startswith("kubectl delete ")
    await obey_in_cluster(cluster, tmp_path, command)
    assert cluster.status()["phase"] == "Completed"
    assert cluster.ledger.done == ["001", "002"]


async def released() -> FakeCluster:
    """A release whose soak is red, and which nobody takes back by itself."""
    cluster = FakeCluster()
    await deploy(cluster, rollback={"onFailure": "Manual"})
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run()
    return cluster


async def test_a_red_check_is_answered_by_going_back(tmp_path: Path):
    cluster = await released()
    command = held_in_cluster(cluster, "HealthCheckFailed")
    assert command.startswith("whimbrel rollback ")
    await obey_in_cluster(cluster, tmp_path, command)
    assert cluster.status()["phase"] == "RolledBack"
    assert (cluster.application.sides, cluster.ledger.applied) == (["blue", "green", "blue"], [])


async def test_a_service_that_drifts_is_answered_when_that_has_ended(tmp_path: Path):
    cluster = FakeCluster()
    await deploy(cluster)
    await cluster.run(lambda: cluster.status().get("phase") == "Soaking")
    for _ in range(2):
        await cluster.api.patch(SERVICE, {"spec": {"selector": {"track": "blue"}}})
        await cluster.run(lambda: is_put_right(cluster) or is_held(cluster))
    command = held_in_cluster(cluster, "TrafficDrift")
    assert command.startswith("whimbrel retry ")
    await obey_in_cluster(cluster, tmp_path, command)
    assert cluster.status()["phase"] == "Completed"
    assert cluster.application.selector() == GREEN


def is_put_right(cluster: FakeCluster) -> bool:
    read_back = cluster.status()["run"]["release"]["reached"]
    return bool(read_back and cluster.application.selector() == GREEN)


def is_held(cluster: FakeCluster) -> bool:
    return bool(cluster.status()["phase"] == "Held")


async def test_a_loss_is_allowed_as_printed(tmp_path: Path):
    cluster = FakeCluster()
    await cluster.apply()
    await cluster.run()
    cluster.node.script = ["loses data"] * 9
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    command = held_in_cluster(cluster, "WouldLoseData")
    assert command.startswith("kubectl patch dbm ")
    await obey_in_cluster(cluster, tmp_path, command)
    allowed = cluster.api.objects[PATH]["spec"]["rollback"]["allowDataLoss"]
    assert allowed == {"by": "WHO", "reason": "TEXT"}
    assert (cluster.status()["phase"], cluster.ledger.applied) == ("RolledBack", [])


async def test_an_answer_is_taken_where_it_is_asked_for_and_nowhere_else(tmp_path: Path):
    command = f"whimbrel resolve {KEY[1]} -n {KEY[0]} --as FenceProven --by ann --reason off"
    cluster = FakeCluster(["held", "ok", "held"])
    await cluster.apply()
    cluster.node.hold = True
    for _ in range(6):
        await cluster.turn()
        await cluster.node.step()
    assert cluster.status()["run"]["state"] == "Open"
    await refused_in_cluster(cluster, tmp_path, command)
    cluster.node.hold = False
    await cluster.run()
    assert is_held(cluster)
    await obey_in_cluster(cluster, tmp_path, command)
    assert cluster.status()["phase"] == "Completed"
    await refused_in_cluster(cluster, tmp_path, command)
    await cluster.annotate(retry_requested_at="now")  # asks the same again, and has no answer
    await cluster.run()
    assert is_held(cluster)


async def refused_in_cluster(cluster: FakeCluster, folder: Path, command: str) -> None:
    """Type an answer to what nobody has asked: nothing is written."""
    before = cluster.api.objects[PATH]
    async with serving_api(cluster.api, folder) as (_, kubeconfig):
        terminal = Terminal(folder, more={"KUBECONFIG": str(kubeconfig)})
        said = await asyncio.to_thread(terminal.type, command)
    assert (said.code, "there is nothing to resolve" in said.err) == (2, True), said
    assert cluster.api.objects[PATH] == before
