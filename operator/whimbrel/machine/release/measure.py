"""One measurement that the controller makes: of a workload, or by a Job."""

from typing import Final

from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.bounds import format_duration
from whimbrel.model.observed import CheckJobSeen
from whimbrel.model.probed import longest
from whimbrel.model.release.checked import Measurement, Verdict, measured
from whimbrel.model.release.health import HealthCheck, WorkloadCheck
from whimbrel.model.release.traffic import WorkloadSeen

# A node may still come; everything else that keeps a container from starting is told at once.
_MAY_HEAL: Final = frozenset({"Unschedulable", "SchedulingGated"})
_PLAIN: Final = frozenset({"", "Error", "Completed"})  # words that say no more than the exit code


def measure_workload(
    check: WorkloadCheck, found: WorkloadSeen | None, restarts: int, now: float
) -> Measurement:
    """Return what a workload is like now.

    Args:
        check: What is asked.
        found: The workload, or None where there is none.
        restarts: Restarts of its containers when the moment began.
        now: Unix seconds.
    """
    at, name = rfc3339(now), check.ref.told()
    if found is None:
        return measured(at, Verdict.UNKNOWN, message=f"{name} does not exist")
    value, since = f"{found.ready}/{found.replicas}", found.restarts - restarts
    if found.failing:
        return measured(at, Verdict.FAILED, value, found.failing)
    if since > check.max_restarts:
        return measured(at, Verdict.FAILED, value, f"{since} restarts since the moment began")
    if check.ref.image and check.ref.image not in found.images:
        return measured(at, Verdict.FAILED, value, f"does not run {check.ref.image}")
    if not found.settled:
        return measured(at, Verdict.FAILED, value, f"{value} Pods of the newest version are ready")
    return measured(at, Verdict.PASSED, value)


def measure_job(check: HealthCheck, job: CheckJobSeen, now: float) -> Measurement | None:
    """Return what a Job says, or None while it may still say something.

    Only the exit code of a container that ended by itself speaks of the application.
    """
    unknown = _unknown(check, job, now)
    if unknown:
        return measured(rfc3339(now), Verdict.UNKNOWN, message=unknown)
    if job.end == "Complete" or job.exit_code == 0:
        return measured(rfc3339(now), Verdict.PASSED, "0")
    if job.exit_code is None:
        return None
    word = "" if job.exit_told in _PLAIN else f": {job.exit_told}"
    told = f"exit code {job.exit_code}{word}"
    return measured(rfc3339(now), Verdict.FAILED, str(job.exit_code), told)


def _unknown(check: HealthCheck, job: CheckJobSeen, now: float) -> str:
    """Return why a Job says nothing about the application and never will, or ""."""
    if job.end == "Complete" or (job.exit_code is not None and not (job.taken or job.leaving)):
        return ""
    too_long = f"no end within {format_duration(longest(check))}"
    if job.leaving or job.taken:
        return f"taken away: {job.taken or 'somebody deleted its Job'}"
    if job.end:
        late = job.reason == "DeadlineExceeded"
        return too_long if late else f"ended without an exit code: {job.reason}"
    if job.trouble and job.trouble.partition(":")[0] not in _MAY_HEAL:
        return job.trouble
    return job.trouble or too_long if now >= job.created + longest(check) else ""
