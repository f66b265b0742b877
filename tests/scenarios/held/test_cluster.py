"""Questions that only a cluster asks, answered by the real kubectl and CLI over HTTP."""

import asyncio
from pathlib import Path

from tests.fake_cluster import KEY, FakeCluster
from tests.fake_http import serving_api
from tests.scenarios.held.asking import held_in_cluster
from tests.scenarios.terminal import Said, Terminal
from whimbrel.controller import paths


async def obey_in_cluster(cluster: FakeCluster, folder: Path, command: str) -> Said:
    """Type a command where kubectl and `whimbrel` reach the cluster's API server."""
    async with serving_api(cluster.api, folder) as (_, kubeconfig):
        terminal = Terminal(folder, more={"KUBECONFIG": str(kubeconfig)})
        return await asyncio.to_thread(terminal.type, command)


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
    said = await obey_in_cluster(cluster, tmp_path, command)
    assert said.code == 0, said
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.ledger.done == ["001", "002"]
