"""One measurement of a workload."""

from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.release.checked import Measurement, Verdict, measured
from whimbrel.model.release.health import WorkloadCheck
from whimbrel.model.release.traffic import WorkloadSeen


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
