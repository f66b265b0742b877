"""Objects that name the same Secret work one after the other, and wake each other."""

from typing import Any

import pytest

from tests.fake_cluster import KEY, PATH, START, FakeCluster, manifest, spec
from whimbrel.controller import paths
from whimbrel.controller.inbox import Inbox
from whimbrel.controller.metrics import Metrics
from whimbrel.controller.queue import WorkQueue
from whimbrel.machine import names
from whimbrel.model.spec import parse_spec

Body = dict[str, Any]
LABEL = names.database_label(parse_spec(spec()).database)
OTHER = "other-migrate-1"


def job_of_another(secret: str = LABEL) -> Body:
    """Return the Job of another object of the namespace."""
    return {
        "kind": "Job",
        "metadata": {
            "name": OTHER,
            "namespace": KEY[0],
            "labels": dict([names.MANAGED_BY, (names.DATABASE_LABEL, secret)]),
            "annotations": {names.NAME: "other", names.RUN: "r", names.SEGMENT: "Migrate"},
            "ownerReferences": [{"uid": "uid-of-other", "controller": True}],
        },
    }


def pod_of_another(job: Body, state: Body) -> Body:
    meta = job["metadata"] | {"name": "other-pod"}
    meta["ownerReferences"] = [{"uid": job["metadata"]["uid"], "controller": True}]
    states = [{"name": "runner", "image": "w", "state": state}] if state else []
    body = {"kind": "Pod", "metadata": meta, "spec": {"containers": [{"name": "runner"}]}}
    return body | {"status": {"containerStatuses": states}}


async def beside(state: Body | None, secret: str = LABEL) -> FakeCluster:
    """An object that is applied while another one's Job is there."""
    cluster = FakeCluster()
    job = await cluster.api.create(paths.jobs(KEY[0]), job_of_another(secret))
    if state is not None:
        await cluster.api.create(paths.pods(KEY[0]), pod_of_another(job, state))
    await cluster.apply()
    for _ in range(6):
        await cluster.turn()
    return cluster


def own_jobs(cluster: FakeCluster) -> list[str]:
    return [name for name in cluster.jobs() if name != OTHER]


@pytest.mark.parametrize("state", [None, {"running": {}}], ids=["no Pod yet", "it works"])
async def test_it_waits_for_its_turn_and_names_the_neighbour(state: Body | None):
    cluster = await beside(state)
    assert own_jobs(cluster) == []
    assert cluster.status()["phase"] == "Waiting"
    assert "waits for shop/other" in cluster.status()["message"]
    await cluster.api.delete(f"{paths.jobs(KEY[0])}/{OTHER}")
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({"waiting": {"reason": "ErrImagePull", "message": "m"}}, id="no image"),
        pytest.param({"terminated": {"exitCode": 0, "message": ""}}, id="it has ended"),
    ],
)
async def test_a_neighbour_that_holds_nothing_is_not_waited_for(state: Body):
    assert len(own_jobs(await beside(state))) == 1


async def test_another_secret_is_no_neighbour():
    assert len(own_jobs(await beside({"running": {}}, "another"))) == 1


async def test_a_job_that_gets_no_pod_does_not_block_for_ever():
    cluster = await beside(None)
    cluster.now += 70
    await cluster.turn()
    assert len(own_jobs(cluster)) == 1


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({"waiting": {"reason": "ContainerCreating"}}, id="a volume that never comes"),
        pytest.param({}, id="a node that is gone"),
    ],
)
async def test_a_pod_that_never_runs_does_not_block_for_ever(state: Body):
    cluster = await beside(state)
    assert own_jobs(cluster) == []
    cluster.now += 70
    await cluster.turn()
    assert len(own_jobs(cluster)) == 1


async def test_a_pod_that_was_told_to_go_long_ago_does_not_block():
    cluster = await beside({"running": {}})
    pod = next(body for path, body in cluster.api.objects.items() if "other-pod" in path)
    pod["metadata"]["deletionTimestamp"] = cluster.api.moment()
    cluster.now += 30
    await cluster.turn()
    assert own_jobs(cluster) == []
    cluster.now += 40
    await cluster.turn()
    assert len(own_jobs(cluster)) == 1


async def test_a_run_that_has_begun_does_not_wait_for_those_who_wait_for_it():
    """It may hold the database: were it to give way, nobody would ever come to an end."""
    cluster = FakeCluster(["busy"])
    await cluster.apply()
    await cluster.run(lambda: cluster.status()["run"]["attempt"] == 2)
    job = await cluster.api.create(paths.jobs(KEY[0]), job_of_another())
    await cluster.api.create(paths.pods(KEY[0]), pod_of_another(job, {"running": {}}))
    cluster.now += 40
    for _ in range(3):
        await cluster.turn()
    assert len(own_jobs(cluster)) == 2


async def test_after_the_deadline_the_wait_is_stalled_and_goes_on():
    cluster = await beside({"running": {}})
    cluster.now = START + 4000
    await cluster.turn()
    assert cluster.condition("Stalled") == "True"
    await cluster.api.delete(f"{paths.jobs(KEY[0])}/{OTHER}")
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_the_end_of_a_neighbours_job_is_a_turn_for_whoever_waits():
    cluster = await beside({"running": {}})
    turns: list[tuple[str, str]] = []

    async def turn(key: tuple[str, str]) -> None:
        turns.append(key)

    queue = WorkQueue(turn, workers=1, metrics=Metrics())
    inbox = Inbox(cluster.world, queue)
    inbox.migration_seen("ADDED", cluster.api.objects[PATH])
    at_rest = manifest() | {"metadata": {"name": "rests", "namespace": KEY[0], "uid": "u"}}
    inbox.migration_seen("ADDED", at_rest | {"metadata": at_rest["metadata"] | {"generation": 1}})
    cluster.world.idle["shop", "rests"] = True
    queue._due.clear()
    job = job_of_another()
    job["metadata"]["uid"] = "job-of-other"
    inbox.child_seen("MODIFIED", job | {"status": {}})
    assert KEY not in queue._due
    ended = {"conditions": [{"type": "Complete", "status": "True"}]}
    inbox.child_seen("MODIFIED", job | {"status": ended})
    assert KEY in queue._due
    assert ("shop", "rests") not in queue._due
