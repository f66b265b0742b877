"""A person who asks in the middle of a probe, and a red check where there is no traffic."""

import pytest

from tests.blue_green import check
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import _working, released, segment, told


async def test_a_rollback_that_is_asked_for_while_a_probe_runs_does_not_wait_for_it():
    cluster = await released()
    await _working(cluster, "Soak")
    for _ in range(3):
        await cluster.node.step()
    await cluster.annotate(rollback_requested_at="now")
    await cluster.turn()
    assert segment(cluster) == "SwitchBack"
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert cluster.status()["handled"]["rollback"] == "now"


@pytest.mark.parametrize("moment", ["PostMigrate", "Soak"])
async def test_a_red_check_after_a_migration_alone_takes_it_back(moment: str):
    cluster = FakeCluster()
    cluster.ledger.health = {moment: ["red"]}
    await cluster.apply(healthChecks=[check("PostMigrate"), check("Soak")], soak="30s")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", [])
    assert cluster.ledger.done == ["001", "002", "-001", "-002"]
    assert cluster.ledger.open_run == ""
