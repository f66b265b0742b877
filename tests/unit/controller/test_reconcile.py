"""The life of one object against an API server that keeps the rules."""

from tests.fake_cluster import PATH, FakeCluster
from whimbrel.machine.names import FINALIZER


async def test_applied_object_becomes_ready_with_one_job():
    cluster = FakeCluster()
    await cluster.apply()
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.condition("Ready") == cluster.condition("Completed") == "True"
    assert cluster.status()["applied"]["revision"] == "002"
    assert cluster.ledger.done == ["001", "002"]
    assert len(cluster.jobs()) == 1
    assert FINALIZER not in cluster.api.objects[PATH]["metadata"].get("finalizers", [])
