"""Moments at which health checks are made: by a probe Job, by the controller, or both."""

from typing import Final

from whimbrel.machine.decisions import Decision, Hold, NextAttempt, Wait
from whimbrel.machine.release.check_jobs import job_checks_go_on, running, tally_of_jobs
from whimbrel.machine.release.judge import (
    Tally,
    patience,
    shown,
    state_of,
    tally_of,
    together,
    why,
)
from whimbrel.machine.release.traffic import switch_told
from whimbrel.machine.release.window import changed, ends_at, is_open_at, once_more, turned_back
from whimbrel.machine.runs import advanced, again, later
from whimbrel.machine.segments import AFTER_MIGRATE, PHASES, PROBES, needs_probe
from whimbrel.machine.timestamps import precise, unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.checked import CheckStatus, State, Verdict
from whimbrel.model.release.health import MOST_CHECKS, CheckType, HealthCheck, checks_at
from whimbrel.model.result import Outcome, Result
from whimbrel.model.spec import Spec
from whimbrel.model.status import RunState, RunStatus

AGAIN: Final = 30.0  # seconds until an inconclusive moment is measured again
POLLING: Final = 5.0  # seconds between two looks of the controller; events wake it earlier


def probe_answered(seen: Observed, spec: Spec, run: RunStatus, result: Result) -> RunStatus:
    """Return what follows from the answer of a probe Job."""
    match result.outcome:
        case Outcome.DONE:
            through = run.model_copy(update={"failures": 0})
            return again(seen, changed(through, probed=True), run.segment)
        case Outcome.FAILED:
            return turned_back(seen, spec, run, result.message)
        case Outcome.NOT_FINISHED if result.reason == "HealthCheckUnknown":
            return _paused(seen, spec, run, result.message)
        case _:
            return later(seen, run, run.segment, result.retry_after)


def _paused(seen: Observed, spec: Spec, run: RunStatus, what: str) -> RunStatus:
    """Measure again after a while: nobody is promoted by time, and nobody is taken back by it."""
    patient = run.model_copy(
        update={"deadline": precise(seen.now + spec.limits.progress_deadline), "failures": 0}
    )
    return later(seen, changed(patient, paused=what[:4096]), run.segment, AGAIN)


def moment_goes_on(seen: Observed) -> Decision | None:
    """Decide at a moment of checks what the answer of a probe Job does not decide."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or run.state is RunState.CLOSED or run.segment not in PROBES:
        return None
    if (counted := _counted_from(seen, spec, run)) != run.release.restarts:
        return NextAttempt(changed(run, restarts=counted), "restarts count from here on")
    state, checks = own_checks(seen, spec, run)
    if state is State.RED:
        return NextAttempt(turned_back(seen, spec, run, why(checks, State.RED)), "red")
    if state is State.INCONCLUSIVE and not run.release.paused:
        told = why(checks, State.INCONCLUSIVE)
        return NextAttempt(_paused(seen, spec, run, told), "inconclusive")
    green = {check.name for check in checks if check.state is State.GREEN}
    job = job_checks_go_on(seen, spec, run, green)
    if job is not None or (needs_probe(spec, run.segment) and not run.release.probed):
        return job
    return _passed_or_waits(seen, spec, run, state)


def _counted_from(seen: Observed, spec: Spec, run: RunStatus) -> dict[str, int]:
    """Return the restarts that each check begins with: of its workload when it was first seen."""
    found = {
        check.name: seen.workloads[check.workload.ref.told()].restarts
        for check in checks_at(spec.health_checks, PROBES[run.segment])
        if check.workload is not None and check.workload.ref.told() in seen.workloads
    }
    return dict([*(found | run.release.restarts).items()][:MOST_CHECKS])


def _passed_or_waits(seen: Observed, spec: Spec, run: RunStatus, state: State) -> Decision:
    end = ends_at(spec, run) if run.segment is Segment.SOAK else 0.0
    if state is State.GREEN and run.release.paused:
        return NextAttempt(once_more(seen, run, paused=""), "answers again")
    if state is State.GREEN and seen.now >= end:
        return NextAttempt(advanced(seen, run, spec), "green")
    soon = next_look(seen)
    return measuring(seen, spec, run, min(end, soon) if end > seen.now else soon)


def next_look(seen: Observed) -> float:
    """Return when the controller looks again, Unix seconds: soon, or when it has to measure."""
    return min(seen.now + POLLING, seen.next_measurement)


def measuring(seen: Observed, spec: Spec, run: RunStatus, until: float) -> Wait:
    """Return what a moment of checks shows while it goes on."""
    if run.release.paused:
        told = _paused_message(seen, run)
        return _wait(run, "HealthCheckUnknown", told, until, paused="HealthCheckUnknown")
    names = ", ".join(check.name for check in checks_at(spec.health_checks, PROBES[run.segment]))
    told = f"{run.segment}: {f'measures {names}' if names else 'watches'}"
    if run.segment is Segment.SOAK:
        told += f", until {precise(ends_at(spec, run))}"
    if spec.strategy.blue_green is not None and run.release.switched:
        told += switch_told(seen, spec.strategy.blue_green)
    if names and needs_probe(spec, run.segment) and not seen.reads_logs:
        told += "; the values appear at its end, since pods/log is not allowed"
    return _wait(run, str(PHASES[run.segment]), told, until)


def _wait(run: RunStatus, reason: str, told: str, until: float, paused: str = "") -> Wait:
    ready = run.segment in AFTER_MIGRATE
    return Wait(PHASES[run.segment], reason, told, until=until, ready=ready, paused=paused)


def _paused_message(seen: Observed, run: RunStatus) -> str:
    known = "nothing is taken back"
    asked = f"to go back: whimbrel rollback {seen.name} -n {seen.namespace}"
    if run.segment is Segment.BASELINE:  # the newest release is the one before it
        known = "nothing was done"
        asked = (
            f"or correct the check, or suspend: kubectl patch -n {seen.namespace} dbm/{seen.name} "
            '--type merge -p \'{"spec":{"suspend":true}}\''
        )
    return (
        f"paused, and {known}: no answer from {run.release.paused}; it is measured again by "
        f"itself; {asked}"
    )


def person_decides(seen: Observed) -> Hold | None:
    """Rest where something turned red while rollback.onFailure is Manual."""
    run = seen.status.run
    if run is None or not run.release.red or not is_open_at(run, *AFTER_MIGRATE):
        return None
    side = f", the traffic is at {seen.status.active}" if seen.status.active else ""
    again_ = f"whimbrel retry {seen.name} -n {seen.namespace}"
    return Hold(
        "HealthCheckFailed",
        f"{run.release.red}; rollback.onFailure is Manual: the schema is migrated{side}, and "
        f"nothing is changed until a person decides; to measure again: {again_}; to go back",
        command=f"whimbrel rollback {seen.name} -n {seen.namespace}",
    )


def own_checks(seen: Observed, spec: Spec, run: RunStatus) -> tuple[State, tuple[CheckStatus, ...]]:
    """Return what the checks say that the controller itself makes at this moment."""
    moment = PROBES[run.segment]
    mine = [each for each in checks_at(spec.health_checks, moment) if each.type.asks_the_cluster]
    states = [(check, _state(seen, spec, run, check)) for check in mine]
    told = tuple(shown(check, moment, _tally(seen, run, check), state) for check, state in states)
    return together(states), told


def _state(seen: Observed, spec: Spec, run: RunStatus, check: HealthCheck) -> State:
    tally, soaks = _tally(seen, run, check), run.segment is Segment.SOAK
    end = ends_at(spec, run) if soaks else unix(run.release.since)
    # A Job that runs when a soak ends is heard out: it may be the one that says no.
    heard = not soaks or check.type is not CheckType.JOB or running(seen, run, check) is None
    state = state_of(check, tally, over=seen.now >= end and heard)
    # A check that was well for long and fails now has its patience from then on.
    passed = [unix(each.at) for each in tally.last if each.verdict is Verdict.PASSED]
    late = seen.now > max([end, *passed]) + patience(check)
    return State.INCONCLUSIVE if late and state is State.OPEN else state


def _tally(seen: Observed, run: RunStatus, check: HealthCheck) -> Tally:
    if check.type is CheckType.JOB:
        return tally_of_jobs(run, check)
    return tally_of(seen.measured.get(check.name, ()))


def checks_shown(seen: Observed, run: RunStatus) -> tuple[CheckStatus, ...]:
    """Return the checks of the current moment, with the values that are known so far."""
    if seen.spec is None or run.segment not in PROBES:
        return seen.status.checks
    own = own_checks(seen, seen.spec, run)[1]
    kept = seen.live or tuple(
        check
        for check in seen.status.checks
        if check.moment == run.segment and check.name not in {each.name for each in own}
    )
    return (*kept, *own)[-MOST_CHECKS - 1 :]
