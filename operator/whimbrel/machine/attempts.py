"""The current attempt of the current run: has it an answer, does it work, may it start."""

from typing import Final

from whimbrel.machine import names, runs
from whimbrel.machine.answers import answer_of
from whimbrel.machine.decisions import (
    Decision,
    Hold,
    NextAttempt,
    RecordResult,
    ShowPlan,
    Wait,
)
from whimbrel.machine.orders import create_current, current_name
from whimbrel.machine.release.probing import measuring, next_look, probe_answered
from whimbrel.machine.requests import asked, is_approved, waits_for_approval
from whimbrel.machine.segments import AFTER_MIGRATE, CONTROLLED, PHASES, PROBES
from whimbrel.machine.settled import settled
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import JobSeen, Observed, PodSeen
from whimbrel.model.packed import unpack_text
from whimbrel.model.plan import Segment
from whimbrel.model.result import Result
from whimbrel.model.spec import Gate
from whimbrel.model.status import HolderStatus, Phase, RunState, RunStatus

LOOK_AGAIN: Final = 300.0  # seconds between two looks at something that only a person can end
POD_LOGS: Final = (
    "helm upgrade whimbrel charts/whimbrel --namespace whimbrel-system --reuse-values "
    "--set podLogs=true"
)
POLLING: Final = 15.0  # seconds after which a runner that still works is not waiting for a holder
STOPPING: Final = 60.0  # seconds that a deleted Pod gets: its grace period of 30 s, twice


def annotation(seen: Observed, which: str) -> str:
    """Return the value of the retry or rollback annotation."""
    return asked(seen, names.RETRY if which == "retry" else names.ROLLBACK)


def is_working(seen: Observed) -> bool:
    """Tell whether the current Job does real work right now."""
    job = seen.current_job()
    return bool(job and not job.finished and not job.leaving and job.pod and job.pod.working)


def answer_arrived(seen: Observed) -> Decision | None:
    """Record what the current Job answered."""
    run, spec, job = seen.status.run, seen.spec, seen.current_job()
    if run is None or spec is None or job is None or run.state is RunState.CLOSED:
        return None
    result = answer_of(job)
    if result is None:
        return None
    if run.segment in PROBES:
        return RecordResult(
            probe_answered(seen, spec, runs.noted(seen, run, result), result), result
        )
    return RecordResult(runs.answered(seen, spec, result), result)


def container_end_is_news(seen: Observed) -> Decision | None:
    """Write down what the kubelet reported before the Pod is collected."""
    run = seen.status.run
    if run is None or run.state is RunState.CLOSED:
        return None
    kept = {job.uid for job in seen.jobs if not job.leaving}
    going = {runs.end_key(pod, run) for pod in seen.pods if pod.job_uid not in kept}
    now_ended = runs.ended_attempts(seen)
    if not going & (set(now_ended) - set(run.ended)):
        return None
    return NextAttempt(run.model_copy(update={"ended": now_ended}), "the kubelet reported its end")


def run_is_over(seen: Observed) -> Decision | None:
    """Rest where the run ended."""
    run = seen.status.run
    return settled(run) if run is not None and run.state is RunState.CLOSED else None


def person_approves(seen: Observed) -> Decision | None:
    """Go on with the plan that a person approved, under a fresh deadline."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or run.segment is not Segment.APPROVE or not is_approved(seen):
        return None
    approved = runs.begun(seen, runs.reopened(seen, run, spec, Segment.MIGRATE))
    segment = runs.before_writing(spec, run, seen.status.revision)
    news = {"approved": True, "segment": segment}
    return NextAttempt(approved.model_copy(update=news), "approved")


def plan_waits(seen: Observed) -> Decision | None:
    """Show the plan, then wait for whoever may approve it."""
    run, gate = seen.status.run, seen.status.gate
    if run is None or run.segment is not Segment.APPROVE:
        return None
    if gate is not None and gate.token:
        return waits_for_approval(seen, f"the plan in ConfigMap {gate.plan} waits for approval")
    result = _look_result(seen, run)
    if result is None:
        return NextAttempt(runs.again(seen, run, Segment.LOOK), "the look Job is gone")
    text = unpack_text(result.plan) if result.plan else seen.plan_text
    if text is None:
        return _hidden(seen)
    token = names.gate_token(Gate.START, run.plan_digest)
    return ShowPlan(names.plan_name(seen.name, run.plan_digest), text, token)


def _hidden(seen: Observed) -> Wait:
    message = (
        "the plan is too long for a termination message and cannot be read from the Job's log "
        "(pods/log is not allowed, or its digest differs): it cannot be approved here. "
        f"To allow it: {POD_LOGS}"
    )
    human = "the platform engineer who may set podLogs"
    again = seen.now + LOOK_AGAIN
    return Wait(Phase.AWAITING_APPROVAL, "PlanNotShown", message, until=again, human=human)


def _look_result(seen: Observed, run: RunStatus) -> Result | None:
    jobs = [job for job in seen.jobs if (job.run, job.segment) == (run.id, str(Segment.LOOK))]
    found = [answer_of(job) for job in jobs if job.attempt == run.attempt]
    return next((result for result in found if result), None)


def name_is_taken(seen: Observed) -> Decision | None:
    """Ask a person when a Job that is not ours has the name that ours must have."""
    run = seen.status.run
    if run is None:
        return None
    taken = current_name(seen, run)
    if not any(job.name == taken and job.owner != seen.uid for job in seen.jobs):
        return None
    return foreign_job(seen, taken)


def foreign_job(seen: Observed, name: str) -> Hold:
    """Return the decision for a name that somebody else's Job has."""
    return Hold(
        "JobNameTaken",
        f"a Job {name} exists that does not belong to this object; it is not touched",
        command=f"kubectl delete -n {seen.namespace} job/{name}",
    )


def job_is_there(seen: Observed) -> Decision | None:
    """Wait for the current Job, or go on when it ended without an answer."""
    run, job = seen.status.run, seen.current_job()
    if run is None or job is None:
        return None
    late = seen.now >= unix(run.deadline)
    if job.leaving:
        return _leaves(seen, run, job, late=late)
    if job.finished or (job.pod and (job.pod.ended or _is_given_up(seen, run, job.pod))):
        return NextAttempt(runs.lost(seen, run), "ended without an answer")
    trouble = job.pod.trouble if job.pod else ""
    return _overdue(seen, run, trouble) if late else _works(seen, run, trouble)


def _is_given_up(seen: Observed, run: RunStatus, pod: PodSeen) -> bool:
    """Tell whether a probe on a lost node is waited for no more: it writes nothing to be fenced."""
    gone = pod.leaving_since is not None and seen.now >= pod.leaving_since + STOPPING
    return gone and run.segment in PROBES


def _leaves(seen: Observed, run: RunStatus, job: JobSeen, *, late: bool) -> Wait:
    told = f"Job {job.name} is being deleted; it is created again when it is gone"
    if not late:
        return waits(run, "Progressing", told, seen.now + 5)
    why = f"kubectl get -n {seen.namespace} job/{job.name} -o yaml"
    message = (
        f"not finished at progressDeadline: {told}. What keeps it (a finalizer, a node): {why}"
    )
    again = seen.now + LOOK_AGAIN
    return Wait(Phase.FAILED, "DeadlineExceeded", message, until=again, stalled=True)


def _works(seen: Observed, run: RunStatus, trouble: str) -> Wait:
    until = unix(run.deadline)
    if trouble:
        message = f"the Pod does not start: {trouble}; it is retried until {run.deadline}"
        until = min(until, next_look(seen)) if run.segment in PROBES else until
        return waits(run, "ProgressingWithRetry", message, until)
    if run.holder is None:
        return progressing(seen, run, until)
    job = seen.current_job()
    started = job.pod.started if job and job.pod else 0.0
    if started and seen.now >= started + POLLING:
        mine = run.model_copy(update={"holder": None, "failures": 0})
        return progressing(seen, mine, until)
    return progressing(seen, run, min(until, started + POLLING) if started else until)


def progressing(seen: Observed, run: RunStatus, until: float | None = None) -> Wait:
    """Return what a run that goes on shows: the same through all its tries, so nothing flaps."""
    if run.holder is not None:
        message = f"{_said(run)}; held by {run.holder.namespace}/{run.holder.name}"
        message += _past_the_holder(seen, run.holder)
        return Wait(Phase.WAITING, "Waiting", message, until=until)
    if run.segment in PROBES and seen.spec is not None:
        soon = next_look(seen)
        return measuring(seen, seen.spec, run, soon if until is None else min(until, soon))
    if run.failures:
        return waits(run, "ProgressingWithRetry", _said(run), until)
    return waits(run, "Progressing", working_message(seen, run), until)


def waits(run: RunStatus, reason: str, message: str, until: float | None) -> Wait:
    """Return a wait that time or an event ends.

    Once the schema was read back it stays Ready whatever has to be waited for, and the reason is
    the phase: whoever was told that the database is ready is not told otherwise.
    """
    phase, ready = PHASES[run.segment], run.segment in AFTER_MIGRATE
    reason = str(phase) if ready or run.segment in CONTROLLED else reason
    return Wait(phase, reason, message, until=until, ready=ready)


def _past_the_holder(seen: Observed, holder: HolderStatus) -> str:
    if holder.cluster != seen.cluster:
        where = f"of another cluster ({holder.cluster})"
    elif seen.holder_hidden:
        where = "in a namespace that this operator may not read"
    else:
        return ""  # its own object says what it waits for
    return (
        f" {where}; if nothing works there any more: "
        f"whimbrel resolve {seen.name} -n {seen.namespace} --as TakeOver --by WHO --reason TEXT"
    )


def _said(run: RunStatus) -> str:
    return run.last.message if run.last else "the last Job ended without an answer"


def _overdue(seen: Observed, run: RunStatus, trouble: str) -> Wait:
    if run.failures and not trouble:
        return gave_up(_said(run), seen.now + LOOK_AGAIN)
    why = f"its Pod does not start: {trouble}" if trouble else "it still runs and is not stopped"
    message = (
        f"not finished at progressDeadline: {why}; still looked at every 5 minutes. To stop it: "
        f"kubectl patch -n {seen.namespace} dbm/{seen.name} --type merge "
        '-p \'{"spec":{"suspend":true}}\''
    )
    failed = trouble or run.segment in AFTER_MIGRATE
    phase, again = Phase.FAILED if failed else PHASES[run.segment], seen.now + LOOK_AGAIN
    return Wait(phase, "DeadlineExceeded", message, until=again, stalled=True)


def working_message(seen: Observed, run: RunStatus) -> str:
    """Return what happens now, without anything that changes while it does."""
    text = f"Job {current_name(seen, run)} carries out {run.segment}"
    if run.segment in CONTROLLED:
        text = f"{run.segment} begins"
    if run.generation == seen.generation:
        return text
    return f"{text} for generation {run.generation}; generation {seen.generation} waits for it"


def pod_of_before_still_ends(seen: Observed) -> Decision | None:
    """Give a Pod that was told to stop its time; after that the runner's fence is the proof."""
    run = seen.status.run
    ending = [
        pod.leaving_since + STOPPING
        for pod in seen.pods
        if pod.leaving_since is not None and not pod.ended
        if seen.now < pod.leaving_since + STOPPING
    ]
    if run is None or not ending:
        return None
    message = "the Pod of an earlier attempt stops at its next safe point"
    return waits(run, "Progressing", message, max(ending))


def backoff_is_not_over(seen: Observed) -> Decision | None:
    """Wait for the moment that status names."""
    run = seen.status.run
    if run is None or seen.now >= unix(run.not_before):
        return None
    moment = unix(run.not_before)
    late = seen.now >= unix(run.deadline)
    return gave_up(_said(run), moment) if late else progressing(seen, run, moment)


def gave_up(said: str, until: float) -> Wait:
    """Return the wait after the deadline: stalled, but looked at again."""
    message = f"gave up at progressDeadline, still looked at every 5 minutes: {said}"
    return Wait(Phase.FAILED, "DeadlineExceeded", message, until=until, stalled=True)


def job_is_missing(seen: Observed) -> Decision:
    """Create the Job of the intent. Again is safe: the runner refuses a closed attempt."""
    run, spec = seen.status.run, seen.spec
    assert run is not None  # noqa: S101  # new_run_is_wanted decides where there is no run
    assert spec is not None  # noqa: S101  # spec_is_wrong decides where there is none
    return create_current(seen, spec, run)
