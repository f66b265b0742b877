"""Checks of type Job on the real cluster: real Pods and exit codes, an image that is not there."""

from typing import Any

import pytest

from tests.cluster.kube import wait_until
from tests.cluster.release import Release, migration_of
from tests.cluster.test_blue_green_trouble import kill_the_operator

pytestmark = pytest.mark.cluster

Body = dict[str, Any]
IMAGE = "whimbrel-example-shop:2"
# The shop says it is well while it answers; in its soak it is asked for a page by a Job.
ASKS = "import urllib.request as u; u.urlopen('http://shop/', timeout=5)"


def smoke(*when: str, program: str = ASKS, image: str = IMAGE, **changes: Any) -> Body:
    job = {"image": image, "command": ["python", "-c", program]}
    known = {"name": "smoke", "type": "Job", "when": list(when), "job": job, "timeout": "60s"}
    return known | {"interval": "2s"} | changes


def released_with(*checks: Body, **spec: Any) -> Body:
    return migration_of(**({"healthChecks": list(checks)} | spec))


def check_jobs(release: Release) -> list[str]:
    return [name for name in release.jobs() if "-check-" in name]


def nothing_is_left(release: Release) -> None:
    wait_until("the Jobs of checks are deleted", lambda: not check_jobs(release))


def measurements(release: Release) -> list[Body]:
    return [one for each in release.status()["checks"] for one in each["last"]]


@pytest.mark.sampled("a Job that checks")
def test_a_job_that_ends_well_promotes(release: Release):
    release.go(released_with(smoke("PostMigrate", "Soak"), soak="15s"))
    release.completes()
    assert release.is_at("green")
    assert {each["verdict"] for each in measurements(release)} == {"Pass"}
    nothing_is_left(release)
    assert release.complaints() == []


@pytest.mark.sampled("a Job that checks")
def test_a_job_that_fails_in_the_soak_takes_everything_back(release: Release):
    release.go(released_with(smoke("Soak"), soak="120s"))
    release.reaches("Soaking")
    wait_until("a pass", lambda: "Pass" in [each["verdict"] for each in measurements(release)])
    release.go_wrong("green", "/")
    release.reaches("RolledBack")
    assert release.is_at("blue")
    assert not release.is_expanded()
    assert "exit code 1" in release.run()["red"]
    assert [each["verdict"] for each in measurements(release)][-3:] == ["Fail"] * 3
    nothing_is_left(release)
    assert release.complaints() == []


@pytest.mark.sampled("a Job that checks")
def test_what_a_check_writes_is_told(release: Release):
    says = "open('/dev/termination-log', 'w').write('3 orders are lost'); raise SystemExit(3)"
    release.go(released_with(smoke("PostMigrate", program=says), soak="0s"))
    release.reaches("RolledBack")
    assert "exit code 3: 3 orders are lost" in release.run()["red"]
    assert release.selectors() == ["", "blue"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image": "registry.invalid/nothing:1"}, "ImagePullBackOff"),
        ({"image": "UPPER//case"}, "InvalidImageName"),
        ({"program": "import time; time.sleep(600)", "timeout": "5s"}, "no end within 5s"),
        ({"job": {"image": IMAGE, "command": ["/no/such/program"]}}, "StartError"),
    ],
    ids=["no image", "no name of one", "hangs", "no program"],
)
@pytest.mark.sampled("a Job that checks")
def test_what_says_nothing_about_the_shop_pauses(release: Release, changes: Body, told: str):
    release.go(released_with(smoke("PostMigrate", unknownThreshold=2, **changes), soak="0s"))
    wait_until("paused", lambda: release.shop.condition("shop-2", "Paused").get("status") == "True")
    assert told in release.status()["message"]
    assert release.shop.condition("shop-2", "Ready")["status"] == "True"
    assert release.is_expanded()
    edited = released_with(smoke("PostMigrate"), soak="0s")
    release.shop.apply(edited)
    release.completes()
    nothing_is_left(release)


@pytest.mark.alone
@pytest.mark.sampled("the operator is away")
def test_an_operator_that_is_killed_counts_each_measurement_once(release: Release):
    release.go(released_with(smoke("Soak", interval="1s"), soak="40s"))
    release.reaches("Soaking")
    for _ in range(4):
        wait_until("a Job of the check", lambda: check_jobs(release))
        kill_the_operator()
    release.completes()
    # Finish is shown as Soaking too, and has no measurements of its own.
    soaked = [each for each in release.seen if each.status.get("run", {}).get("segment") == "Soak"]
    (record,) = soaked[-1:]
    (counted,) = record.status["run"]["release"]["measured"]
    assert counted["failures"] == counted["unknowns"] == 0
    moments = [each["at"] for each in measurements(release)]
    assert moments == sorted(set(moments))
    nothing_is_left(release)


@pytest.mark.sampled("a Job that checks")
def test_a_namespace_without_room_for_a_pod_pauses(release: Release):
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "jobs"},
        "spec": {"hard": {"count/jobs.batch": "0"}},
    }
    release.go(released_with(smoke("Soak", unknownThreshold=2), soak="30s"))
    release.reaches("Soaking")
    release.shop.apply(quota)
    wait_until("paused", lambda: release.shop.condition("shop-2", "Paused").get("status") == "True")
    assert "exceeded quota" in release.status()["message"]
    release.shop.kubectl("delete", "resourcequota", "jobs")
    release.completes()
