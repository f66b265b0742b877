"""A leader sleeps between its decision and its POST while another one ends the work."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.holding_proxy import Gate, holding_proxy
from tests.cluster.kube import ROOT, Namespace, kubectl, migration, wait_until
from tests.cluster.test_sql_stories import USERS, applied

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

HOME = "whimbrel-system"
OPERATOR = ("-n", HOME)
ACCOUNT = f"system:serviceaccount:{HOME}:whimbrel"
ASLEEP = 30.0  # seconds between the stop and the POST: twice the duration of the Lease
ROWS = "SELECT coalesce(json_agg(t ORDER BY t::text), '[]') FROM whimbrel.{} t"


@dataclass(frozen=True)
class Leader:
    """An operator outside the cluster, and the gate that its first POST of a Job runs into."""

    process: subprocess.Popen[bytes]
    gate: Gate
    log: Path


@pytest.fixture
def nobody_leads() -> Iterator[None]:
    """Take the cluster's operator away; give it back to every other story."""
    kubectl(*OPERATOR, "scale", "deploy/whimbrel", "--replicas=0")
    kubectl(
        *OPERATOR,
        "wait",
        "--for=delete",
        "pod",
        "-l",
        "app.kubernetes.io/name=whimbrel",
        "--timeout=60s",
    )
    yield
    kubectl(*OPERATOR, "scale", "deploy/whimbrel", "--replicas=1")
    kubectl(*OPERATOR, "rollout", "status", "deploy/whimbrel", "--timeout=120s")


@pytest.fixture
def leader(shop: Namespace, nobody_leads: None, tmp_path: Path) -> Iterator[Leader]:
    """The operator of this source tree as leader "one", with the Deployment's rights."""
    jobs = f"/apis/batch/v1/namespaces/{shop.name}/jobs"
    gate = Gate(lambda verb, path: verb == "POST" and path == jobs)
    log = tmp_path / "one.log"
    with holding_proxy(tmp_path, ACCOUNT, gate) as kubeconfig, log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "whimbrel.controller"],
            env=environment(kubeconfig),
            stdout=output,
            stderr=output,
        )
        yield Leader(process, gate, log)
        process.kill()
        process.wait()


def environment(kubeconfig: Path) -> dict[str, str]:
    """Return the Deployment's settings for a process outside."""
    deployment = json.loads(kubectl(*OPERATOR, "get", "deploy/whimbrel", "-o", "json"))
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each} | {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "operator"),
        "HOME": "/nonexistent",
        "KUBECONFIG": str(kubeconfig),
        "POD_NAME": "one",
        "POD_NAMESPACE": HOME,
        "WHIMBREL_PORT": "0",
    }


def effects(shop: Namespace) -> dict[str, Any]:
    """Return everything that a migration leaves: data, bookkeeping, status."""
    tables = ("run", "attempt", "step", "applied")
    rows = {table: json.loads(shop.sql(ROWS.format(table))) for table in tables}
    return rows | {"n": shop.sql("SELECT n FROM counted"), "status": shop.status("shop")}


def holder() -> str:
    """Return who leads."""
    path = "jsonpath={.spec.holderIdentity}"
    return kubectl(*OPERATOR, "get", "lease", "whimbrel", "-o", path)


def has_ended(shop: Namespace, uid: str) -> bool:
    """Tell whether a Job is finished."""
    job = next(each for each in shop.get("jobs")["items"] if each["metadata"]["uid"] == uid)
    conditions = job["status"].get("conditions", [])
    return any(each["type"] in ("Complete", "Failed") for each in conditions)


def answers(shop: Namespace) -> list[dict[str, Any]]:
    """Return what the runners said whose Pods are there."""
    states = [
        each["state"]["terminated"]["message"]
        for pod in shop.get("pods")["items"]
        for each in pod["status"]["containerStatuses"]
        if each["name"] == "runner"
    ]
    return [json.loads(each) for each in states]


def stop_before_its_post(shop: Namespace, leader: Leader) -> None:
    """Return when the leader is asleep and its POST of a Job is on the way."""
    wait_until("one leads", lambda: holder() == "one")
    shop.apply(migration(files=USERS))
    assert leader.gate.arrived.wait(60), "no Job was asked for"
    leader.process.send_signal(signal.SIGSTOP)
    assert shop.get("jobs")["items"] == []


def another_leader_ends_it(shop: Namespace, job: str) -> None:
    """Return when the migration is done, by whom the cluster started, and its Job deleted."""
    kubectl(*OPERATOR, "scale", "deploy/whimbrel", "--replicas=1")
    shop.wait("shop", "Completed")
    shop.wait("shop")
    assert holder() not in ("one", "")
    assert shop.sql("SELECT n FROM counted") == "1"
    assert applied(shop) == "001,002"
    shop.kubectl("delete", "job", job, "--timeout=60s")
    wait_until("its Pod is gone too", lambda: shop.get("pods")["items"] == [])


@pytest.mark.sampled("the operator is away")
def test_leader_stopped_between_decision_and_post_has_no_effect(shop: Namespace, leader: Leader):
    stop_before_its_post(shop, leader)
    wakes = time.monotonic() + ASLEEP
    name = leader.gate.held["metadata"]["name"]
    another_leader_ends_it(shop, name)
    before = effects(shop)
    assert len(before["run"]) == len(before["attempt"]) == 1
    while time.monotonic() < wakes:  # this length of time is the story itself
        assert effects(shop) == before
        assert shop.get("jobs")["items"] == []

    leader.gate.open()
    status, job = leader.gate.wait_for_answer()
    assert (status, job["metadata"]["name"]) == (201, name)
    wait_until("the late Job ends", lambda: has_ended(shop, job["metadata"]["uid"]))
    # Its attempt is in the ledger with its result: the runner tells that again, and does nothing.
    assert answers(shop) == [json.loads(before["attempt"][0]["result"])]
    assert effects(shop) == before
    leader.process.send_signal(signal.SIGCONT)
    assert leader.process.wait(30) != 0
    assert "the Lease is lost" in leader.log.read_text()
    assert effects(shop) == before
