"""A status grows while its run goes on; the API server takes it whatever the run has seen."""

from typing import Any

import pytest

from tests.fake_cluster import PATH, FakeCluster
from tests.unit.controller.test_job_checks import smoke
from tests.unit.controller.test_release import released, told, until
from tests.unit.controller.test_workload_checks import workload

Body = dict[str, Any]


def ten(kind: str, version: int) -> list[Body]:
    """As many checks of the soak as an object may have, with names of their own."""
    make = workload("30s") if kind == "Workload" else smoke("Soak", interval="30s")
    return [make | {"name": f"{kind.lower()}-{version}-{n}"} for n in range(10)]


@pytest.mark.parametrize("besides", [False, True], ids=["alone", "with the work of a later run"])
@pytest.mark.parametrize("kind", ["Workload", "Job"])
async def test_checks_that_are_renamed_in_a_soak_go_on_being_measured(kind: str, besides: bool):
    cluster = await released(healthChecks=ten(kind, 0), soak="2m")
    await until(cluster, "Soak")
    for version in (1, 2):
        await _measured(cluster)
        changes = {"healthChecks": ten(kind, version)}
        later = {"rollback": {"keepSalvage": f"{version}h"}} if besides else {}
        await cluster.apply(**(cluster.api.objects[PATH]["spec"] | changes | later))
    await _measured(cluster)
    shown = [each["name"] for each in cluster.status()["checks"]]
    assert {each["name"] for each in ten(kind, 2)} <= set(shown)
    await cluster.run(limit=1000)
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def _measured(cluster: FakeCluster) -> None:
    """Go on for a part of the soak."""
    end = cluster.now + 31
    while cluster.now < end:
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 0
