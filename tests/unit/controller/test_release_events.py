"""Events of a release: each step once, and why it goes back, whoever dies meanwhile."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.blue_green import BLUE
from tests.fake_application import SERVICE
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import _some_turns, _working, released

Body = dict[str, Any]
FORTH = ["Migrate", "PostMigrate", "Prepare", "Switch", "PostSwitch"]


def events(cluster: FakeCluster, reason: str) -> Iterator[str]:
    """Yield the messages of a reason, in the order in which they were told."""
    for path, body in cluster.api.objects.items():
        if "/events/" in path and body["reason"] == reason:
            yield body["message"].partition(": ")[2]


async def run(cluster: FakeCluster, *, restarted: bool) -> None:
    """Carry on to the end, with a new operator at each turn if that is asked for."""

    def begin_anew() -> bool:
        if restarted:
            cluster.world = cluster.new_operator()
        return False

    await cluster.run(begin_anew)


@pytest.mark.parametrize("restarted", [False, True], ids=["one operator", "many operators"])
async def test_each_step_of_a_release_is_told_once(restarted: bool):
    cluster = await released()
    await run(cluster, restarted=restarted)
    steps = [each.split()[0] for each in events(cluster, "StepOver")]
    assert steps == [*FORTH, "Soak"]
    assert any("Switch is over since " in each for each in events(cluster, "StepOver"))
    assert not list(events(cluster, "RollbackStarted"))


@pytest.mark.parametrize("restarted", [False, True], ids=["one operator", "many operators"])
async def test_a_way_back_tells_why_and_each_of_its_steps(restarted: bool):
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await run(cluster, restarted=restarted)
    steps = [each.split()[0] for each in events(cluster, "StepOver")]
    assert steps == [*FORTH, "Soak", "SwitchBack", "Drain"]
    (why,) = events(cluster, "RollbackStarted")
    assert why == cluster.status()["run"]["release"]["red"] != ""


async def test_a_person_who_asks_is_told_as_the_reason():
    cluster = await released()
    await cluster.run()
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert list(events(cluster, "RollbackStarted")) == ["a rollback was asked for"]


async def test_a_foreign_change_that_is_put_right_is_told():
    cluster = await released()
    await _working(cluster, "Soak")
    await cluster.api.patch(SERVICE, {"spec": {"selector": BLUE}})
    await cluster.application.step()
    await _some_turns(cluster)
    assert cluster.status()["run"]["release"]["drift"] == 1
    (told,) = events(cluster, "TrafficDrift")
    assert told == (
        "somebody else has changed the selector of Service shop; in this run it is put right once"
    )
