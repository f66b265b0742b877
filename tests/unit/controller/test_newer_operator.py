"""A status that a newer operator has written: nothing is touched, and people are told why."""

from copy import deepcopy
from typing import Any

from tests.fake_cluster import KEY, PATH, FakeCluster
from whimbrel.controller import paths
from whimbrel.controller.reconcile import reconcile

Body = dict[str, Any]


async def written_by_a_newer_one() -> FakeCluster:
    cluster = FakeCluster()
    await cluster.apply()
    await cluster.run(lambda: bool(cluster.jobs()))
    status = deepcopy(cluster.status()) | {"moreThanWeKnow": {"since": "2027"}}
    cluster.api.put_status(PATH, status)
    return cluster


def events(cluster: FakeCluster) -> list[Body]:
    where = paths.events(KEY[0])
    found = [body for path, body in cluster.api.objects.items() if path.startswith(f"{where}/")]
    return [each for each in found if each["reason"] == "OperatorTooOld"]


async def test_it_is_left_alone_and_told_once():
    cluster = await written_by_a_newer_one()
    before = cluster.api.objects[PATH], cluster.jobs()
    cluster.api.writes.clear()
    for _ in range(3):
        assert await reconcile(cluster.world, KEY) is None
    assert (cluster.api.objects[PATH], cluster.jobs()) == before
    assert {verb for verb, _ in cluster.api.writes} == {"create"}
    (event,) = events(cluster)
    assert event["type"] == "Warning"
    assert event["involvedObject"]["uid"] == before[0]["metadata"]["uid"]
    assert "status.moreThanWeKnow" in event["message"]
    assert "a newer operator works on this object" in event["message"]


async def test_an_object_that_goes_meanwhile_is_no_error():
    cluster = await written_by_a_newer_one()
    real, asked = cluster.api.get, []

    async def goes(path: str) -> Body | None:
        asked.append(path)
        return await real(path) if asked.count(PATH) < 2 else None

    cluster.api.get = goes
    assert await reconcile(cluster.world, KEY) is None
    assert events(cluster) == []


async def test_the_newer_operator_goes_on():
    cluster = await written_by_a_newer_one()
    assert await reconcile(cluster.world, KEY) is None
    known = dict(cluster.api.objects[PATH]["status"])
    known.pop("moreThanWeKnow")
    cluster.api.put_status(PATH, known)
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
