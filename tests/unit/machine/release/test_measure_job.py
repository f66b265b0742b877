"""What the Job of a check says, from the objects as the API server shows them."""

from typing import Any

import pytest

from whimbrel.controller.release.raw import check_job_seen
from whimbrel.machine.names import CHECK
from whimbrel.machine.release.judge import patience
from whimbrel.machine.release.measure import measure_job
from whimbrel.model.probed import longest
from whimbrel.model.release.health import HealthCheck

Body = dict[str, Any]
BEGAN = 1_800_000_000.0
JOB = {"type": "Job", "job": {"image": "shop:1", "command": ["smoke"]}}


def check(**more: Any) -> HealthCheck:
    known = {"name": "smoke", "when": ["Soak"], "timeout": "60s"} | JOB
    return HealthCheck.model_validate(known | more)


def job(kind: str = "", reason: str = "", **meta: Any) -> Body:
    about = {
        "name": "shop-check-1",
        "uid": "job-1",
        "annotations": {CHECK: "smoke"},
        "creationTimestamp": "2027-01-15T08:00:00Z",
        "ownerReferences": [{"uid": "uid", "controller": True}],
    }
    conditions = [{"type": kind, "status": "True", "reason": reason}] if kind else []
    return {"metadata": about | meta, "status": {"conditions": conditions}}


def pod(state: Body | None = None, conditions: tuple[Body, ...] = (), **more: Any) -> Body:
    meta = {"name": "x", "ownerReferences": [{"uid": "job-1", "controller": True}]}
    meta |= more.pop("meta", {})
    states = [{"name": "check", "image": "shop:1", "state": state}] if state else []
    status = {"containerStatuses": states, "conditions": list(conditions)} | more
    return {"metadata": meta, "status": status}


def exited(code: int, reason: str = "Error", message: str = "") -> Body:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def waiting(reason: str, message: str = "said") -> Body:
    return {"waiting": {"reason": reason, "message": message}}


RUNS: Body = {"running": {"startedAt": "2027-01-15T08:00:01Z"}}
NO_NODE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}
DRAINED = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
GOES = {"deletionTimestamp": "2027-01-15T08:00:30Z"}


@pytest.mark.parametrize(
    ("raw", "pods", "after", "verdict", "told"),
    [
        pytest.param(job(), [], 1, "", "", id="no Pod yet"),
        pytest.param(job(), [pod(RUNS)], 59, "", "", id="it works"),
        pytest.param(job(), [pod(waiting("ContainerCreating"))], 59, "", "", id="it starts"),
        pytest.param(job(), [pod(exited(0, "Completed"))], 5, "Pass", "", id="exit code 0"),
        pytest.param(job("Complete"), [], 5, "Pass", "", id="complete, and its Pod is gone"),
        pytest.param(job("Complete"), [], 500, "Pass", "", id="seen late, after a restart of ours"),
        pytest.param(job("SuccessCriteriaMet"), [], 5, "", "", id="a condition that is no end"),
        pytest.param(job(), [pod(exited(3))], 5, "Fail", "exit code 3", id="another exit code"),
        pytest.param(
            job("Failed", "BackoffLimitExceeded"), [pod(exited(3))], 5, "Fail", "exit code 3",
            id="failed",
        ),
        pytest.param(
            job(), [pod(exited(137, "OOMKilled"))], 5, "Fail", "exit code 137: OOMKilled", id="oom"
        ),
        pytest.param(
            job(), [pod(exited(1, message="3 orders\nare \x1b[1mlost"))], 5,
            "Fail", "exit code 1: 3 orders are ?[1mlost", id="what it wrote, in one line",
        ),
        pytest.param(
            job("Failed", "BackoffLimitExceeded"), [], 5,
            "Unknown", "ended without an exit code: BackoffLimitExceeded", id="its node is lost",
        ),
        pytest.param(
            job("Failed", "DeadlineExceeded"), [], 70, "Unknown", "no end within 1m",
            id="ended by the Job controller",
        ),
        pytest.param(
            job(), [pod(exited(143), meta=GOES)], 64, "Unknown", "its Pod was deleted",
            id="killed, and the Job does not say so yet",
        ),
        pytest.param(job(), [pod(RUNS)], 60, "Unknown", "no end within 1m", id="it hangs"),
        pytest.param(job(), [], 60, "Unknown", "no end within 1m", id="never a Pod"),
        pytest.param(
            job(), [pod(waiting("ErrImagePull"))], 2, "Unknown", "ImagePullBackOff", id="no image"
        ),
        pytest.param(
            job(), [pod(waiting("InvalidImageName"))], 2, "Unknown", "InvalidImageName", id="name"
        ),
        pytest.param(
            job(), [pod(waiting("CreateContainerConfigError"))], 2,
            "Unknown", "CreateContainerConfigError: said", id="cannot be created",
        ),
        pytest.param(
            job(), [pod(exited(128, "StartError", "no such file"))], 2,
            "Unknown", "StartError: no such file", id="no such program is no fault of the shop",
        ),
        pytest.param(job(), [pod(conditions=(NO_NODE,))], 59, "", "", id="a node may come"),
        pytest.param(
            job(), [pod(conditions=(NO_NODE,))], 60, "Unknown", "Unschedulable: full", id="no node"
        ),
        pytest.param(
            job(), [pod(exited(143), (DRAINED,))], 5,
            "Unknown", "taken away: EvictionByEvictionAPI", id="its node is drained",
        ),
        pytest.param(
            job(), [pod(reason="Evicted", message="disk")], 5,
            "Unknown", "Evicted: disk", id="evicted",
        ),
        pytest.param(
            job(**GOES), [pod(RUNS)], 5, "Unknown", "somebody deleted its Job", id="deleted"
        ),
    ],
)  # fmt: skip
def test_what_a_job_says(raw: Body, pods: list[Body], after: float, verdict: str, told: str):
    seen = check_job_seen(raw, pods)
    assert seen is not None
    assert (seen.owner, seen.created) == ("uid", BEGAN)
    found = measure_job(check(), seen, BEGAN + after)
    assert (found.verdict.value if found else "") == verdict
    assert told in (found.message if found else "")


def test_any_other_job_is_none_of_a_check():
    assert check_job_seen(job(annotations={"whimbrel.dev/run": "1"}), []) is None


def test_a_pod_of_another_job_says_nothing():
    other = pod(exited(1), meta={"ownerReferences": [{"uid": "job-2", "controller": True}]})
    seen = check_job_seen(job(), [other])
    assert seen is not None
    assert measure_job(check(), seen, BEGAN) is None


@pytest.mark.parametrize(
    ("more", "seconds"),
    [
        ({"timeout": None}, 120.0),
        ({"timeout": "10m"}, 600.0),
        ({"type": "TCP", "tcp": {"service": "s", "port": 1}, "job": None, "timeout": None}, 5.0),
        (
            {"type": "TCP", "tcp": {"service": "s", "port": 1}, "job": None, "timeout": None}
            | {"interval": "2s"},
            2.0,
        ),
    ],
)
def test_how_long_a_measurement_may_take(more: Body, seconds: float):
    assert longest(check(**more)) == seconds


def test_patience_lasts_as_long_as_its_jobs_may():
    assert patience(check(timeout="10m")) == 3 * 9 * 600.0
    assert patience(check(timeout="1s")) == 3 * 9 * 10.0
