"""What a person answers: it opens no gate, it is used once, and it can be given again."""

import pytest

from tests.fake_cluster import FakeCluster
from whimbrel.model.plan import Segment

GATED = {"approval": {"before": ["Start"]}}


async def applied(script: list[str], **changes: object) -> FakeCluster:
    cluster = FakeCluster(script)
    await cluster.apply(**changes)
    await cluster.run()
    return cluster


async def resolve(cluster: FakeCluster, moment: str = "", *, suffix: str = "") -> None:
    marks = {"resolve_at": moment} if moment else {}
    run = cluster.status()["run"]["id"]
    await cluster.annotate(resolve=f"FenceProven:{run}{suffix}", resolve_by="me", **marks)
    await cluster.run()


async def approve(cluster: FakeCluster) -> None:
    await cluster.annotate(approve=cluster.status()["gate"]["token"])
    await cluster.run()


async def test_answer_before_the_gate_opens_no_gate():
    cluster = await applied([], **GATED)
    assert cluster.status()["phase"] == "AwaitingApproval"
    await resolve(cluster)
    assert cluster.status()["phase"] == "AwaitingApproval"
    assert cluster.ledger.done == []
    assert not any("-migrate-" in path for _, path in cluster.api.writes)
    await approve(cluster)
    assert cluster.status()["phase"] == "Completed"


async def test_answer_after_the_approval_needs_no_second_approval():
    cluster = await applied(["ok", "held"], **GATED)
    await approve(cluster)
    assert cluster.status()["phase"] == "Held"
    await resolve(cluster)
    assert cluster.status()["phase"] == "Completed"


async def test_answer_that_a_look_carried_is_there_for_the_work():
    cluster = await applied([], **GATED)
    await resolve(cluster)
    await approve(cluster)
    assert [key.split("/")[0] for key in cluster.ledger.answers] == ["Look", "Migrate"]


@pytest.mark.parametrize("lost", ["vanish before", "vanish after"])
async def test_answer_is_used_by_one_attempt(lost: str):
    cluster = await applied(["held", lost, "ok", "held"])
    await resolve(cluster)
    assert len(cluster.ledger.answers) == 1
    assert cluster.status()["phase"] == "Held"


async def test_answer_stays_while_the_database_is_away():
    cluster = await applied(["held", "away", "away"])
    await resolve(cluster)
    assert len(cluster.ledger.answers) == 3
    assert cluster.status()["phase"] == "Completed"


async def test_busy_attempt_has_used_the_answer():
    cluster = await applied(["held", "busy", "held"])
    await resolve(cluster)
    assert len(cluster.ledger.answers) == 1
    assert cluster.status()["phase"] == "Held"


async def held_twice() -> FakeCluster:
    cluster = await applied(["held", "vanish before", "ok", "held"])
    await resolve(cluster, "10:00")
    assert cluster.status()["phase"] == "Held"
    return cluster


async def test_same_answer_given_again_is_an_answer():
    cluster = await held_twice()
    await resolve(cluster, "10:05")
    assert cluster.status()["phase"] == "Completed"
    assert len(cluster.ledger.answers) == 2


async def test_answer_of_before_is_none_even_where_its_moment_is_removed():
    cluster = await held_twice()
    await cluster.run()
    await cluster.annotate(resolve_at="")
    await cluster.run()
    assert cluster.status()["phase"] == "Held"


async def test_answer_may_name_the_attempt_that_asked():
    cluster = await held_twice()
    asking = cluster.status()["run"]["attempt"]
    await resolve(cluster, suffix=f":{asking - 1}")
    assert cluster.status()["phase"] == "Held"
    await resolve(cluster, suffix=f":{asking}")
    assert cluster.status()["phase"] == "Completed"


async def test_changed_plan_is_shown_and_asks_again_by_itself():
    cluster = await applied([], **GATED)
    first = cluster.status()
    cluster.ledger.digest = "e" * 64
    await approve(cluster)
    again = cluster.status()
    assert again["phase"] == "AwaitingApproval"
    assert again["gate"]["token"] == "Start:eeeeeeeeeeee"
    assert again["run"]["id"] != first["run"]["id"]  # the ledger has closed the first one
    assert cluster.ledger.done == []
    await approve(cluster)
    assert cluster.status()["phase"] == "Completed"


async def test_way_back_by_a_lower_target_asks_nobody():
    cluster = FakeCluster()
    cluster.ledger.direction = "down"
    await cluster.apply(**GATED)
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert "gate" not in cluster.status()
    assert cluster.status()["run"]["segment"] == Segment.MIGRATE


async def test_way_back_that_became_a_way_up_asks_after_a_pause():
    cluster = FakeCluster()
    cluster.ledger.direction = "down"
    await cluster.apply(**GATED)
    await cluster.run(lambda: cluster.status()["run"]["segment"] == "Migrate")
    cluster.ledger.direction = "up"
    started = cluster.now
    await cluster.run()
    assert cluster.status()["phase"] == "AwaitingApproval"
    assert cluster.now > started
    assert cluster.ledger.done == []
