"""Blue-green releases of a small shop under load: good ones, and versions that are not."""

import json
import time

import pytest

from tests.cluster.kube import wait_until
from tests.cluster.release import (
    BLUE,
    DECIDES,
    GREEN,
    PROPAGATION,
    Release,
    deployment,
    example,
    migration_of,
    without_check,
)
from tests.cluster.watching import watched
from tests.gitops import argo_health, kstatus

pytestmark = pytest.mark.cluster

WELL_FOR = 20  # seconds of the soak before a version turns out unhealthy
BOUND = DECIDES + PROPAGATION + 5.0  # from the first red answer to the verified old side
EVERYTHING = ("/", "/orders", "/healthz")


def is_taken_back(release: Release) -> None:
    """Assert the end of every release that went back: as if it had never been."""
    release.reaches("RolledBack")
    assert release.is_at("blue")
    assert release.status()["active"] == "blue"
    assert release.replicas("green") == 0
    assert not release.is_expanded()
    assert release.reason() == "RolledBack"
    assert release.run()["red"] in release.shop.condition("shop-2", "Ready")["message"]
    assert release.complaints() == []


@pytest.mark.alone
def test_a_good_release_fails_no_request(release: Release):
    with release.load(rate=200) as load:
        release.go()
        release.completes()
        load.wait_for(10_000)
    assert load.failed() == [], load.told()
    assert load.not_there_once(release.shop) == {}
    assert set(load.sides()) == {"blue", "green"}
    assert release.selector() == GREEN
    assert release.selectors() == ["", "blue", "green"]
    assert release.writes() == ["green"]
    assert release.status()["active"] == "green"
    assert release.replicas("blue") > 0
    assert release.is_expanded()
    assert release.complaints() == []


@pytest.mark.sampled("a release of blue and green")
def test_a_version_that_is_wrong_in_the_preview_never_gets_the_traffic(release: Release):
    with release.load() as load:
        release.go(wrong="/healthz=500")
        is_taken_back(release)
    assert load.failed() == [], load.told()
    assert set(load.sides()) == {"blue"}
    assert release.selectors() == ["", "blue"]
    assert "SwitchBack" not in release.steps()


@pytest.mark.sampled("a release of blue and green")
def test_a_version_that_answers_500_is_taken_back_with_its_schema(release: Release):
    with release.load() as load:
        wrong = ",".join(f"{path}=500" for path in EVERYTHING)
        release.go(without_check(migration_of(), "preview"), wrong=wrong)
        release.reaches("RollingBack")
        decided = release.first("RollingBack")
        is_taken_back(release)
        load.wait_for(len(load.requests()) + 500)
    assert load.failed(), "the version was well, or had no traffic"
    assert load.failed(since=decided + PROPAGATION) == [], load.told()
    assert load.not_there_once(release.shop) == {}
    assert release.selectors() == ["", "blue", "green", "blue"]
    steps = release.steps()
    assert steps.index("Switch") < steps.index("SwitchBack") < steps.index("Drain")
    assert "live" in release.run()["red"]
    (check,) = [each for each in release.status()["checks"] if each["name"] == "live"]
    assert [each["verdict"] for each in check["last"]][-3:] == ["Fail"] * 3


def test_a_version_that_turns_bad_in_its_soak_is_taken_back_in_time(release: Release):
    release.go(migration_of(soak="60s"))
    release.reaches("Soaking")
    well_until = release.first("Soaking") + WELL_FOR
    wait_until("it was well for a while", lambda: time.time() >= well_until)
    with release.load() as load:
        wrong_since = release.go_wrong("green", *EVERYTHING)
        wait_until("blue has the traffic again", lambda: release.is_at("blue"))
        back_after = time.time() - wrong_since
        is_taken_back(release)
    assert back_after < BOUND + 1, "one second for the next measurement to begin"
    assert load.failed(since=wrong_since + BOUND) == [], load.told()
    assert load.not_there_once(release.shop) == {}
    # What version 2 wrote is in the old column; the new one was kept aside before it went.
    assert release.shop.sql("SELECT count(*) FROM customers WHERE name IS NULL") == "0"
    assert release.status()["salvage"]


@pytest.mark.sampled("a release of blue and green")
def test_a_version_that_never_gets_ready_is_never_switched_to(release: Release):
    with release.load() as load:
        release.go(wrong="/readyz=503", progressDeadlineSeconds=15)
        wait_until("green is waited for", lambda: "shop-green" in release.status()["message"])
        assert release.shop.condition("shop-2", "Ready")["status"] == "True"
        release.reaches("RolledBack")
    assert load.failed() == [], load.told()
    assert release.selectors() == ["", "blue"]
    assert release.is_at("blue")
    assert not release.is_expanded()
    assert release.complaints() == []


@pytest.mark.sampled("a release of blue and green")
def test_a_check_that_is_red_before_refuses_and_nothing_runs(release: Release):
    release.go_wrong("blue", "/healthz")
    release.go()
    wait_until("the refusal is said", lambda: release.reason() == "BaselineFailed")
    assert "old" in release.shop.condition("shop-2", "Ready")["message"]
    assert not release.is_expanded()
    assert release.selector() == BLUE
    assert release.shop.sql("SELECT max(version) FROM whimbrel.applied") == "001"
    assert release.complaints() == []


@pytest.mark.sampled("a release of blue and green")
def test_a_selector_in_git_is_refused_and_its_manager_is_named(release: Release):
    (service, _) = example("service")
    service["spec"]["selector"] = BLUE
    argo = ("apply", "--server-side", "--field-manager=argocd-controller", "-f", "-")
    release.shop.kubectl("delete", "service", "shop")
    release.shop.kubectl(*argo, given=json.dumps(service))
    wait_until("blue has its traffic", lambda: release.is_at("blue"))
    with release.load() as load:
        release.go()
        wait_until("the refusal is said", lambda: release.reason() == "SelectorOwned")
        message = release.shop.condition("shop-2", "Ready")["message"]
        assert "argocd-controller" in message
        assert "remove `selector`" in message
        assert release.jobs() == []
        assert not release.is_expanded()

        # The engine takes the selector along, and nobody sets one by hand: the release does.
        del service["spec"]["selector"]
        release.shop.kubectl(*argo, given=json.dumps(service))
        release.completes()
    assert load.failed() == [], load.told()
    assert release.selectors() == ["", "blue", "", "blue", "green"]
    assert release.is_at("green")
    assert release.complaints() == []


@pytest.mark.sampled("a release of blue and green")
def test_a_service_that_names_no_object_is_refused(release: Release):
    release.shop.kubectl("annotate", "service", "shop", "whimbrel.dev/managed-by-")
    release.go()
    wait_until("the refusal is said", lambda: release.reason() == "ServiceNotManaged")
    message = release.shop.condition("shop-2", "Ready")["message"]
    assert "whimbrel.dev/managed-by=shop-2" in message
    assert not release.is_expanded()
    release.shop.kubectl("annotate", "service", "shop", "whimbrel.dev/managed-by=shop-2")
    release.completes()


@pytest.mark.parametrize("engine", ["Argo CD", "Flux"])
@pytest.mark.sampled("a release of blue and green")
def test_a_wave_that_waits_for_ready_before_it_creates_green_never_deadlocks(
    release: Release, engine: str
):
    healthy = {
        "Argo CD": lambda body: argo_health(body) == "Healthy",
        "Flux": lambda body: kstatus(body) == "Current",
    }[engine]
    release.shop.apply(migration_of())
    wait_until("the first wave is done", lambda: healthy(release.shop.get("dbm", "shop-2")))
    assert release.is_expanded()
    assert release.selector() == BLUE
    release.deploy("green")
    release.completes()
    # Once it was well it stayed so: a wave that has gone on finds nothing to complain about.
    first = next(number for number, each in enumerate(release.seen) if healthy(each.body))
    assert all(healthy(each.body) for each in release.seen[first:])


@pytest.mark.sampled("a release of blue and green")
def test_blue_and_green_change_roles_with_the_next_release(release: Release):
    release.go()
    release.completes()
    with watched(release.shop, "dbm", "shop-3") as seen, release.load() as load:
        for body in (*example("next/service"), migration_of("next/release-3")):
            release.shop.apply(body)
        release.deploy("next/blue")
        release.shop.wait("shop-3", "Completed", seconds=180)
    assert load.failed() == [], load.told()
    assert load.not_there_once(release.shop) == {}
    assert release.is_at("blue")
    assert release.selectors() == ["", "blue", "green", "blue"]
    # In its own words it is green that has the traffic: the side that was reached.
    assert release.shop.status("shop-3")["active"] == "green"
    assert seen[-1].status["phase"] == "Completed"
    # The older object is over: it does not take its end side back.
    assert release.shop.status("shop-2")["phase"] == "Completed"
    assert release.shop.sql("SELECT count(*) > 0 FROM orders WHERE channel = 'web'") == "t"


@pytest.mark.sampled("a release of blue and green")
def test_the_first_selector_is_set_and_an_image_of_before_is_not_taken_for_green(release: Release):
    release.shop.kubectl("delete", "service", "shop")
    release.shop.apply(example("service")[0])
    assert release.selector() == {}, "nobody sets it by hand"
    old = deployment("green")
    (container,) = old["spec"]["template"]["spec"]["containers"]
    container["image"] = "whimbrel-example-shop:1"
    release.shop.apply(old)
    release.scale("shop-green", 2)
    release.rolled_out("green")
    release.shop.apply(without_check(migration_of(), "old"))
    wait_until("the image is named", lambda: "example-shop:2" in release.status()["message"])
    assert release.is_expanded()
    wait_until("blue has its traffic", lambda: release.is_at("blue"))
    release.deploy("green")
    release.completes()
    assert release.is_at("green")
    assert release.selectors() == ["", "blue", "", "blue", "green"]
