"""A release from its migration to its end, on an API server and an application in memory."""

from typing import Any

import pytest

from tests.blue_green import BLUE, GREEN, blue_green, check, deploy
from tests.fake_application import SERVICE
from tests.fake_cluster import KEY, PATH, FakeCluster

Body = dict[str, Any]


async def released(selector: Body | None = BLUE, **changes: Any) -> FakeCluster:
    """A shop with two sides, and the release applied but not carried out."""
    cluster = FakeCluster()
    await deploy(cluster, selector, **changes)
    return cluster


def told(cluster: FakeCluster) -> tuple[str, str, list[str]]:
    return (cluster.status()["phase"], cluster.condition("Ready"), cluster.application.sides)


def segment(cluster: FakeCluster) -> str:
    run: Body = cluster.status().get("run", {})
    return str(run.get("segment", ""))


async def until(cluster: FakeCluster, wanted: str) -> None:
    await cluster.run(lambda: segment(cluster) == wanted)


async def test_a_good_release_ends_at_green_with_one_write():
    cluster = await released()
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert cluster.api.writes.count(("patch", SERVICE)) == 1
    assert cluster.ledger.done == ["001", "002"]
    assert cluster.ledger.open_run == ""
    assert cluster.status()["active"] == "green"
    assert cluster.ledger.probes == ["PostMigrate", "PostSwitch", "Soak"]


async def test_ready_as_soon_as_green_may_be_deployed():
    cluster = FakeCluster()
    await cluster.application.deploy("blue")
    await cluster.application.serve(BLUE)
    await cluster.apply(**blue_green())
    for _ in range(60):
        await cluster.turn()
        await cluster.application.step()
        await cluster.node.step()
    assert told(cluster) == ("Verifying", "True", ["blue"])
    assert "waits for Deployment/shop-green" in cluster.status()["message"]
    await cluster.application.deploy("green")
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_a_service_without_selector_gets_blue_then_green():
    cluster = await released(None)
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["", "blue", "green"])


@pytest.mark.parametrize(
    ("moment", "sides"),
    [
        ("PostMigrate", ["blue"]),
        ("PostSwitch", ["blue", "green", "blue"]),
        ("Soak", ["blue", "green", "blue"]),
    ],
)
async def test_red_takes_traffic_application_and_schema_back(moment: str, sides: list[str]):
    cluster = await released()
    cluster.ledger.health = {moment: ["red"]}
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", sides)
    assert cluster.ledger.done == ["001", "002", "-001", "-002"]
    assert cluster.ledger.open_run == ""
    green = cluster.api.objects["/apis/apps/v1/namespaces/shop/deployments/shop-green"]
    assert green["spec"]["replicas"] == 0
    assert cluster.status()["run"]["release"]["scaled"] == [
        {"kind": "Deployment", "name": "shop-green", "replicas": 2}
    ]
    assert "HealthCheckFailed in the fake database" in cluster.status()["message"]


async def test_a_red_baseline_refuses_and_touches_nothing():
    cluster = await released(healthChecks=[check("Baseline")], soak="0s")
    cluster.ledger.applied, cluster.ledger.pending = ["000"], ("000", "001")
    cluster.ledger.health = {"Baseline": ["red"]}
    await cluster.run()
    assert told(cluster) == ("Failed", "False", ["blue"])
    assert cluster.status()["conditions"][0]["reason"] == "BaselineFailed"
    assert cluster.ledger.done == []


@pytest.mark.parametrize("gate", [[], ["Start"]], ids=["", "gated"])
@pytest.mark.parametrize("health", ["red", "green"])
async def test_a_release_without_a_migration_has_its_baseline(health: str, gate: list[str]):
    """What is red before is no fault of it: it would be switched to and taken back."""
    asked = {"approval": {"before": gate}} if gate else {}
    cluster = await released(healthChecks=[check("Baseline"), check("Soak")], **asked)
    cluster.ledger.applied = ["001", "002"]
    cluster.ledger.health = {"Baseline": [health]}
    await cluster.run()
    red = health == "red"
    assert told(cluster)[0] == ("Failed" if red else "Completed")
    assert cluster.application.sides == (["blue"] if red else ["blue", "green"])
    assert cluster.status()["conditions"][0]["reason"] == ("BaselineFailed" if red else "Completed")
    assert (cluster.ledger.done, cluster.ledger.open_run) == ([], "")


async def test_a_release_that_was_complete_has_no_baseline():
    cluster = await released(healthChecks=[check("Baseline")], soak="0s")
    cluster.ledger.applied, cluster.ledger.complete = ["001", "002"], True
    cluster.ledger.health = {"Baseline": ["red"]}
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")
    assert cluster.ledger.probes == []


async def test_no_baseline_where_nothing_was_ever_applied():
    cluster = await released(healthChecks=[check("Baseline")], soak="0s")
    cluster.ledger.health = {"Baseline": ["red"]}
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_no_answer_pauses_and_takes_nothing_back():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["unknown", "unknown"]}
    await until(cluster, "Soak")
    await cluster.run(lambda: cluster.condition("Paused") == "True")
    assert told(cluster)[:2] == ("Soaking", "True")
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    # The soak began anew once there were answers again.
    assert cluster.ledger.probes[-4:] == ["Soak"] * 4


async def test_manual_stays_and_says_so_until_a_person_decides():
    cluster = await released(rollback={"onFailure": "Manual"})
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run()
    assert told(cluster) == ("Held", "False", ["blue", "green"])
    assert "whimbrel rollback shop-schema -n shop" in cluster.status()["message"]
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert cluster.ledger.applied == []


async def test_manual_goes_on_when_a_person_asks_to_measure_again():
    cluster = await released(rollback={"onFailure": "Manual"})
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run()
    await cluster.annotate(retry_requested_at="now")
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def edit_service(cluster: FakeCluster) -> None:
    await cluster.api.patch(SERVICE, {"spec": {"selector": {"track": "blue"}}})


async def test_a_foreign_change_is_put_right_once_then_held():
    cluster = await released()
    cluster.node.hold = True
    await _working(cluster, "Soak")
    await edit_service(cluster)
    await cluster.run(lambda: cluster.application.selector() == GREEN)
    await _some_turns(cluster)
    assert cluster.status()["run"]["release"]["drift"] == 1
    assert conditions(cluster) == {"Ready": "Soaking", "TrafficDrift": "ChangedByOthers"}
    await edit_service(cluster)
    await _some_turns(cluster)
    assert told(cluster) == ("Held", "False", ["blue", "green", "blue", "green", "blue"])
    held = dict.fromkeys(("Ready", "Stalled"), "TrafficDrift")
    assert conditions(cluster) == held | {"TrafficDrift": "ChangedByOthers"}


async def test_what_was_put_right_is_no_condition_any_more_when_the_run_is_over():
    cluster = await released()
    cluster.node.hold = True
    await _working(cluster, "Soak")
    await edit_service(cluster)
    await cluster.run(lambda: "TrafficDrift" in conditions(cluster))
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")
    assert sorted(conditions(cluster)) == ["Completed", "Ready"]


def conditions(cluster: FakeCluster) -> dict[str, str]:
    """Return the reason of each condition; each is True where the run is as it should be."""
    return {each["type"]: each["reason"] for each in cluster.status()["conditions"]}


async def _working(cluster: FakeCluster, wanted: str) -> None:
    """Go on until the Job of a segment works, and stays so."""
    for _ in range(300):
        again = await cluster.turn()
        if segment(cluster) == wanted and any(wanted.lower() in name for name in cluster.jobs()):
            return
        cluster.node.hold = segment(cluster) == wanted
        if not (await cluster.application.step() or await cluster.node.step()) and again:
            cluster.now += again
    raise AssertionError(f"never at {wanted}: {cluster.status()}")


async def _some_turns(cluster: FakeCluster, many: int = 12) -> None:
    for _ in range(many):
        again = await cluster.turn()
        if not await cluster.application.step():
            cluster.now += again or 0.0


async def test_blue_scaled_to_zero_is_scaled_up_before_the_traffic_goes_back():
    cluster = await released()
    await _working(cluster, "Soak")
    await cluster.api.patch(
        "/apis/apps/v1/namespaces/shop/deployments/shop-blue", {"spec": {"replicas": 0}}
    )
    cluster.ledger.health = {"Soak": ["red"]}
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    scaled = cluster.status()["run"]["release"]["scaled"]
    assert [each["name"] for each in scaled] == ["shop-blue", "shop-green"]


async def test_green_that_somebody_else_scales_keeps_the_schema():
    cluster = await released()
    scaler = {
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "shop-green"}},
    }
    path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    await cluster.api.create(path, scaler)
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert cluster.ledger.applied == ["001", "002"]
    assert cluster.ledger.open_run == ""
    assert "HorizontalPodAutoscaler/shop" in cluster.status()["message"]


async def test_a_service_of_somebody_else_is_refused_before_anything_runs():
    cluster = await released()
    managed = [
        {
            "manager": "argocd-controller",
            "operation": "Apply",
            "fieldsV1": {"f:spec": {"f:selector": {}}},
        }
    ]
    await cluster.api.patch(SERVICE, {"metadata": {"managedFields": managed}})
    await _some_turns(cluster)
    assert told(cluster)[:2] == ("Failed", "False")
    assert "argocd-controller" in cluster.status()["message"]
    assert cluster.jobs() == []
    await cluster.api.patch(SERVICE, {"metadata": {"managedFields": []}})
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_green_that_never_becomes_ready_is_never_switched_to():
    cluster = await released()
    cluster.application.broken = {"shop-green"}
    for _ in range(40):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 600.0
    assert told(cluster) == ("Verifying", "True", ["blue"])


async def test_another_release_waits_for_the_end_of_a_switched_one():
    cluster = await released()
    await _working(cluster, "Soak")
    await cluster.apply(**(blue_green() | {"limits": {"lockTimeout": "200ms"}}))
    await _some_turns(cluster)
    assert segment(cluster) == "Soak"
    assert cluster.status()["run"]["generation"] == 1
    cluster.node.hold = False
    await cluster.run()
    assert cluster.status()["run"]["generation"] == 2
    assert told(cluster)[:2] == ("Completed", "True")


async def test_edited_checks_are_measured_in_the_same_run():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["unknown"]}
    await until(cluster, "Soak")
    await cluster.run(lambda: cluster.condition("Paused") == "True")
    run = cluster.status()["run"]["id"]
    await cluster.apply(**(blue_green() | {"soak": "1m"}))
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert cluster.status()["run"]["id"] == run


async def test_suspended_in_a_soak_it_begins_anew_afterwards():
    cluster = await released()
    await _working(cluster, "Soak")
    await cluster.apply(**(blue_green() | {"suspend": True}))
    await _some_turns(cluster)
    assert told(cluster)[:2] == ("Suspended", "True")
    cluster.now += 3600
    cluster.node.hold = False
    await cluster.apply(**(blue_green() | {"suspend": False}))
    before = cluster.now
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert cluster.now > before + 30


@pytest.mark.parametrize("moment", ["Prepare", "Switch", "PostSwitch", "Soak"])
async def test_deleted_meanwhile_it_ends_at_one_verified_side(moment: str):
    cluster = await released()
    await until(cluster, moment)
    await cluster.api.delete(PATH)
    await cluster.run()
    assert PATH not in cluster.api.objects
    assert cluster.ledger.open_run == ""
    assert cluster.application.selector() in (BLUE, GREEN)


async def test_a_completed_release_gives_its_service_the_selector_back():
    cluster = await released()
    await cluster.run()
    await cluster.api.patch(SERVICE, {"spec": {"selector": None}})
    await cluster.application.step()
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green", "", "green"])


async def test_a_person_takes_back_a_completed_release_traffic_first():
    cluster = await released()
    await cluster.run()
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert cluster.ledger.applied == []


async def test_workload_checks_are_made_by_the_controller():
    workload = {"type": "Workload", "workload": {"ref": {"name": "shop-green"}}, "interval": "5s"}
    checks = [{"name": "green", "when": ["Soak"]} | workload]
    cluster = await released(healthChecks=checks, soak="1m")
    await until(cluster, "Soak")
    cluster.application.broken = {"shop-green"}
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    assert KEY == ("shop", "shop-schema")
    assert cluster.ledger.probes == []
