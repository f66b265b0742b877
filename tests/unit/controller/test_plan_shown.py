"""A plan that cannot be shown: a person hears why, and it is shown as soon as it can be."""

import random
from dataclasses import replace
from typing import Any

import pytest

from tests.fake_cluster import FakeCluster
from tests.fake_runner import DIGEST
from whimbrel.controller.client import ApiError, RejectedError
from whimbrel.controller.observe import BEGIN, END

Body = dict[str, Any]
GATED = {"approval": {"before": ["Start"]}}
QUOTA = RejectedError(403, "Forbidden", "exceeded quota: count/configmaps=0")
POLICY = RejectedError(422, "Invalid", "denied by policy: label team is missing")
LARGE = RejectedError(422, "Invalid", "data: Too long: may not be more than 1048576 bytes")


async def asked(refused: ApiError) -> tuple[FakeCluster, Any]:
    """A run whose plan is ready to be shown, and cannot be; and what mends that."""
    cluster = FakeCluster()
    real = cluster.api.create

    async def refuse(path: str, body: Body) -> Body:
        if path.endswith("/configmaps"):
            raise refused
        return await real(path, body)

    cluster.api.create = refuse
    await cluster.apply(**GATED)
    for _ in range(20):
        again = await cluster.turn()
        if not await cluster.node.step():
            cluster.now += again or 0
    return cluster, lambda: setattr(cluster.api, "create", real)


@pytest.mark.parametrize("refused", [QUOTA, POLICY, LARGE], ids=["quota", "policy", "too large"])
async def test_a_plan_that_cannot_be_shown_says_why_and_is_shown_once_it_can(refused: ApiError):
    cluster, mend = await asked(refused)
    status = cluster.status()
    assert (status["phase"], status["gate"]["token"]) == ("AwaitingApproval", "")
    assert refused.message in status["message"]
    reasons = {each["type"]: each["reason"] for each in status["conditions"]}
    assert (reasons["Ready"], reasons["Paused"]) == ("PlanNotShown", "PlanNotShown")
    assert await cluster.turn() == pytest.approx(30)
    mend()
    await cluster.run()
    assert cluster.status()["gate"]["token"] == f"Start:{DIGEST[:12]}"
    assert cluster.ledger.done == []
    await cluster.annotate(approve=cluster.status()["gate"]["token"])
    await cluster.run()
    assert (cluster.status()["phase"], cluster.ledger.done) == ("Completed", ["001", "002"])


async def test_a_plan_that_the_message_of_a_crowded_pod_cannot_hold_is_told():
    """Of four containers and two injected ones each has 2 KiB; half a message is no answer."""
    cluster = FakeCluster()
    noise = random.Random(7)
    cluster.ledger.plan = "".join(noise.choices("abcdefghijklmnopqrstuvwxyz", k=4000))
    dump = {"dump": {"image": "postgres:16", "claimName": "dumps"}}
    image = {"tool": "sql", "image": "shop:1", "sql": {"path": "/migrations"}}
    await cluster.apply(migrations=image, checkpoint=dump, **GATED)
    for _ in range(20):
        again = await cluster.turn()
        if not await cluster.node.step():
            cluster.now += again or 0
    assert len(cluster.jobs()) == 1
    assert cluster.status()["phase"] == "AwaitingApproval"
    assert "cannot be approved here" in cluster.status()["message"]
    cluster.world.settings = replace(cluster.world.settings, pod_logs=True)
    pod = next(path for path in cluster.api.objects if "/pods/" in path)
    cluster.api.logs[f"{pod}/log"] = f"{BEGIN}{cluster.ledger.plan}{END}\n"
    await cluster.run()
    assert cluster.status()["gate"]["token"] == f"Start:{DIGEST[:12]}"
