"""A kept checkpoint in the life of an object: seen, kept for its time, dropped, said."""

import pytest

from tests.fake_cluster import KEY, PATH, START, FakeCluster
from whimbrel.controller import paths
from whimbrel.machine.names import FINALIZER

DAY = 24 * 3600
BUMPED = {"migrations": {"tool": "sql", "inline": {"files": {"003_c.up.sql": "SELECT 3"}}}}


async def migrated(script: list[str] | None = None, **changes: object) -> FakeCluster:
    """Return a cluster whose object is complete and keeps a checkpoint."""
    cluster = FakeCluster(script)
    await cluster.apply(checkpoint={}, **changes)
    await cluster.run(lambda: cluster.status().get("phase") == "Completed")
    cluster.shown.clear()
    return cluster


def finalizers(cluster: FakeCluster) -> list[str]:
    return cluster.api.objects[PATH]["metadata"].get("finalizers", [])


def left_behind(cluster: FakeCluster) -> list[str]:
    events = [body for path, body in cluster.api.objects.items() if "/events/" in path]
    return [event["message"] for event in events if event["reason"] == "LeftBehind"]


async def test_status_shows_what_is_kept_and_the_object_stays_with_it():
    cluster = await migrated()
    kept = cluster.status()["checkpoint"]
    assert (kept["state"], kept["restorable"]) == ("Ready", True)
    assert kept["id"] == cluster.status()["run"]["id"]
    assert FINALIZER in finalizers(cluster)


async def test_it_goes_when_its_time_is_over_and_nobody_hears_of_it():
    cluster = await migrated()
    before = cluster.status()
    await cluster.run()
    assert START + DAY <= cluster.now <= START + DAY + 60
    assert "checkpoint" not in cluster.status()
    assert FINALIZER not in finalizers(cluster)
    assert cluster.ledger.checkpoint is not None
    assert cluster.ledger.checkpoint.state == "Closed"
    after = cluster.status()
    for word in ("phase", "message", "run", "conditions", "revision", "applied"):
        assert after[word] == before[word], word
        assert {str(each[word]) for each in cluster.shown} == {str(before[word])}, word


@pytest.mark.parametrize("trouble", ["busy", "vanish before", "vanish after"])
async def test_it_is_tried_until_it_is_gone(trouble: str):
    cluster = await migrated(["ok", trouble, trouble])
    await cluster.run()
    assert "checkpoint" not in cluster.status()
    assert cluster.node.script == [], "each try was another Job"
    assert cluster.status()["phase"] == "Completed"


async def test_a_new_run_comes_first_and_brings_its_own():
    cluster = await migrated()
    first = cluster.status()["checkpoint"]["id"]
    cluster.ledger.pending += ("003",)
    await cluster.apply(checkpoint={}, **BUMPED)
    await cluster.run(lambda: "003" in cluster.ledger.applied and works_no_more(cluster))
    assert cluster.status()["checkpoint"]["id"] == cluster.status()["run"]["id"] != first
    assert not any("-discard-" in name for name in cluster.jobs())


def works_no_more(cluster: FakeCluster) -> bool:
    return cluster.status()["run"]["state"] == "Closed"


async def test_a_suspended_object_starts_nothing_also_when_its_time_is_over():
    cluster = await migrated()
    await cluster.apply(checkpoint={}, suspend=True)
    await cluster.run()
    cluster.now += 2 * DAY
    await cluster.run()
    assert not any("-discard-" in name for name in cluster.jobs())
    await cluster.apply(checkpoint={}, suspend=False)
    await cluster.run()
    assert "checkpoint" not in cluster.status()


async def test_it_goes_before_the_object():
    cluster = await migrated()
    await cluster.api.delete(PATH)
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert cluster.ledger.checkpoint is not None
    assert cluster.ledger.checkpoint.state == "Closed"
    assert left_behind(cluster) == []
    assert cluster.now < START + 300


async def test_an_object_does_not_wait_for_ever_and_says_what_stays():
    cluster = await migrated(["ok", *["busy"] * 99])
    moment = cluster.now
    await cluster.api.delete(PATH)
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert 290 <= cluster.now - moment <= 330
    (told,) = left_behind(cluster)
    assert "stays in the database; its triggers do nothing after" in told


async def test_a_terminating_namespace_does_not_wait_at_all():
    cluster = await migrated()
    await cluster.api.delete(paths.namespace(KEY[0]))
    await cluster.api.delete(PATH)
    await cluster.run()
    assert PATH not in cluster.api.objects
    (told,) = left_behind(cluster)
    assert "stays in the database" in told
