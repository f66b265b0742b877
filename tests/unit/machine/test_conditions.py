"""Every row of the phase table, judged by kstatus, Flux's checker and Argo CD's own script."""

import pytest

from tests.gitops import argo_health, flux_complaints, kstatus
from whimbrel.machine.decisions import Done, Hold, Wait
from whimbrel.machine.report import report
from whimbrel.model.observed import Observed
from whimbrel.model.spec import parse_spec
from whimbrel.model.status import Phase, Status

NOW = 1_800_000_000.0
SPEC = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 1"}}},
}


def seen(status: Status | None = None) -> Observed:
    return Observed("shop", "shop", "uid", 3, parse_spec(SPEC), status or Status(), NOW)


def body(status: Status) -> dict:
    return {
        "metadata": {"generation": 3},
        "spec": {"suspend": status.phase is Phase.SUSPENDED},
        "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def wait(phase: Phase, reason: str = "Progressing", **more: object) -> Wait:
    return Wait(phase, reason, "what happens", human="somebody", **more)


ROWS = pytest.mark.parametrize(
    ("decision", "flags", "verdicts"),
    [
        pytest.param(
            wait(Phase.PENDING), "Unknown Reconciling", "InProgress Progressing", id="Pending"
        ),
        pytest.param(
            wait(Phase.PREFLIGHT), "Unknown Reconciling", "InProgress Progressing", id="Preflight"
        ),
        pytest.param(
            wait(Phase.MIGRATING), "False Reconciling", "InProgress Progressing", id="Migrating"
        ),
        pytest.param(
            wait(Phase.WAITING, "Waiting"),
            "False Reconciling",
            "InProgress Progressing",
            id="Waiting",
        ),
        pytest.param(
            wait(Phase.AWAITING_APPROVAL, "AwaitingApproval"),
            "False Reconciling Paused",
            "InProgress Suspended",
            id="AwaitingApproval",
        ),
        pytest.param(
            wait(Phase.SUSPENDED, "Suspended"),
            "False Reconciling Paused",
            "InProgress Suspended",
            id="Suspended before the schema is there",
        ),
        pytest.param(
            wait(Phase.SUSPENDED, "Suspended", ready=True, completed=True),
            "True Completed",
            "Current Healthy",
            id="Suspended afterwards",
        ),
        pytest.param(
            wait(Phase.SUSPENDED, "Suspended", ready=True),
            "True",
            "Current Healthy",
            id="Suspended in the release, with the schema there",
        ),
        pytest.param(
            wait(Phase.VERIFYING, "Verifying", ready=True),
            "True",
            "Current Healthy",
            id="Verifying: the wave that deploys green goes on",
        ),
        pytest.param(
            wait(Phase.SWITCHING, "Switching", ready=True),
            "True",
            "Current Healthy",
            id="Switching",
        ),
        pytest.param(
            wait(Phase.SOAKING, "Soaking", ready=True), "True", "Current Healthy", id="Soaking"
        ),
        pytest.param(
            wait(Phase.VERIFYING, "HealthCheckUnknown", ready=True, paused="HealthCheckUnknown"),
            "True Paused",
            "Current Healthy",
            id="paused by checks without an answer: no wave waits for them",
        ),
        pytest.param(
            wait(Phase.ROLLING_BACK),
            "False Reconciling",
            "InProgress Progressing",
            id="RollingBack",
        ),
        pytest.param(
            wait(Phase.ROLLING_BACK, "RollbackBlocked"),
            "False Reconciling",
            "InProgress Progressing",
            id="RollingBack, and somebody has to scale the old side",
        ),
        pytest.param(
            wait(Phase.FAILED, "DeadlineExceeded", stalled=True),
            "False Stalled",
            "Failed Degraded",
            id="gave up at the deadline",
        ),
        pytest.param(
            Done("Completed", "done"), "True Completed", "Current Healthy", id="Completed"
        ),
        pytest.param(
            Done("DatabaseAhead", "newer"), "True Completed", "Current Healthy", id="DatabaseAhead"
        ),
        pytest.param(
            Hold("Broken", "no", phase=Phase.FAILED),
            "False Stalled",
            "Failed Degraded",
            id="Failed",
        ),
        pytest.param(
            Hold("RolledBack", "no", phase=Phase.ROLLED_BACK),
            "False Stalled",
            "Failed Degraded",
            id="RolledBack",
        ),
        pytest.param(
            Hold("Broken", "no", phase=Phase.ROLLBACK_FAILED),
            "False Stalled",
            "Failed Degraded",
            id="RollbackFailed",
        ),
        pytest.param(
            Hold("HealthCheckFailed", "red, and onFailure is Manual", "whimbrel rollback shop"),
            "False Stalled",
            "Failed Degraded",
            id="Held by a red check",
        ),
        pytest.param(
            Hold("TrafficDrift", "somebody else switches", "whimbrel retry shop"),
            "False Stalled",
            "Failed Degraded",
            id="Held by somebody who switches too",
        ),
        pytest.param(
            Hold("FenceUnproven", "no", "do this"), "False Stalled", "Failed Degraded", id="Held"
        ),
    ],
)


@ROWS
@pytest.mark.parametrize("order", [1, -1], ids=["in order", "in reverse"])
def test_phase_means_the_same_to_everybody(decision, flags, verdicts, order):
    status = report(seen(), decision)
    ready, *others = flags.split()
    shown = {each.type: each.status for each in status.conditions}
    assert shown == {"Ready": ready} | dict.fromkeys(others, "True")
    turned = status.model_copy(update={"conditions": status.conditions[::order]})
    assert f"{kstatus(body(turned))} {argo_health(body(turned))}" == verdicts
    assert flux_complaints(body(turned), final=not isinstance(decision, Wait)) == []


@ROWS
def test_a_new_generation_is_in_progress_until_it_was_seen(decision, flags, verdicts):
    status = report(seen(), decision)
    newer = body(status)
    newer["metadata"]["generation"] = 4
    assert (kstatus(newer), argo_health(newer)) == ("InProgress", "Progressing")


@pytest.mark.parametrize(
    "status",
    [
        pytest.param({}, id="empty"),
        pytest.param({"observedGeneration": -1}, id="default of the definition"),
    ],
)
def test_unseen_object_is_not_healthy_for_argo(status):
    assert argo_health({"metadata": {"generation": 1}, "status": status}) == "Progressing"


def test_deleted_object_is_terminating():
    gone = body(report(seen(), Done("Completed", "done")))
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (kstatus(gone), argo_health(gone)) == ("Terminating", "Progressing")


def test_transition_time_changes_only_with_the_status():
    first = report(seen(), wait(Phase.MIGRATING))
    later = Observed("shop", "shop", "uid", 3, parse_spec(SPEC), first, NOW + 60)
    again = report(later, wait(Phase.MIGRATING, "ProgressingWithRetry"))
    done = report(later, Done("Completed", "done"))
    assert again.conditions[0].last_transition_time == first.conditions[0].last_transition_time
    assert done.conditions[0].last_transition_time != first.conditions[0].last_transition_time


def test_command_for_a_human_stands_in_the_message():
    status = report(seen(), Hold("FenceUnproven", "not proven", "whimbrel resolve shop"))
    assert status.message == "not proven. whimbrel resolve shop"
