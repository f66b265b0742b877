"""The life of one object against an API server that keeps the rules."""

from dataclasses import replace

import pytest

from tests.fake_cluster import KEY, PATH, FakeCluster, spec
from tests.fake_runner import DIGEST
from whimbrel.controller import paths
from whimbrel.controller.observe import BEGIN, END
from whimbrel.machine.names import FINALIZER, database_label, object_label
from whimbrel.model.spec import parse_spec

GATED = {"approval": {"before": ["Start"]}}
BUMPED = {"migrations": {"tool": "sql", "inline": {"files": {"003_c.up.sql": "SELECT 3"}}}}


async def applied(script: list[str] | None = None, **changes: object) -> FakeCluster:
    cluster = FakeCluster(script)
    await cluster.apply(**changes)
    return cluster


def finalizers(cluster: FakeCluster) -> list[str]:
    return cluster.api.objects[PATH]["metadata"].get("finalizers", [])


def works(cluster: FakeCluster) -> bool:
    states = [
        each["status"]["containerStatuses"][0]["state"]
        for path, each in cluster.api.objects.items()
        if "/pods/" in path and each.get("status")
    ]
    return any("running" in state for state in states)


async def test_applied_object_becomes_ready_with_one_job():
    cluster = await applied()
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.condition("Ready") == cluster.condition("Completed") == "True"
    assert cluster.status()["applied"]["revision"] == "002"
    assert cluster.ledger.done == ["001", "002"]
    assert len(cluster.jobs()) == 1
    assert FINALIZER not in finalizers(cluster)


async def test_object_at_rest_is_not_written_again():
    cluster = await applied()
    await cluster.run()
    before = len(cluster.api.writes)
    cluster.now += 3600
    await cluster.run()
    assert len(cluster.api.writes) == before


async def test_status_lost_and_reapplied_runs_nothing_twice():
    cluster = await applied()
    await cluster.run()
    cluster.api.put_status(PATH, {"observedGeneration": -1})
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.ledger.done == ["001", "002"]


async def test_failure_stalls_and_the_fix_starts_at_once():
    cluster = await applied(["fail"])
    await cluster.run()
    assert cluster.status()["phase"] == "Failed"
    assert cluster.condition("Stalled") == "True"
    assert cluster.condition("Reconciling") == ""
    started = cluster.now
    await cluster.apply(**BUMPED)
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.now == started


async def test_retry_annotation_is_a_new_run_and_is_handled_once():
    cluster = await applied(["fail", "fail"])
    await cluster.run()
    first = cluster.status()["run"]["id"]
    await cluster.annotate(retry_requested_at="now")
    await cluster.run()
    assert cluster.status()["run"]["id"] != first
    assert cluster.status()["handled"]["retry"] == "now"
    assert cluster.status()["phase"] == "Failed"
    await cluster.annotate(retry_requested_at="later")
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_busy_database_is_retried_with_backoff():
    cluster = await applied(["busy"] * 4)
    await cluster.run(lambda: cluster.status()["run"]["failures"] == 3)
    assert cluster.condition("Reconciling") == "True"
    assert cluster.status()["message"] == "DatabaseAway in the fake database"
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.ledger.done == ["001", "002"]


async def test_gives_up_at_the_deadline_but_looks_every_five_minutes():
    cluster = await applied(["busy"] * 200, limits={"progressDeadline": "2m"})
    await cluster.run(lambda: cluster.status()["phase"] == "Failed")
    assert cluster.condition("Stalled") == "True"
    assert "gave up" in cluster.status()["message"]
    moment, jobs = cluster.now, len(cluster.node.script)
    await cluster.run(lambda: len(cluster.node.script) < jobs - 1)
    assert 300 <= cluster.now - moment <= 700
    assert cluster.condition("Stalled") == "True"
    cluster.node.script.clear()
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


@pytest.mark.parametrize("vanish", ["vanish before", "vanish after"])
async def test_job_that_ended_without_an_answer_is_looked_at_first(vanish):
    cluster = await applied([vanish])
    await cluster.run()
    assert [job.split("-")[2] for job in cluster.jobs()] == ["migrate", "look", "migrate"]
    assert cluster.ledger.done == ["001", "002"]
    assert cluster.status()["phase"] == "Completed"
    ended = cluster.status()["run"]["ended"]
    assert [key.partition("@")[0] for key in ended][:1] == ["Migrate/1"]


async def test_suspended_object_stops_its_job_and_goes_on_later():
    cluster = await applied()
    cluster.node.hold = True
    await cluster.run(lambda: works(cluster))
    await cluster.apply(suspend=True)
    await cluster.run()
    assert cluster.status()["phase"] == "Suspended"
    assert cluster.condition("Ready") == "False"
    assert cluster.condition("Paused") == "True"
    assert cluster.jobs() == []
    cluster.node.hold = False
    await cluster.apply(suspend=False)
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.ledger.done == ["001", "002"]


async def test_suspending_what_is_done_stays_ready_and_resuming_runs_nothing():
    cluster = await applied()
    await cluster.run()
    await cluster.apply(suspend=True)
    await cluster.run()
    assert cluster.status()["phase"] == "Suspended"
    assert cluster.condition("Ready") == "True"
    await cluster.apply(suspend=False)
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert len(cluster.jobs()) == 1


async def test_plan_is_shown_and_runs_after_approval():
    cluster = await applied(**GATED)
    await cluster.run()
    gate = cluster.status()["gate"]
    assert cluster.status()["phase"] == "AwaitingApproval"
    assert gate["token"] == f"Start:{DIGEST[:12]}"
    shown = cluster.api.objects[f"{paths.config_maps(KEY[0])}/{gate['plan']}"]
    assert shown["immutable"] is True
    assert shown["data"] == {"plan.txt": "the plan"}
    await cluster.annotate(approve="Start:wrong")
    await cluster.run()
    assert cluster.ledger.done == []
    cluster.now += 100_000  # a person may take long
    await cluster.annotate(approve=gate["token"])
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.status()["run"]["approved"] is True
    assert "gate" not in cluster.status()


async def test_gate_with_nothing_to_do_asks_nobody():
    cluster = await applied(**GATED)
    cluster.ledger.applied = ["001", "002"]
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_new_generation_waits_for_the_run_that_works():
    cluster = await applied()
    cluster.node.hold = True
    await cluster.run(lambda: works(cluster))
    await cluster.apply(**BUMPED)
    await cluster.turn()
    assert cluster.status()["observedGeneration"] == 2
    assert "generation 2 waits" in cluster.status()["message"]
    assert cluster.condition("Reconciling") == "True"
    cluster.node.hold = False
    await cluster.run()
    assert cluster.status()["run"]["generation"] == 2
    assert cluster.status()["phase"] == "Completed"
    assert len(cluster.jobs()) == 2


@pytest.mark.parametrize("script", [[], ["fail"]], ids=["it succeeds", "it fails"])
async def test_end_of_a_run_is_not_shown_as_the_end_of_a_newer_generation(script: list[str]):
    cluster = await applied(script)
    cluster.node.hold = True
    await cluster.run(lambda: works(cluster))
    await cluster.apply(**BUMPED)
    cluster.node.hold = False
    await cluster.run()
    for status in cluster.shown:
        over = {each["type"] for each in status["conditions"] if each["status"] == "True"}
        if status["observedGeneration"] == 2 and over & {"Ready", "Stalled", "Completed"}:
            assert status["run"]["generation"] == 2


async def test_new_generation_does_not_wait_for_an_image_that_cannot_be_pulled():
    cluster = await applied()
    cluster.node.image_is_there = False
    await cluster.run(lambda: "ImagePullBackOff" in cluster.status().get("message", ""))
    assert cluster.condition("Reconciling") == "True"
    assert "whimbrel:1 cannot be pulled" in cluster.status()["message"]
    first = cluster.jobs()
    cluster.node.image_is_there = True
    moment = cluster.now
    await cluster.apply(**BUMPED)
    await cluster.turn()
    await cluster.turn()
    assert cluster.jobs() == []
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.now == moment
    assert first[0] not in cluster.jobs()


async def test_image_that_never_comes_is_given_up_at_the_deadline_and_still_waited_for():
    cluster = await applied(limits={"progressDeadline": "2m"})
    cluster.node.image_is_there = False
    await cluster.run(lambda: cluster.condition("Stalled") == "True")
    assert "progressDeadline" in cluster.status()["message"]
    cluster.node.image_is_there = True
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_held_run_goes_on_when_a_person_resolves_it():
    cluster = await applied(["held", "held", "held"])
    await cluster.run()
    assert cluster.status()["phase"] == "Held"
    assert cluster.condition("Stalled") == "True"
    assert FINALIZER in finalizers(cluster)  # its row in the ledger is open
    run = cluster.status()["run"]["id"]
    await cluster.annotate(resolve="FenceProven:another-run")
    await cluster.run()
    assert cluster.status()["phase"] == "Held"
    await cluster.annotate(resolve=f"FenceProven:{run}", resolve_by="me")
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.status()["run"]["id"] == run
    assert FINALIZER not in finalizers(cluster)


async def test_rollback_annotation_takes_back_and_stays():
    cluster = await applied()
    await cluster.run()
    await cluster.annotate(rollback_requested_at="2026-11-22T10:00:00Z")
    await cluster.run()
    assert cluster.status()["phase"] == "RolledBack"
    assert cluster.condition("Ready") == "False"
    assert cluster.ledger.done == ["001", "002", "-001", "-002"]


async def test_rollback_annotation_of_a_restored_object_takes_nothing_back():
    cluster = FakeCluster()
    await cluster.apply()
    await cluster.annotate(rollback_requested_at="last year", retry_requested_at="last year")
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"
    assert cluster.status()["handled"] == {
        "retry": "last year",
        "rollback": "last year",
        "resolve": "",
        "resolveAt": "",
    }


async def test_failed_rollback_goes_on_when_data_loss_is_allowed():
    cluster = await applied(["ok", "held"])
    await cluster.run()
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert cluster.status()["phase"] == "Held"
    await cluster.apply(rollback={"allowDataLoss": {"by": "me", "reason": "test data"}})
    await cluster.run()
    assert cluster.status()["phase"] == "RolledBack"
    assert cluster.ledger.applied == []


async def test_foreign_job_with_our_name_is_not_touched():
    cluster = await applied()
    await cluster.turn()
    name = cluster.status()["job"]
    foreign = {"metadata": {"name": name, "namespace": KEY[0]}, "spec": {}}
    await cluster.api.create(paths.jobs(KEY[0]), foreign)
    for _ in range(4):
        await cluster.turn()
    assert cluster.status()["phase"] == "Held"
    assert f"kubectl delete -n shop job/{name}" in cluster.status()["message"]
    await cluster.api.delete(f"{paths.jobs(KEY[0])}/{name}")
    await cluster.run()
    assert cluster.status()["phase"] == "Completed"


async def test_only_the_last_three_jobs_are_kept():
    cluster = await applied()
    for number in range(6):
        cluster.now += 60
        await cluster.apply(limits={"lockTimeout": f"{number + 1}s"})
        await cluster.run()
    assert len(cluster.jobs()) == 3


async def test_events_tell_each_transition_once():
    cluster = await applied(["busy", "busy", "fail"])
    await cluster.run()
    reasons = [body["reason"] for path, body in cluster.api.objects.items() if "/events/" in path]
    assert reasons == ["Migrating", "ProgressingWithRetry", "MigrationFailed"]


async def test_jobs_carry_our_labels_only():
    cluster = FakeCluster()
    await cluster.apply()
    await cluster.api.patch(PATH, {"metadata": {"labels": {"app": "shop", "team": "a"}}})
    await cluster.run()
    job = next(body for path, body in cluster.api.objects.items() if "/jobs/" in path)
    uid = cluster.api.objects[PATH]["metadata"]["uid"]
    assert job["metadata"]["labels"] == {
        "app.kubernetes.io/managed-by": "whimbrel",
        "whimbrel.dev/object": object_label(KEY[1], uid),
        "whimbrel.dev/database": database_label(parse_spec(spec()).database),
    }


async def test_long_plan_comes_from_the_log_and_only_with_its_digest():
    cluster = await applied(**GATED)
    cluster.world.settings = replace(cluster.world.settings, pod_logs=True)
    cluster.ledger.long_plan = "a very long plan"
    await cluster.run(lambda: cluster.status().get("phase") == "AwaitingApproval")
    assert cluster.status()["gate"]["token"] == ""
    await cluster.turn()
    assert "cannot be approved here" in cluster.status()["message"]
    assert "helm upgrade whimbrel charts/whimbrel" in cluster.status()["message"]
    pod = next(path for path in cluster.api.objects if "/pods/" in path)
    cluster.api.logs[f"{pod}/log"] = f"x\n{BEGIN}another plan{END}\n"
    await cluster.turn()
    assert cluster.status()["gate"]["token"] == ""
    cluster.api.logs[f"{pod}/log"] = f"x\n{BEGIN}a very long plan{END}\n"
    await cluster.turn()
    assert cluster.status()["gate"]["token"] == f"Start:{DIGEST[:12]}"
