"""A rolling release, on an API server and an application in memory: one workload, two versions."""

from typing import Any

from tests.blue_green import check
from tests.fake_application import APPS, CORE
from tests.fake_cluster import FakeCluster
from whimbrel.machine import names
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment

Body = dict[str, Any]
SHOP = f"{APPS}/deployments/shop-blue"
NEW = "shop:2"


async def rolled(*, image: str = NEW, **changes: Any) -> FakeCluster:
    """A shop that runs version 1, and the release of version 2 applied."""
    cluster = FakeCluster()
    await cluster.application.deploy("blue")
    refs = [{"name": "shop-blue"} | ({"image": image} if image else {})]
    release = {
        "strategy": {"type": "Rolling", "rolling": {"workloadRefs": refs}},
        "healthChecks": [check("Soak")],
        "soak": "20s",
    }
    await cluster.apply(**(release | changes))
    return cluster


async def runs(cluster: FakeCluster, image: str) -> None:
    """Roll the workload, as whoever deploys does."""
    template = {"spec": {"containers": [{"name": "app", "image": image}]}}
    await cluster.api.patch(SHOP, {"spec": {"template": template}})


async def some_turns(cluster: FakeCluster) -> str:
    """Go on for a while; return the phase."""
    for _ in range(60):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 0.0
    return str(cluster.status()["phase"])


async def test_it_waits_for_the_new_version_and_then_soaks():
    cluster = await rolled()
    assert (await some_turns(cluster), cluster.condition("Ready")) == ("Verifying", "True")
    assert "Deployment/shop-blue to run shop:2 (it runs shop:1)" in cluster.status()["message"]
    await runs(cluster, NEW)
    await cluster.run()
    assert (cluster.status()["phase"], cluster.ledger.done) == ("Completed", ["001", "002"])


async def test_a_soak_judges_nothing_that_was_before_the_rollout():
    cluster = await rolled(healthChecks=[check("PostMigrate"), check("Soak")])
    await some_turns(cluster)
    migrated, cluster.now = cluster.now, cluster.now + 7 * 86_400
    await runs(cluster, NEW)
    rolled_out = cluster.now
    await cluster.run()
    assert since(cluster, Segment.POST_MIGRATE) < migrated
    assert rolled_out <= since(cluster, Segment.SOAK) <= rolled_out + 60


def since(cluster: FakeCluster, segment: Segment) -> float:
    """Return the moment from which the probe of a segment was told to judge."""
    told = [
        Order.model_validate_json(body["spec"]["template"]["metadata"]["annotations"][names.ORDER])
        for path, body in cluster.api.objects.items()
        if "/jobs/" in path
    ]
    return next(order.since for order in told if order.segment is segment)


async def test_red_waits_until_the_new_version_is_gone_with_all_its_pods():
    cluster = await rolled()
    cluster.ledger.health = {"Soak": ["red"]}
    await runs(cluster, NEW)
    assert await some_turns(cluster) == "RollingBack"
    undo = "kubectl rollout undo -n shop deployment/shop-blue"
    assert cluster.status()["message"].endswith(undo)
    labels = {"app": "shop", "track": "blue"}
    ending = {"name": "ending", "namespace": "shop", "labels": labels}
    await cluster.api.create(f"{CORE}/pods", {"metadata": ending, "spec": {"containers": []}})
    await runs(cluster, "shop:1")
    await some_turns(cluster)
    assert cluster.ledger.applied == ["001", "002"], "a Pod of the new version still ends"
    await cluster.api.delete(f"{CORE}/pods/ending")
    await cluster.run()
    assert (cluster.status()["phase"], cluster.ledger.applied) == ("RolledBack", [])


async def test_without_an_image_the_schema_stays_and_says_why():
    cluster = await rolled(image="")
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run()
    assert (cluster.status()["phase"], cluster.ledger.applied) == ("RolledBack", ["001", "002"])
    assert "workloadRefs[].image" in cluster.status()["message"]
    assert cluster.ledger.open_run == ""
