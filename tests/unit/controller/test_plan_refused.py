"""The API server does not take the ConfigMap that would show the plan: a person hears it."""

from typing import Any

import pytest

from tests.fake_cluster import FakeCluster
from tests.fake_runner import DIGEST
from whimbrel.controller.client import ApiError, RejectedError

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
