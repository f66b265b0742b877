"""Rolling releases of the shop under load, with the object of examples/rolling.yaml."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import PASSWORD
from tests.cluster.kube import ROOT, Namespace, kubectl, wait_until
from tests.cluster.release import FAULTS, REPLICAS, Release, deployment, example
from tests.cluster.watching import watched

pytestmark = [pytest.mark.cluster, pytest.mark.sampled("a rolling release")]

NAME = "shop-rolling"
IMAGES = ("whimbrel-example-shop:1", "whimbrel-example-shop:2")
UNDO = re.compile(r"kubectl rollout undo [^;]+")


class Rolled(Release):
    """The shop as one Deployment and a Service that selects it; its answers name their version."""

    def prepare(self) -> None:
        """Bring version 1 to where its users are."""
        self.shop.sql(FAULTS.format(owner=self.shop.database))
        self.shop.apply(example("release-1")[0])
        self.shop.wait("shop-1")
        for body in (service(), one_deployment()):
            self.shop.apply(body)
        self.rolled_out()
        wait_until("version 1 is reached", lambda: len(self.endpoints()) == REPLICAS)

    def rolled_out(self, track: str = "") -> None:
        """`kubectl rollout status`."""
        self.shop.kubectl("rollout", "status", "deploy/shop", "--timeout=120s")

    def image(self) -> str:
        """Return the image of the Deployment."""
        (container,) = self.shop.get("deploy", "shop")["spec"]["template"]["spec"]["containers"]
        return container["image"]

    def ready(self) -> dict[str, Any]:
        """Return the condition Ready."""
        return self.shop.condition(self.name, "Ready")

    def waits_for_the_rollout(self) -> None:
        """Apply the object and wait until it says that the new version may come."""
        self.shop.apply(rolling())
        self.shop.wait(self.name)
        wait_until("the rollout is waited for", lambda: IMAGES[1] in self.status()["message"])

    def rolls(self) -> None:
        """`kubectl set image`, to version 2."""
        self.shop.kubectl("set", "image", "deploy/shop", f"shop={IMAGES[1]}")


def service() -> dict[str, Any]:
    """Return the Service of the example with the selector that a rolling release never touches."""
    (body, _) = example("service")
    del body["metadata"]["annotations"]
    body["spec"]["selector"] = {"app": "shop"}
    return body


def one_deployment() -> dict[str, Any]:
    """Return version 1 of the shop as the only Deployment."""
    body = deployment("blue", replicas=REPLICAS, selector={"matchLabels": {"app": "shop"}})
    body["metadata"]["name"] = "shop"
    body["spec"]["template"]["metadata"]["labels"] = {"app": "shop"}
    (container,) = body["spec"]["template"]["spec"]["containers"]
    container["env"] = [each for each in container["env"] if each["name"] != "TRACK"]
    return body


def rolling() -> dict[str, Any]:
    """Return the object of the example, with shorter waits."""
    body = yaml.safe_load((ROOT / "examples/rolling.yaml").read_text())
    body["spec"]["soak"] = "15s"
    for check in body["spec"]["healthChecks"]:
        check |= {"interval": "2s", "timeout": "2s"}
    return body


@pytest.fixture
def rolled(shop: Namespace, versions: tuple[str, ...], tmp_path: Path) -> Iterator[Rolled]:
    """The shop in version 1; the release to version 2 is to come."""
    shop.secret("shop-db", password=PASSWORD)
    release = Rolled(shop, NAME, tmp_path)
    with watched(shop, "dbm", NAME) as release.seen:
        release.prepare()
        yield release


def test_the_schema_comes_first_and_the_rollout_ends_the_run(rolled: Rolled):
    with rolled.load() as load:
        rolled.waits_for_the_rollout()
        status = rolled.status()
        assert (status["phase"], status["run"]["segment"]) == ("Verifying", "Rollout")
        assert f"Deployment/shop to run {IMAGES[1]} (it runs {IMAGES[0]})" in status["message"]
        assert rolled.ready()["status"] == "True"
        assert rolled.is_expanded()
        assert rolled.image() == IMAGES[0], "who deploys does it, not the operator"
        rolled.rolls()
        rolled.completes()
    assert load.failed() == [], load.told()
    assert load.not_there_once(rolled.shop) == {}
    assert set(load.sides()) == {"1", "2"}
    steps = rolled.steps()
    assert steps.index("PostMigrate") < steps.index("Rollout") < steps.index("Soak")
    checks = {each["name"]: each for each in rolled.status()["checks"]}
    assert {each["state"] for each in checks.values()} == {"Green"}
    assert set(checks) == {"api", "pods"}
    assert rolled.status()["revision"] == "002"
    # A wave that went on at Ready=True finds nothing to complain about later.
    told = [is_ready(each.body) for each in rolled.seen]
    assert all(told[told.index(True) :])
    assert rolled.complaints() == []


def is_ready(body: dict[str, Any]) -> bool:
    """Tell whether an object is Ready=True."""
    conditions = body.get("status", {}).get("conditions", [])
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)


def undone(rolled: Rolled) -> None:
    """Run the command that a blocked way back prints, exactly as printed."""
    wait_until("a person is asked", lambda: rolled.reason() == "RollbackBlocked")
    message = rolled.ready()["message"]
    assert rolled.run()["red"] in message
    assert rolled.image() == IMAGES[1], "the template belongs to whoever deploys"
    assert rolled.is_expanded(), "version 2 still needs it"
    (command,) = UNDO.findall(message)
    kubectl(*shlex.split(command)[1:])


def is_taken_back(rolled: Rolled) -> None:
    """Assert that version 1 runs on its own schema again, and that this was said well."""
    rolled.reaches("RolledBack")
    assert rolled.image() == IMAGES[0]
    assert not rolled.is_expanded()
    assert rolled.status()["revision"] == "001"
    assert rolled.reason() == "RolledBack"
    assert rolled.run()["red"] in rolled.ready()["message"]
    assert rolled.complaints() == []


def test_red_in_the_soak_waits_for_the_printed_undo_and_takes_the_schema_back(rolled: Rolled):
    rolled.waits_for_the_rollout()
    rolled.rolls()
    rolled.reaches("Soaking")
    with rolled.load() as load:
        rolled.go_wrong("2", "/", "/orders", "/healthz")
        undone(rolled)
        is_taken_back(rolled)
        well_since = load.requests()[-1].at
        load.wait_for(len(load.requests()) + 250)
    assert "api" in rolled.run()["red"]
    assert load.failed(), "version 2 was well, or had no traffic"
    assert load.failed(since=well_since) == [], load.told()
    assert load.not_there_once(rolled.shop) == {}
    # What version 2 wrote is in the old column; the new one was kept aside before it went.
    assert rolled.shop.sql("SELECT count(*) FROM customers WHERE name IS NULL") == "0"
    assert rolled.status()["salvage"]


@pytest.mark.soak
def test_a_rollout_that_kubernetes_gives_up_goes_back_without_a_lost_request(rolled: Rolled):
    rolled.go_wrong("2", "/readyz", status=503)
    patience = {"spec": {"progressDeadlineSeconds": 15}}
    rolled.shop.kubectl("patch", "deploy/shop", "-p", json.dumps(patience))
    rolled.waits_for_the_rollout()
    with rolled.load() as load:
        rolled.rolls()
        undone(rolled)
        is_taken_back(rolled)
    assert "ProgressDeadlineExceeded" in rolled.run()["red"]
    assert set(load.sides()) == {"1"}
    assert load.failed() == [], load.told()
    assert load.not_there_once(rolled.shop) == {}
