"""Somebody or something interferes with a release: it ends at one verified side all the same."""

import json
import time
from typing import Any

import pytest

from tests.cluster.kube import ROOT, kubectl, wait_until
from tests.cluster.one_node import away, provide_image
from tests.cluster.release import BLUE, GREEN, REPLICAS, Release, deployment, example, migration_of
from tests.cluster.test_blue_green_stories import EVERYTHING, is_taken_back

pytestmark = pytest.mark.cluster

OPERATOR = ("-n", "whimbrel-system")
OUTAGE = 30.0  # seconds without an API server
LONG = "60s"  # a soak in which something has the time to happen
PROMETHEUS = ROOT / "tests/cluster/prometheus"
ERRORS = 'sum(rate(shop_requests_total{track="green",status="500"}[5s])) or vector(0)'


def reaches_soak(release: Release, soak: str = LONG) -> None:
    """Bring the release to its soak."""
    release.go(migration_of(soak=soak))
    release.reaches("Soaking")


def kill_the_operator() -> None:
    """Take the operator's Pod away without a word to it."""
    label = ("-l", "app.kubernetes.io/name=whimbrel")
    kubectl(*OPERATOR, "delete", "pod", *label, "--grace-period=0", "--force")


@pytest.mark.alone
@pytest.mark.parametrize("phase", ["Switching", "RollingBack"])
@pytest.mark.sampled("the operator is away")
def test_the_operator_is_killed_between_the_sides(release: Release, phase: str):
    with release.load() as load:
        reaches = {"Switching": release.go, "RollingBack": lambda: turns_bad(release)}[phase]
        reaches()
        release.reaches(phase)
        kill_the_operator()
        release.reaches("Completed" if phase == "Switching" else "RolledBack", seconds=240)
    kubectl(*OPERATOR, "rollout", "status", "deploy/whimbrel", "--timeout=120s")
    end = {"Switching": ["green"], "RollingBack": ["green", "blue"]}[phase]
    assert release.selectors() == ["", "blue", *end]
    assert release.writes() == end, "each write once"
    assert release.is_at(end[-1])
    assert load.not_there_once(release.shop) == {}
    assert phase == "RollingBack" or load.failed() == [], load.told()
    assert release.complaints() == []


def turns_bad(release: Release) -> None:
    """Bring the release to a soak in which green fails."""
    reaches_soak(release)
    release.go_wrong("green", *EVERYTHING)


@pytest.mark.alone
@pytest.mark.sampled("the API server is away")
def test_the_api_server_is_away_during_the_soak(release: Release, one_node: None):
    with release.load() as load:
        reaches_soak(release)
        with away("kube-apiserver"):
            back = time.monotonic() + OUTAGE
            wait_until("the outage is long enough", lambda: time.monotonic() >= back)
        release.completes(240)
    assert load.failed() == [], load.told()
    assert load.not_there_once(release.shop) == {}
    assert release.is_at("green")
    assert release.selectors() == ["", "blue", "green"]


@pytest.mark.sampled("trouble in a release")
def test_a_selector_edited_by_hand_is_put_right_once_and_then_held(release: Release):
    with release.load() as load:
        reaches_soak(release, "120s")
        release.point_at("blue")
        wait_until("it is put right", lambda: release.selector() == GREEN)
        wait_until("and verified", lambda: release.is_at("green"))
        assert release.run()["drift"] == 1
        assert release.shop.condition("shop-2", "TrafficDrift")["status"] == "True"
        release.point_at("blue")
        release.reaches("Held")
    ready = release.shop.condition("shop-2", "Ready")
    assert ready["reason"] == "TrafficDrift"
    assert "--show-managed-fields" in ready["message"]
    assert "whimbrel retry shop-2" in ready["message"]
    assert release.selector() == BLUE, "no tug of war"
    assert release.writes() == ["green", "green"]
    assert release.is_expanded(), "both versions are right"
    assert load.failed() == [], load.told()
    assert release.complaints() == []


@pytest.mark.sampled("trouble in a release")
def test_blue_that_a_person_scaled_to_zero_is_scaled_up_before_the_traffic_goes_back(
    release: Release,
):
    reaches_soak(release, "120s")
    release.scale("shop-blue", 0)
    words = ("wait", "--for=delete", "pod", "-l", "track=blue", "--timeout=60s")
    release.shop.kubectl(*words)
    release.go_wrong("green", *EVERYTHING)
    is_taken_back(release)
    assert "RollbackBlocked" in release.reasons()
    assert release.replicas("blue") >= REPLICAS
    scaled = {each["name"]: each["replicas"] for each in release.run()["scaled"]}
    assert scaled["shop-blue"] == 0, "what it was before"
    # The traffic waited for Pods of blue: it was last seen blocked before the Service went back.
    blocked = [each.at for each in release.seen if says(each.body, "RollbackBlocked")]
    assert max(blocked) <= release.switched_at("blue")
    assert release.selectors() == ["", "blue", "green", "blue"]


def says(body: dict, reason: str) -> bool:
    """Tell whether an object's Ready has a reason."""
    conditions = body.get("status", {}).get("conditions", [])
    return any(each["type"] == "Ready" and each["reason"] == reason for each in conditions)


def autoscaled(release: Release) -> str:
    """Let an autoscaler state green's number of replicas; return its name."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop-green"}
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}
    spec = {"scaleTargetRef": target, "minReplicas": REPLICAS, "maxReplicas": 4}
    spec |= {"metrics": [{"type": "Resource", "resource": cpu}]}
    head = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler"}
    release.shop.apply(head | {"metadata": {"name": "shop-green"}, "spec": spec})
    return "HorizontalPodAutoscaler/shop-green"


def stated_in_git(release: Release) -> str:
    """Let a GitOps engine state green's number of replicas; return its name."""
    body = deployment("green", replicas=REPLICAS)
    words = ("--server-side", "--force-conflicts", "--field-manager=argocd-controller")
    release.shop.kubectl("apply", *words, "-f", "-", given=json.dumps(body))
    return "argocd-controller"


@pytest.mark.parametrize("owned_by", [autoscaled, stated_in_git])
@pytest.mark.sampled("trouble in a release")
def test_green_that_somebody_else_scales_keeps_its_schema(release: Release, owned_by: Any):
    reaches_soak(release)
    owner = owned_by(release)
    with release.load() as load:
        release.go_wrong("green", *EVERYTHING)
        release.reaches("RolledBack")
    assert release.is_at("blue")
    assert release.is_expanded()
    assert release.replicas("green") == REPLICAS
    assert owner in release.run()["stays"]
    assert owner in release.shop.condition("shop-2", "Ready")["message"]
    assert load.not_there_once(release.shop) == {}
    assert release.complaints() == []


@pytest.mark.sampled("trouble in a release")
def test_the_object_deleted_while_switching_leaves_one_side(release: Release):
    with release.load() as load:
        release.go()
        release.reaches("Switching")
        release.shop.kubectl("delete", "dbm/shop-2", "--timeout=120s")
        wait_until("one side", lambda: release.is_at("blue") or release.is_at("green"))
        load.wait_for(len(load.requests()) + 100)
    assert load.failed() == [], load.told()
    assert load.not_there_once(release.shop) == {}
    # Nothing of ours is left, and the next release can begin at once.
    side = release.selector()["track"]
    assert release.selectors() in (["", "blue"], ["", "blue", "green"])
    release.shop.apply(migration_of())
    release.completes()
    assert release.is_at("green"), f"it was at {side}"


@pytest.mark.sampled("trouble in a release")
def test_manual_holds_a_consistent_state_until_a_person_decides(release: Release):
    release.go(migration_of(soak=LONG, rollback={"onFailure": "Manual"}))
    release.reaches("Soaking")
    release.go_wrong("green", *EVERYTHING)
    release.reaches("Held")
    assert release.reason() == "HealthCheckFailed"
    message = release.shop.condition("shop-2", "Ready")["message"]
    assert f"whimbrel rollback shop-2 -n {release.shop.name}" in message
    assert release.is_at("green")
    assert release.is_expanded()
    release.shop.kubectl("annotate", "dbm/shop-2", "whimbrel.dev/rollback-requested-at=now")
    is_taken_back(release)


@pytest.mark.sampled("trouble in a release")
def test_a_service_made_again_from_git_gets_its_side_back(release: Release):
    release.go(migration_of(soak="5s"))
    release.completes()
    release.shop.kubectl("delete", "service", "shop")
    release.shop.apply(example("service")[0])
    wait_until("green has the traffic", lambda: release.is_at("green"))
    # What a person moves after the end of the run is not undone.
    release.point_at("blue")
    wait_until("blue has the traffic", lambda: release.is_at("blue"))
    release.shop.kubectl("annotate", "dbm/shop-2", "example.org/look=again")
    wait_until("it was looked at", lambda: release.status()["active"] == "blue")
    assert release.is_at("blue")


@pytest.fixture
def prometheus(release: Release) -> Release:
    """A Prometheus in the release's namespace that scrapes the shop."""
    provide_image(PROMETHEUS, "whimbrel-prometheus:2")
    release.shop.kubectl("apply", "-f", str(PROMETHEUS / "prometheus.yaml"))
    words = ("rollout", "status", "deploy/prometheus", "--timeout=120s")
    release.shop.kubectl(*words)
    return release


def watched_by_prometheus(soak: str) -> dict:
    """Return the object with a check of the share of errors, and no other in its soak."""
    body = migration_of(soak=soak)
    check = {"name": "errors", "type": "Prometheus", "when": ["Soak"], "unknownThreshold": 3}
    query = {"url": "http://prometheus:9090", "query": ERRORS}
    expected = {"expect": {"op": "LessOrEqual", "value": "0.01"}}
    check |= {"prometheus": query | expected, "interval": "2s", "timeout": "2s"}
    check |= {"initialDelay": "5s"}
    for each in body["spec"]["healthChecks"]:
        each["when"] = [moment for moment in each["when"] if moment != "Soak"]
    body["spec"]["healthChecks"].append(check)
    return body


@pytest.mark.sampled("trouble in a release")
def test_errors_that_prometheus_counts_take_the_release_back(prometheus: Release):
    release = prometheus
    with release.load() as load:
        release.go(watched_by_prometheus(LONG))
        release.reaches("Soaking")
        release.go_wrong("green", "/orders")
        is_taken_back(release)
    assert "errors" in release.run()["red"]
    assert load.not_there_once(release.shop) == {}


@pytest.mark.sampled("trouble in a release")
def test_prometheus_down_pauses_and_takes_nothing_back(prometheus: Release):
    release = prometheus
    release.go(watched_by_prometheus("30s"))
    release.reaches("Soaking")
    release.scale("prometheus", 0)
    wait_until("it is paused", lambda: release.shop.condition("shop-2", "Paused"), seconds=120)
    paused = release.shop.condition("shop-2", "Paused")
    assert (paused["status"], paused["reason"]) == ("True", "HealthCheckUnknown")
    assert release.shop.condition("shop-2", "Ready")["status"] == "True"
    assert "errors" in release.run()["paused"]
    assert release.is_at("green")
    assert release.is_expanded()
    release.scale("prometheus", 1)
    release.completes(240)
    assert release.is_at("green")
    assert release.selectors() == ["", "blue", "green"]
    assert release.complaints() == []
