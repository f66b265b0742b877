"""Once the schema was read back, only a way back, a failure or a hold takes Ready away.

A Pod that does not start, a Job that is deleted or a Service that is missing is no reason: Helm,
Flux and Argo CD would wait again for what they have been told is there.
"""

from typing import Any

import pytest

from tests.blue_green import check, deploy
from tests.fake_application import SERVICE
from tests.fake_cluster import PATH, FakeCluster, spec
from tests.gitops import argo_health, flux_complaints, kstatus
from whimbrel.machine.decisions import Wait
from whimbrel.machine.report import report
from whimbrel.model.observed import Observed
from whimbrel.model.spec import parse_spec
from whimbrel.model.status import Phase, Status


async def at_segment(wanted: str, **changes: Any) -> FakeCluster:
    """A release whose probe Job of this segment is created and does not end."""
    cluster = FakeCluster()
    await deploy(cluster, **changes)
    for _ in range(300):
        again = await cluster.turn()
        segment = cluster.status().get("run", {}).get("segment", "")
        if segment == wanted and any(wanted.lower() in name for name in cluster.jobs()):
            return cluster
        cluster.node.hold = segment == wanted
        if not (await cluster.application.step() or await cluster.node.step()) and again:
            cluster.now += again
    raise AssertionError(f"never at {wanted}: {cluster.status()}")


async def image_is_away(cluster: FakeCluster) -> None:
    cluster.node.image_is_there, cluster.node.hold = False, False


async def job_is_deleted_slowly(cluster: FakeCluster) -> None:
    (path,) = [path for path in cluster.api.objects if "/jobs/" in path and "soak" in path]
    await cluster.api.patch(path, {"metadata": {"finalizers": ["somebody/else"]}})
    await cluster.api.delete(path)


async def service_is_deleted(cluster: FakeCluster) -> None:
    await cluster.api.delete(SERVICE)


@pytest.mark.parametrize("trouble", [image_is_away, job_is_deleted_slowly, service_is_deleted])
async def test_trouble_in_a_soak_leaves_the_schema_ready(trouble: Any):
    cluster = await at_segment("Soak")
    assert cluster.condition("Ready") == "True"
    await trouble(cluster)
    before = len(cluster.shown)
    for _ in range(6):
        await cluster.turn()
        await cluster.node.step()
    for status in cluster.shown[before:]:
        ready = next(each for each in status["conditions"] if each["type"] == "Ready")
        assert (status["phase"], ready["status"]) == ("Soaking", "True"), status["message"]
    found = cluster.api.objects[PATH]
    assert (kstatus(found), argo_health(found)) == ("Current", "Healthy")


async def test_a_service_that_comes_with_the_same_wave_fails_no_sync():
    """Argo CD ends a sync at the first Degraded; what heals by itself is waited for first."""
    cluster = FakeCluster()
    await deploy(cluster, None, healthChecks=[check("Soak")])
    await cluster.api.delete(SERVICE)
    for _ in range(6):
        await cluster.turn()
        await cluster.node.step()
    found = cluster.api.objects[PATH]
    assert "shop does not exist" in found["status"]["message"]
    assert flux_complaints(found) == []
    assert (kstatus(found), argo_health(found)) == ("InProgress", "Progressing")


def test_a_pause_before_the_migration_is_shown_as_one():
    seen = Observed("shop", "shop", "uid", 1, parse_spec(spec()), Status(), 1_800_000_000.0)
    told = {"human": "x", "paused": "HealthCheckUnknown"}
    status = report(seen, Wait(Phase.PREFLIGHT, "HealthCheckUnknown", "no answer", **told))
    shown = {each.type: each.status for each in status.conditions}
    assert shown == {"Ready": "Unknown", "Reconciling": "True", "Paused": "True"}
