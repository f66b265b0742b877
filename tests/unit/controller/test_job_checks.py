"""Checks of type Job: one Job a measurement, whatever happens to it or to the operator."""

from typing import Any

import pytest

from tests.blue_green import BLUE, deploy
from tests.fake_api import FakeApi
from tests.fake_cluster import KEY, FakeCluster
from tests.unit.controller.test_crash import DyingClient
from whimbrel.controller.client import ConflictError, RejectedError
from whimbrel.machine import names

Body = dict[str, Any]


def smoke(*when: str, **changes: Any) -> Body:
    job = {"image": "shop:1", "command": ["smoke", "--fast"]}
    return {"name": "smoke", "type": "Job", "job": job, "when": list(when)} | changes


async def released(*checks: Body, **changes: Any) -> FakeCluster:
    cluster = FakeCluster()
    await deploy(cluster, BLUE, healthChecks=list(checks), **changes)
    return cluster


def told(cluster: FakeCluster) -> tuple[str, str, list[str]]:
    return (cluster.status()["phase"], cluster.condition("Ready"), cluster.application.sides)


def segment(cluster: FakeCluster) -> str:
    return str(cluster.status().get("run", {}).get("segment", ""))


def counted(cluster: FakeCluster) -> Body:
    (found,) = cluster.status()["run"]["release"]["measured"]
    return dict(found)


def check_jobs(cluster: FakeCluster) -> dict[str, Body]:
    return {
        path: body
        for path, body in cluster.api.objects.items()
        if "/jobs/" in path and names.CHECK in body["metadata"].get("annotations", {})
    }


async def works(cluster: FakeCluster) -> str:
    """Go on until a Job of a check is there; return its path."""
    await cluster.run(lambda: bool(check_jobs(cluster)))
    (path,) = check_jobs(cluster)
    return path


async def test_a_pass_promotes_and_its_job_is_deleted():
    cluster = await released(smoke("PostMigrate"), soak="0s")
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert len(cluster.ledger.measured) == 1
    assert check_jobs(cluster) == {}
    assert cluster.ledger.probes == []


async def test_what_fails_in_a_soak_takes_everything_back():
    cluster = await released(smoke("Soak"), soak="5m")
    cluster.ledger.exits = [0, 1, 1, 1]
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert cluster.ledger.applied == []
    assert "exit code 1" in cluster.status()["message"]
    assert len(cluster.ledger.measured) == 4
    assert check_jobs(cluster) == {}
    (shown,) = cluster.status()["checks"]
    assert [each["verdict"] for each in shown["last"]] == ["Pass", "Fail", "Fail", "Fail"]


async def test_a_red_baseline_refuses():
    cluster = await released(smoke("Baseline"), soak="0s")
    cluster.ledger.applied, cluster.ledger.pending = ["000"], ("000", "001")
    cluster.ledger.exits = [1, 1, 1]
    await cluster.run()
    assert told(cluster) == ("Failed", "False", ["blue"])
    assert cluster.status()["conditions"][0]["reason"] == "BaselineFailed"
    assert "Paused" not in {one["type"] for each in cluster.shown for one in each["conditions"]}
    assert cluster.ledger.done == []


async def test_measurements_of_a_soak_follow_each_other_at_their_interval():
    cluster = await released(smoke("Soak", interval="10s"), soak="1m")
    await cluster.run()
    assert told(cluster)[0] == "Completed"
    assert 6 <= len(cluster.ledger.measured) <= 7
    assert len(set(cluster.ledger.measured)) == len(cluster.ledger.measured)


async def test_one_that_takes_longer_than_the_interval_has_no_other_beside_it():
    cluster = await released(smoke("Soak", interval="10s", timeout="1m"), soak="30s")
    path = await works(cluster)
    cluster.node.hold = True
    for _ in range(20):
        await cluster.node.step()
        await cluster.turn()
        cluster.now += 2
    # The soak is over by time, but this one may be what says no.
    assert list(check_jobs(cluster)) == [path]
    assert segment(cluster) == "Soak"
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster)[0] == "Completed"


async def test_one_that_runs_when_the_soak_ends_may_still_say_no():
    cluster = await released(smoke("Soak", failureThreshold=1), soak="15s")
    cluster.ledger.exits = [0, 1]
    await cluster.run(lambda: len(cluster.ledger.measured) == 1 and not check_jobs(cluster))
    await works(cluster)
    cluster.node.hold = True
    for _ in range(20):
        await cluster.node.step()
        await cluster.turn()
        cluster.now += 1
    assert segment(cluster) == "Soak"
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])


async def test_an_image_that_is_not_there_pauses_and_takes_nothing_back():
    cluster = await released(smoke("PostMigrate"), soak="0s")
    await works(cluster)
    cluster.node.image_is_there = False
    await cluster.run(lambda: cluster.condition("Paused") == "True")
    assert told(cluster) == ("Verifying", "True", ["blue"])
    assert "ImagePullBackOff" in cluster.status()["message"]
    assert counted(cluster)["unknowns"] == 5
    cluster.node.image_is_there = True
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert check_jobs(cluster) == {}


async def test_one_that_does_not_end_says_nothing_about_the_application():
    cluster = await released(smoke("PostMigrate", timeout="30s"), soak="0s")
    path = await works(cluster)
    cluster.node.hold = True
    await cluster.node.step()
    await cluster.run(
        lambda: "measured" in str(cluster.status()) and path not in check_jobs(cluster)
    )
    assert counted(cluster)["last"][0]["verdict"] == "Unknown"
    assert "no end within 30s" in counted(cluster)["last"][0]["message"]
    assert segment(cluster) == "PostMigrate"


class Refusing(DyingClient):
    """An API server that does not create Jobs of checks."""

    def __init__(self, api: FakeApi, *, taken: bool) -> None:
        super().__init__(api, -1, "never")
        self.taken = taken

    async def create(self, path: str, body: Body) -> Body:
        if "-check-" not in (name := body["metadata"]["name"]):
            return await self.api.create(path, body)
        if not self.taken:
            raise RejectedError(403, "Forbidden", "exceeded quota: pods=4")
        ended = {"conditions": [{"type": "Complete", "status": "True"}]}
        meta = {"name": name, "namespace": KEY[0]}
        self.api.objects[f"{path}/{name}"] = {"metadata": meta, "status": ended}
        raise ConflictError(409, "AlreadyExists", name)


@pytest.mark.parametrize(
    ("taken", "why"),
    [(False, "refuses the Job: exceeded quota"), (True, "does not belong to this object")],
)
async def test_what_cannot_be_created_is_counted_and_holds_nothing_up(taken: bool, why: str):
    http = {"name": "api", "type": "HTTP", "http": {"service": "shop"}, "when": ["PostMigrate"]}
    checks = [smoke("PostMigrate", onUnknown="Ignore"), http]
    cluster = await released(*checks, soak="0s")
    cluster.client = Refusing(cluster.api, taken=taken)
    cluster.world = cluster.new_operator()
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert cluster.ledger.measured == []
    assert cluster.ledger.probes == ["PostMigrate"]
    shown = next(each for each in cluster.status()["checks"] if each["name"] == "smoke")
    assert shown["state"] == "Inconclusive"
    assert why in shown["last"][0]["message"]


async def test_a_job_that_somebody_deletes_is_no_failure():
    cluster = await released(smoke("PostMigrate"), soak="0s")
    path = await works(cluster)
    await cluster.api.patch(path, {"metadata": {"finalizers": ["foregroundDeletion"]}})
    await cluster.api.delete(path)
    await cluster.turn()
    assert counted(cluster)["last"][0]["verdict"] == "Unknown"
    assert "somebody deleted its Job" in counted(cluster)["last"][0]["message"]
    await cluster.api.patch(path, {"metadata": {"finalizers": []}})
    await cluster.run()
    assert told(cluster)[0] == "Completed"


async def test_suspended_it_ends_and_begins_anew():
    cluster = await released(smoke("Soak"), soak="30s")
    path = await works(cluster)
    await cluster.apply(suspend=True)
    for _ in range(4):
        await cluster.turn()
    assert check_jobs(cluster) == {}
    assert cluster.status()["phase"] == "Suspended"
    cluster.now += 60
    await cluster.apply(suspend=False)
    again = await works(cluster)
    assert again != path
    await cluster.run()
    assert told(cluster)[0] == "Completed"


async def test_what_failed_before_a_suspension_counts_no_more():
    cluster = await released(smoke("Soak"), soak="30s")
    cluster.ledger.exits = [1, 1, 1]
    await cluster.run(lambda: len(cluster.ledger.measured) == 2 and not check_jobs(cluster))
    assert counted(cluster)["failures"] == 2
    await cluster.apply(suspend=True)
    for _ in range(4):
        await cluster.turn()
    cluster.now += 60
    await cluster.apply(suspend=False)
    await cluster.run()
    assert told(cluster)[0] == "Completed"
    assert len(cluster.ledger.measured) > 3


async def test_edited_it_is_measured_by_the_newest_spec():
    cluster = await released(smoke("PostMigrate"), soak="0s")
    path = await works(cluster)
    cluster.node.hold = True
    cluster.now += 1
    edited = smoke("PostMigrate", job={"image": "shop:2", "command": ["smoke"]})
    await cluster.apply(healthChecks=[edited])
    await cluster.run(lambda: list(check_jobs(cluster)) not in ([], [path]))
    ((container,),) = (
        each["spec"]["template"]["spec"]["containers"] for each in check_jobs(cluster).values()
    )
    assert container["image"] == "shop:2"


async def test_it_is_never_an_attempt_and_housekeeping_leaves_it_alone():
    http = {"name": "api", "type": "HTTP", "http": {"service": "shop"}, "when": ["Soak"]}
    cluster = await released(smoke("Soak", timeout="5m"), http, soak="1m")
    path = await works(cluster)
    uid = cluster.api.objects[path]["metadata"]["uid"]
    cluster.node.hold = True
    for _ in range(20):
        await cluster.node.step()
        await cluster.turn()
        cluster.now += 1
    assert cluster.api.objects[path]["metadata"]["uid"] == uid
    assert any("-soak-" in name for name in cluster.jobs())
    assert "-check-" not in cluster.status()["job"]
    assert segment(cluster) == "Soak"
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster)[0] == "Completed"


@pytest.mark.parametrize("exits", [[0, 0, 0, 0], [1, 1, 1]], ids=["green", "red"])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.sampled("a killed operator with Jobs that check")
async def test_killed_at_every_write_each_measurement_counts_once(moment: str, exits: list[int]):
    points, wanted = 0, ("Completed" if exits[0] == 0 else "RolledBack")
    for k in range(1, 90):
        cluster = await released(smoke("Soak", successThreshold=2), soak="15s")
        cluster.ledger.exits = list(exits)
        client = DyingClient(cluster.api, k, moment)
        cluster.client = client
        cluster.world = cluster.new_operator()
        await cluster.run()
        assert cluster.status()["phase"] == wanted, f"killed {moment} write {k}"
        made = cluster.ledger.measured
        assert len(made) == len(set(made)), f"measured twice, killed {moment} write {k}"
        (shown,) = cluster.status()["checks"]
        assert len(shown["last"]) == len(made), f"lost or twice, killed {moment} write {k}"
        assert check_jobs(cluster) == {}
        if client.writes < k:
            break
        points += 1
    assert points >= 12


async def test_its_pod_is_as_restricted_as_the_others():
    options = {
        "podLabels": {"team": "shop", "whimbrel.dev/object": "stolen"},
        "imagePullSecrets": [{"name": "pull"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "resources": {"limits": {"memory": "64Mi"}},
    }
    cluster = await released(smoke("PostMigrate", timeout="1500ms"), soak="0s", job=options)
    body = cluster.api.objects[await works(cluster)]
    template, pod = body["spec"]["template"], body["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["command"]) == ("shop:1", ["smoke", "--fast"])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"] == {"limits": {"memory": "64Mi"}}
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert [each["name"] for each in pod["volumes"]] == ["tmp"]
    assert pod["imagePullSecrets"] == [{"name": "pull"}]
    assert (pod["nodeSelector"], pod["tolerations"][0]["key"]) == ({"disk": "ssd"}, "only")
    assert template["metadata"]["labels"]["team"] == "shop"
    assert template["metadata"]["labels"]["whimbrel.dev/object"] != "stolen"
    assert names.DATABASE_LABEL not in template["metadata"]["labels"]
    assert names.RUN not in body["metadata"]["annotations"]
    assert (body["spec"]["backoffLimit"], body["spec"]["activeDeadlineSeconds"]) == (0, 7)
    assert "ttlSecondsAfterFinished" not in body["spec"]
    assert body["metadata"]["ownerReferences"][0]["controller"] is True
    assert len(body["metadata"]["name"]) <= names.JOB_NAME_LIMIT
