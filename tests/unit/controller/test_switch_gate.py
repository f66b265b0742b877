"""Gate `Switch`: green is ready, and the traffic waits for a person; nothing promotes by time."""

import pytest

from tests.blue_green import blue_green, check, deploy
from tests.fake_cluster import PATH, FakeCluster
from tests.gitops import argo_health, flux_complaints, kstatus
from tests.unit.controller.test_crash import DyingClient

GATED = {"approval": {"before": ["Switch"]}}


async def waiting(*moments: str) -> FakeCluster:
    """A release that has come to its gate."""
    cluster = FakeCluster()
    await deploy(cluster, healthChecks=[check(each) for each in moments], soak="0s", **GATED)
    await cluster.run()
    return cluster


async def approve(cluster: FakeCluster, token: str = "") -> None:
    await cluster.annotate(approve=token or cluster.status()["gate"]["token"])


def told(cluster: FakeCluster) -> tuple[str, str, list[str]]:
    return (cluster.status()["phase"], cluster.condition("Ready"), cluster.application.sides)


async def test_green_waits_for_a_person_and_the_schema_is_ready():
    cluster = await waiting("PreSwitch")
    assert told(cluster) == ("AwaitingApproval", "True", ["blue"])
    assert cluster.condition("Paused") == "True"
    gate = cluster.status()["gate"]
    assert (gate["name"], gate["token"].partition(":")[0]) == ("Switch", "Switch")
    assert f"whimbrel.dev/approve={gate['token']}" in cluster.status()["message"]
    assert cluster.status()["job"] == ""
    body = cluster.api.objects[PATH]
    assert (kstatus(body), argo_health(body)) == ("Current", "Healthy")
    assert flux_complaints(body) == []
    cluster.now += 30 * 86_400
    await cluster.run()
    assert told(cluster) == ("AwaitingApproval", "True", ["blue"])


async def test_approved_green_is_looked_at_again_and_gets_the_traffic():
    cluster = await waiting("PreSwitch", "PostSwitch")
    assert cluster.ledger.probes == ["PreSwitch"]
    await approve(cluster)
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert cluster.ledger.probes == ["PreSwitch", "PreSwitch", "PostSwitch"]
    assert cluster.status().get("gate") is None


async def test_green_that_fell_ill_while_it_waited_is_not_switched_to():
    cluster = await waiting("PreSwitch")
    cluster.ledger.health = {"PreSwitch": ["red"]}
    await approve(cluster)
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue"])
    assert cluster.ledger.applied == []


@pytest.mark.parametrize("token", ["Switch:000000000000", "Start:0123456789ab", "Switch:"])
async def test_another_token_approves_nothing(token: str):
    cluster = await waiting()
    await approve(cluster, token)
    await cluster.run()
    assert told(cluster) == ("AwaitingApproval", "True", ["blue"])


async def test_the_approval_of_a_run_before_is_none_of_the_next_one():
    cluster = await waiting("PostSwitch")
    cluster.ledger.health = {"PostSwitch": ["red"]}
    await approve(cluster)
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    await cluster.application.step()
    path = "/apis/apps/v1/namespaces/shop/deployments/shop-green"
    await cluster.api.patch(path, {"spec": {"replicas": 2}})
    await cluster.annotate(retry_requested_at="now")
    await cluster.run()
    assert told(cluster) == ("AwaitingApproval", "True", ["blue", "green", "blue"])


async def test_a_person_may_go_back_instead_and_no_service_is_touched():
    cluster = await waiting()
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue"])
    assert cluster.ledger.applied == []
    assert cluster.status().get("gate") is None


async def test_both_gates_each_with_a_token_of_its_own():
    cluster = FakeCluster()
    both = {"approval": {"before": ["Start", "Switch"]}}
    await deploy(cluster, healthChecks=[], soak="0s", **both)
    await cluster.run()
    assert cluster.status()["gate"]["name"] == "Start"
    assert cluster.ledger.done == []
    await approve(cluster)
    await cluster.run()
    assert cluster.status()["gate"]["name"] == "Switch"
    assert told(cluster) == ("AwaitingApproval", "True", ["blue"])
    await approve(cluster)
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_suspended_and_resumed_it_waits_again():
    cluster = await waiting()
    await cluster.apply(
        **(blue_green() | {"healthChecks": [], "soak": "0s", "suspend": True}), **GATED
    )
    await cluster.run()
    assert told(cluster)[:2] == ("Suspended", "True")
    await cluster.apply(
        **(blue_green() | {"healthChecks": [], "soak": "0s", "suspend": False}), **GATED
    )
    await cluster.run()
    assert told(cluster) == ("AwaitingApproval", "True", ["blue"])


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_killed_at_every_write_it_switches_once_and_only_approved(moment: str):
    points = 0
    for k in range(1, 60):
        cluster = FakeCluster()
        client = DyingClient(cluster.api, k, moment)
        cluster.client = client
        cluster.world = cluster.new_operator()
        await deploy(cluster, healthChecks=[check("PreSwitch")], soak="0s", **GATED)
        await cluster.run()
        assert told(cluster) == ("AwaitingApproval", "True", ["blue"]), f"{moment} {k}"
        await approve(cluster)
        await cluster.run()
        assert told(cluster) == ("Completed", "True", ["blue", "green"]), f"{moment} {k}"
        if client.writes < k:
            break
        points += 1
    assert points >= 12
