"""Somebody else writes the Service as soon as we have, and endpoints that come and go meanwhile."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.blue_green import check
from tests.fake_application import SERVICE
from tests.fake_cluster import FakeCluster
from tests.unit.controller.test_release import (
    _some_turns,
    _working,
    edit_service,
    released,
    segment,
    told,
    until,
)
from whimbrel.machine.timestamps import unix

Body = dict[str, Any]


def set_back_at_once(cluster: FakeCluster, wanted: Callable[[Body], bool]) -> list[Body]:
    """Let somebody change the selector after each write of ours; return what we wrote."""
    ours: list[Body] = []
    real = cluster.api.change

    async def change(path: str, operations: Sequence[Body]) -> Body:
        made = await real(path, operations)
        if path == SERVICE and wanted(made["spec"]["selector"]):
            ours.append(made["spec"]["selector"])
            await edit_service(cluster)
        return made

    cluster.api.change = change
    return ours


def is_green(selector: Body) -> bool:
    return selector["track"] == "green"


@pytest.mark.parametrize("where", ["Switch", "Soak"])
async def test_whoever_is_faster_than_our_look_is_answered_once_and_then_held(where: str):
    cluster = await released()
    if where == "Soak":
        await _working(cluster, "Soak")
        ours = set_back_at_once(cluster, is_green)
        await edit_service(cluster)
    else:
        ours = set_back_at_once(cluster, is_green)
        await until(cluster, "Switch")
    await _some_turns(cluster)
    assert told(cluster)[:2] == ("Held", "False")
    assert len(ours) == (2 if where == "Switch" else 1)
    conditions = {each["type"]: each["reason"] for each in cluster.status()["conditions"]}
    assert conditions["TrafficDrift"] == "ChangedByOthers"
    assert conditions["Stalled"] == "TrafficDrift"
    events = [body for path, body in cluster.api.objects.items() if "/events/" in path]
    assert [each["type"] for each in events if "is put right once" in each["message"]]


async def test_a_service_that_was_only_touched_before_our_write_has_no_drift():
    cluster = await released()
    await cluster.run(lambda: cluster.status().get("run", {}).get("release", {}).get("writes") == 1)
    await cluster.api.patch(SERVICE, {"metadata": {"annotations": {"example.com/lb": "seen"}}})
    await until(cluster, "PostSwitch")
    release = cluster.status()["run"]["release"]
    assert (release["writes"], release["drift"]) == (2, 0)
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


@pytest.mark.parametrize("back", [False, True], ids=["forth", "back"])
async def test_an_endpoint_that_goes_while_a_side_is_verified_begins_the_time_anew(back: bool):
    cluster = await released(healthChecks=[check("Soak")])
    cluster.ledger.health = {"Soak": ["red"]} if back else {}
    where, track = ("SwitchBack", "blue") if back else ("Switch", "green")
    await cluster.run(
        lambda: segment(cluster) == where and bool(release_of(cluster)["stableSince"])
    )
    again = await cluster.turn()
    assert 0 < (again or 0) <= 2, "looked at once more, long before propagationDelay is over"
    cluster.now += again or 0
    cluster.application.broken = {f"shop-{track}"}
    await cluster.application.step()
    await cluster.turn()
    assert release_of(cluster)["stableSince"] == ""
    cluster.application.broken.clear()
    await cluster.application.step()
    healed = cluster.now
    await cluster.run()
    assert told(cluster)[:2] == ("RolledBack" if back else "Completed", str(not back))
    over = next(each["at"] for each in release_of(cluster)["steps"] if each["name"] == where)
    assert unix(over) >= healed + 10


def release_of(cluster: FakeCluster) -> Body:
    found: Body = cluster.status()["run"]["release"]
    return found
