"""A kept checkpoint goes when its time is over, or its object: a Job of its own drops it."""

from typing import Final

from whimbrel.machine.answers import answer_of
from whimbrel.machine.backoff import delay
from whimbrel.machine.decisions import CreateJob, Decision, KeepCheckpoint, ReleaseFinalizer, Wait
from whimbrel.machine.names import job_name
from whimbrel.machine.orders import order
from whimbrel.machine.runs import is_held
from whimbrel.machine.timestamps import precise, unix
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.observed import JobSeen, Observed
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome
from whimbrel.model.status import Phase, RunState

_LOOK_AGAIN: Final = 10.0  # seconds, while an object that is being deleted waits for the Job


def due_at(seen: Observed) -> float | None:
    """Return the Unix seconds at which the kept checkpoint has to go; None where it is going."""
    kept = seen.status.checkpoint
    if kept is None or not _is_free(seen) or _job(seen, kept) is not None:
        return None
    return max(unix(kept.kept_until), unix(kept.not_before), seen.now)


def _is_free(seen: Observed) -> bool:
    """Tell whether the run is over, in the ledger too: before that its way back may need it."""
    run = seen.status.run
    return run is not None and run.state is RunState.CLOSED and not is_held(run)


def drop_answered(seen: Observed) -> Decision | None:
    """Record what the Job that drops the checkpoint answered; without success comes another."""
    kept = seen.status.checkpoint
    job = _job(seen, kept) if kept is not None else None
    if kept is None or job is None:
        return None
    result = answer_of(job)
    if result is not None and result.outcome is Outcome.DONE:
        return KeepCheckpoint(None, "dropped")
    ended = result is not None or job.finished or bool(job.pod and job.pod.ended)
    if not ended or job.leaving:
        return None
    pause = delay(kept.id, kept.attempt, at_least=result.retry_after if result else 0.0)
    news = {"attempt": kept.attempt + 1, "not_before": precise(seen.now + pause)}
    return KeepCheckpoint(kept.model_copy(update=news), "it could not be dropped yet")


def checkpoint_is_due(seen: Observed) -> Decision | None:
    """Start the Job that drops a checkpoint whose time is over."""
    due = due_at(seen)
    if due is None or due > seen.now:
        return None
    return _drop(seen)


def dropped_first(seen: Observed, decision: Decision | None, *, late: bool) -> Decision | None:
    """Return what comes before an object may go: its checkpoint goes first, unless it is late."""
    kept, run = seen.status.checkpoint, seen.status.run
    if kept is None or run is None or not isinstance(decision, ReleaseFinalizer):
        return decision
    if late or seen.namespace_leaving or seen.spec is None:
        return ReleaseFinalizer(". ".join(filter(None, (decision.left, _left(kept)))))
    if seen.now < unix(kept.not_before):
        return _dropping(kept, unix(kept.not_before))
    return _drop(seen) or _dropping(kept, seen.now + _LOOK_AGAIN)


def _dropping(kept: CheckpointStatus, until: float) -> Wait:
    message = f"deleted: the checkpoint of run {kept.id} is dropped first"
    return Wait(Phase.PENDING, "Progressing", message, until=until)


def _left(kept: CheckpointStatus) -> str:
    return (
        f"The checkpoint of run {kept.id} stays in the database; its triggers do nothing after "
        f"{kept.kept_until}, and then `whimbrel gc --url URL --yes` removes it"
    )


def _drop(seen: Observed) -> CreateJob | None:
    kept, run, spec = seen.status.checkpoint, seen.status.run, seen.spec
    if kept is None or run is None or spec is None or _job(seen, kept) is not None:
        return None
    attempt = run.model_copy(
        update={"id": kept.id, "segment": Segment.DISCARD, "attempt": kept.attempt, "to": ""}
    )
    name = _name(seen, kept)
    return CreateJob(name=name, order=order(seen, spec, attempt), image=seen.image, tool_image="")


def _name(seen: Observed, kept: CheckpointStatus) -> str:
    return job_name(seen.name, seen.uid, kept.id, segment=Segment.DISCARD, attempt=kept.attempt)


def _job(seen: Observed, kept: CheckpointStatus) -> JobSeen | None:
    name = _name(seen, kept)
    mine = (job for job in seen.jobs if job.name == name and job.owner == seen.uid)
    return next(mine, None)
