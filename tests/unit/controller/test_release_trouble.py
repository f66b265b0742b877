"""A release into which somebody or something comes at the worst moment."""

import contextlib
from typing import Any

import pytest

from tests.blue_green import BLUE, GREEN, blue_green, check
from tests.fake_application import APPS, CORE, SERVICE
from tests.fake_cluster import KEY, PATH
from tests.unit.controller.test_release import (
    _some_turns,
    _working,
    released,
    segment,
    told,
    until,
)
from whimbrel.controller.act import carry_out
from whimbrel.controller.client import ConflictError, RejectedError
from whimbrel.controller.observe import observe
from whimbrel.machine.decide import decide

Body = dict[str, Any]
SCALERS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
SCALER = {
    "metadata": {"name": "shop", "namespace": "shop"},
    "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "shop-green"}},
}


@pytest.mark.parametrize("moment", ["Baseline", "PostMigrate", "PreSwitch", "PostSwitch"])
async def test_a_check_that_is_taken_out_meanwhile_skips_nothing_else(moment: str):
    cluster = await released(healthChecks=[check(moment)], soak="0s")
    cluster.ledger.applied, cluster.ledger.pending = ["000"], ("000", "001")
    cluster.ledger.health = {moment: ["unknown"]}
    await cluster.run(lambda: cluster.condition("Paused") == "True")
    await cluster.apply(healthChecks=[])
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])
    assert cluster.ledger.done == ["001"]
    steps = [each["name"] for each in cluster.status()["run"]["release"]["steps"]]
    assert [each for each in steps if each in ("Migrate", "Prepare", "Switch", "Finish")] == [
        "Migrate",
        "Prepare",
        "Switch",
    ]


async def test_a_killed_end_of_a_run_whose_schema_stays_takes_nothing_back():
    cluster = await released()
    await cluster.api.create(SCALERS, SCALER)
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, "Abort")
    cluster.node.script = ["vanish before"]
    await cluster.run()
    assert told(cluster)[:2] == ("RolledBack", "False")
    assert cluster.ledger.applied == ["001", "002"]


async def test_another_spec_while_the_schema_stays_takes_nothing_back():
    cluster = await released()
    await cluster.api.create(SCALERS, SCALER)
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, "Abort")
    await cluster.apply(limits={"lockTimeout": "200ms"})
    await cluster.run(limit=100)
    assert "-001" not in cluster.ledger.done


async def test_manual_rests_while_green_does_not_come():
    cluster = await released(rollback={"onFailure": "Manual"})
    await until(cluster, "Prepare")
    failing = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    path = f"{APPS}/deployments/shop-green"
    status = cluster.api.objects[path]["status"]
    cluster.api.put_status(path, status | {"availableReplicas": 0, "conditions": [failing]})
    for _ in range(10):
        await cluster.turn()
    writes = len(cluster.api.writes)
    for _ in range(10):
        await cluster.turn()
    assert len(cluster.api.writes) == writes
    assert told(cluster)[:2] == ("Held", "False")
    assert "whimbrel rollback shop-schema -n shop" in cluster.status()["message"]


async def test_manual_rests_where_the_switch_is_not_verified():
    cluster = await released(rollback={"onFailure": "Manual"})
    await cluster.run(lambda: cluster.application.selector() == GREEN)
    cluster.application.broken = {"shop-green"}
    for _ in range(60):
        again = await cluster.turn()
        await cluster.application.step()
        cluster.now += again or 0
    assert told(cluster)[:2] == ("Held", "False")


async def test_green_that_was_lost_before_the_switch_gets_no_traffic():
    cluster = await released(healthChecks=[check("PreSwitch")], soak="0s")
    await _working(cluster, "PreSwitch")
    cluster.application.broken = {"shop-green"}
    await cluster.application.step()
    cluster.node.hold = False
    await _some_turns(cluster)
    for _ in range(30):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 0
    assert cluster.application.sides == ["blue"]
    assert cluster.condition("Ready") == "True"
    cluster.application.broken.clear()
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_traffic_that_somebody_moves_to_green_again_goes_back_when_asked():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, "Drain")
    await cluster.api.patch(SERVICE, {"spec": {"selector": GREEN}})
    await _some_turns(cluster)
    assert (segment(cluster), told(cluster)[0]) == ("Drain", "RollingBack")
    assert "whimbrel rollback shop-schema -n shop" in cluster.status()["message"]
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue", "green", "blue"])
    assert cluster.ledger.applied == []


async def test_pods_of_a_deleted_green_are_waited_for():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, "Drain")
    await cluster.api.delete(f"{APPS}/deployments/shop-green")
    await _some_turns(cluster)
    assert segment(cluster) == "Drain"
    for path in [path for path in cluster.api.objects if f"{CORE}/pods/shop-green" in path]:
        await cluster.api.delete(path)
    await cluster.run()
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])


async def test_an_evicted_pod_of_green_is_no_pod_that_runs():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    evicted = {"name": "gone", "namespace": "shop", "labels": GREEN}
    await cluster.api.create(f"{CORE}/pods", {"metadata": evicted, "spec": {"containers": []}})
    cluster.api.put_status(
        f"{CORE}/pods/gone",
        {"phase": "Failed", "containerStatuses": [{"state": {"terminated": {"exitCode": 1}}}]},
    )
    await cluster.run()
    assert told(cluster)[:2] == ("RolledBack", "False")


async def test_a_leader_that_was_stopped_before_the_switch_switches_nothing_afterwards():
    """It decided to switch; another one went back meanwhile and never wrote the Service."""
    cluster = await released()
    await cluster.run(lambda: cluster.status().get("run", {}).get("release", {}).get("writes") == 1)
    look = await observe(cluster.new_operator(), KEY)
    assert look is not None
    decision = decide(look.seen)
    assert type(decision).__name__ == "SwitchService"
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert told(cluster)[:2] == ("RolledBack", "False")
    with contextlib.suppress(ConflictError):
        await carry_out(cluster.new_operator(), look, decision)
    assert cluster.application.selector() == BLUE


async def test_a_leader_that_was_stopped_before_the_drain_drains_nothing_afterwards():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run(
        lambda: bool(cluster.status().get("run", {}).get("release", {}).get("scaled"))
    )
    look = await observe(cluster.new_operator(), KEY)
    assert look is not None
    decision = decide(look.seen)
    assert type(decision).__name__ == "ScaleWorkload"
    await cluster.run()
    await cluster.api.patch(f"{APPS}/deployments/shop-green", {"spec": {"replicas": 2}})
    await cluster.annotate(retry_requested_at="now")
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")
    with contextlib.suppress(ConflictError):
        await carry_out(cluster.new_operator(), look, decision)
    assert cluster.api.objects[f"{APPS}/deployments/shop-green"]["spec"]["replicas"] == 2


async def test_a_service_that_is_no_longer_ours_is_not_switched():
    cluster = await released(healthChecks=[check("PreSwitch")], soak="0s")
    await _working(cluster, "PreSwitch")
    await cluster.api.patch(
        SERVICE, {"metadata": {"annotations": {"whimbrel.dev/managed-by": None}}}
    )
    cluster.node.hold = False
    for _ in range(30):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += min(again or 0, 30)
    assert cluster.application.sides == ["blue"]
    assert "kubectl annotate" in cluster.status()["message"]
    await cluster.api.patch(
        SERVICE, {"metadata": {"annotations": {"whimbrel.dev/managed-by": "shop-schema"}}}
    )
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_traffic_that_does_not_arrive_at_blue_names_somebody():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, "SwitchBack")
    for _ in range(4):
        await cluster.turn()
    assert cluster.application.selector() == BLUE
    cluster.now += 7200
    await cluster.turn()
    await cluster.turn()
    message = cluster.status()["message"]
    assert "0 of at least 1 ready Pods of blue" in message or "of others" in message
    assert "kubectl get" in message


async def test_pods_of_green_that_do_not_end_name_somebody():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, "Drain")
    for _ in range(4):
        again = await cluster.turn()
        cluster.now += again or 0
    cluster.now += 7200
    await cluster.turn()
    await cluster.turn()
    assert "kubectl get pods" in cluster.status()["message"]


async def test_a_deletion_ends_although_the_way_back_is_blocked():
    cluster = await released(deletionPolicy="Rollback")
    cluster.ledger.health = {"Soak": ["red"]}
    await until(cluster, "SwitchBack")
    await cluster.api.patch(f"{APPS}/deployments/shop-blue", {"spec": {"replicas": 0}})
    await cluster.api.create(
        SCALERS,
        {
            "metadata": {"name": "b"},
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "shop-blue"}},
        },
    )
    await cluster.api.delete(PATH)
    for _ in range(100):
        again = await cluster.turn()
        if not (await cluster.application.step() or await cluster.node.step()):
            cluster.now += again or 10
    assert PATH not in cluster.api.objects


async def test_a_refused_patch_of_the_service_keeps_ready():
    cluster = await released()
    await until(cluster, "Switch")
    real = cluster.api.change

    async def refuse(*_: Any) -> Body:
        raise RejectedError(403, "Forbidden", "services is forbidden")

    cluster.api.change = refuse
    await _some_turns(cluster, 4)
    assert told(cluster)[:2] == ("Switching", "True")
    assert "services is forbidden" in cluster.status()["message"]
    cluster.api.change = real
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")


@pytest.mark.parametrize("starts", [True, False], ids=["working", "starting"])
@pytest.mark.parametrize("moment", ["Baseline", "PostMigrate", "PreSwitch", "PostSwitch", "Soak"])
async def test_a_probe_on_a_lost_node_is_replaced(moment: str, starts: bool):
    """Nobody says that its containers have ended, and the Job controller makes no other Pod."""
    cluster = await released(healthChecks=[check(moment)], soak="40s")
    cluster.ledger.applied, cluster.ledger.pending = ["000"], ("000", "001")
    await until(cluster, moment)
    cluster.node.hold, cluster.node.image_is_there = True, starts
    for _ in range(6):
        await cluster.turn()
        await cluster.node.step()
    name = cluster.status()["job"]
    lost = cluster.api.objects[f"{CORE}/pods/{name}-x"]
    lost["metadata"] |= {"deletionTimestamp": cluster.api.moment(), "finalizers": ["on a node"]}
    gone, cluster.node.image_is_there = cluster.now, True
    for _ in range(40):
        again = await cluster.turn()
        if cluster.status()["job"] != name:
            break
        cluster.now += again or 0
    assert gone + 60 <= cluster.now <= gone + 66
    cluster.node.hold = False
    await cluster.run()
    assert told(cluster) == ("Completed", "True", ["blue", "green"])


async def test_a_refused_job_keeps_ready():
    cluster = await released()
    await until(cluster, "Soak")
    real = cluster.api.create

    async def refuse(path: str, body: Body) -> Body:
        if path.endswith("/jobs"):
            raise RejectedError(403, "Forbidden", "exceeded quota")
        return await real(path, body)

    cluster.api.create = refuse
    await _some_turns(cluster, 4)
    assert told(cluster)[:2] == ("Soaking", "True")
    cluster.api.create = real
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")


async def test_a_baseline_after_a_killed_migration_closes_the_run():
    cluster = await released(healthChecks=[check("Baseline")], soak="0s")
    cluster.ledger.pending = ("001",)
    await until(cluster, "Migrate")
    cluster.node.script = ["vanish after"]
    cluster.ledger.health = {"Baseline": ["red"]}

    async def one_more() -> None:
        cluster.ledger.pending = ("001", "002")

    await cluster.run(lambda: segment(cluster) == "Look")
    await one_more()
    await cluster.run()
    assert cluster.ledger.open_run == "" or told(cluster)[0] == "Held"


async def test_green_lost_while_the_run_is_being_finished_ends_at_one_side():
    cluster = await released()
    await _working(cluster, "Finish")
    cluster.application.broken = {"shop-green"}
    for _ in range(20):
        again = await cluster.turn()
        if not await cluster.application.step():
            cluster.now += again or 0
    cluster.node.hold = False
    await cluster.run()
    assert cluster.ledger.open_run == ""
    phase = told(cluster)[0]
    assert (phase, cluster.application.selector()) in [("Completed", GREEN), ("RolledBack", BLUE)]


async def test_as_many_checks_as_allowed_and_the_identity():
    checks = [check("PostSwitch", name=f"c{number}") for number in range(10)]
    cluster = await released(
        **(blue_green(identity={"header": "X-Track"}) | {"healthChecks": checks, "soak": "0s"})
    )
    await cluster.run()
    assert told(cluster)[:2] == ("Completed", "True")
