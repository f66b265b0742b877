"""Checks of type Job: one Job for each measurement.

A verdict is counted in the same write of `status.run` that makes the next number due, and the Job
is deleted after it. However often the operator is killed, no measurement counts twice, and one
without a verdict goes on, or is made again, under its name.
"""

from collections.abc import Collection, Iterator

from whimbrel.machine import names
from whimbrel.machine.decisions import CreateCheckJob, Decision, DeleteJob, NextAttempt
from whimbrel.machine.release.judge import Tally, counted
from whimbrel.machine.release.measure import measure_job
from whimbrel.machine.release.window import changed
from whimbrel.machine.segments import PROBES
from whimbrel.machine.timestamps import precise, rfc3339, unix
from whimbrel.model.observed import CheckJobSeen, Observed
from whimbrel.model.release.checked import Measurement, Verdict, measured
from whimbrel.model.release.health import MOST_CHECKS, CheckType, HealthCheck, checks_at
from whimbrel.model.spec import Spec
from whimbrel.model.status import CountedStatus, RunState, RunStatus


def job_checks_go_on(
    seen: Observed, spec: Spec, run: RunStatus, green: Collection[str]
) -> Decision | None:
    """Count a verdict that is there, else begin the next measurement that is due.

    Args:
        seen: What is there.
        spec: Names the checks.
        run: Knows what was counted.
        green: Checks that need no further measurement for now.
    """
    checks = _job_checks(spec, run)
    for check in checks:
        job = running(seen, run, check)
        news = measure_job(check, job, seen.now) if job is not None else None
        if job is not None and news is not None:
            return NextAttempt(_judged(run, check, news, job.created), f"{check.name} has ended")
    open_ = (check for check in checks if check.name not in green)
    due = next((check for check in open_ if _is_due(seen, run, check)), None)
    return CreateCheckJob(_name(seen, run, due), due) if due is not None else None


def check_job_is_left(seen: Observed) -> Decision | None:
    """Delete the Job of a measurement that was counted, or that nobody waits for any more."""
    run, spec = seen.status.run, seen.spec
    if spec is None:
        return None
    wanted = set() if run is None or spec.suspend else set(_wanted(seen, spec, run))
    mine = (job for job in seen.check_jobs if job.owner == seen.uid and not job.leaving)
    job = next((job for job in mine if job.name not in wanted), None)
    return DeleteJob(job.name, job.uid, "measured") if job else None


def _wanted(seen: Observed, spec: Spec, run: RunStatus) -> Iterator[str]:
    ended = run.state is RunState.CLOSED or bool(run.release.red) or seen.leaving_since is not None
    if not ended and run.segment in PROBES:
        yield from (_name(seen, run, check) for check in _job_checks(spec, run))


def running(seen: Observed, run: RunStatus, check: HealthCheck) -> CheckJobSeen | None:
    """Return the Job of the measurement that comes next in status, or None."""
    name = _name(seen, run, check)
    mine = (job for job in seen.check_jobs if job.owner == seen.uid)
    return next((job for job in mine if job.name == name), None)


def tally_of_jobs(run: RunStatus, check: HealthCheck) -> Tally:
    """Return what the Jobs of a check have said in this segment."""
    found = _counted(run, check)
    return Tally(found.passes, found.failures, found.unknowns, found.last)


def unanswered(seen: Observed, check: HealthCheck, why: str) -> NextAttempt:
    """Return the decision to count a measurement whose Job could not be created."""
    assert seen.status.run is not None  # noqa: S101  # only a run has checks
    news = measured(rfc3339(seen.now), Verdict.UNKNOWN, message=why)
    return NextAttempt(_judged(seen.status.run, check, news, seen.now), "refused")


def _job_checks(spec: Spec, run: RunStatus) -> tuple[HealthCheck, ...]:
    checks = checks_at(spec.health_checks, PROBES[run.segment])
    return tuple(check for check in checks if check.type is CheckType.JOB)


def _name(seen: Observed, run: RunStatus, check: HealthCheck) -> str:
    number, since = _counted(run, check).made, run.release.since
    parts = (seen.uid, run.id, run.segment, since, check.name, number)
    return names.check_job_name(seen.name, *parts)


def _is_due(seen: Observed, run: RunStatus, check: HealthCheck) -> bool:
    before = _counted(run, check).began
    first = unix(run.release.since) + check.initial_delay
    due = max(first, unix(before) + check.interval if before else 0.0)
    return seen.now >= due and running(seen, run, check) is None


def _counted(run: RunStatus, check: HealthCheck) -> CountedStatus:
    found = (each for each in run.release.measured if each.name == check.name)
    return next(found, CountedStatus(name=check.name))


def _judged(run: RunStatus, check: HealthCheck, news: Measurement, began: float) -> RunStatus:
    tally, before = counted(tally_of_jobs(run, check), news), _counted(run, check)
    after = CountedStatus(
        name=check.name,
        made=before.made + 1,
        began=precise(began),
        **vars(tally),
    )
    others = (each for each in run.release.measured if each.name != check.name)
    return changed(run, measured=(*others, after)[-MOST_CHECKS:])
