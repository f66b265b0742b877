"""Jobs and the finalizer: what must be there, and what need not be kept."""

from typing import Final

from whimbrel.machine.decisions import AddFinalizer, Decision, DeleteJob, ReleaseFinalizer
from whimbrel.machine.names import FINALIZER
from whimbrel.machine.runs import is_held
from whimbrel.model.observed import JobSeen, Observed, is_current
from whimbrel.model.plan import Segment
from whimbrel.model.spec import DeletionPolicy
from whimbrel.model.status import RunState

KEPT: Final = 3  # finished Jobs of runs that are over
KEPT_OPEN: Final = 20  # of a run that is not: its newest; the runner refuses the others anyway


def delete_unfinished(seen: Observed, reason: str) -> DeleteJob | None:
    """Return the decision to delete a Job that could still work, or None."""
    job = next((job for job in seen.jobs if job.owner == seen.uid and job.may_work()), None)
    return DeleteJob(job.name, job.uid, reason) if job else None


def job_of_before_is_left(seen: Observed) -> Decision | None:
    """Delete a Job that status no longer asks for before anything new starts."""
    run = seen.status.run
    left = (
        job
        for job in seen.jobs
        if job.owner == seen.uid and job.may_work() and job.segment != Segment.DISCARD
        if run is None or run.state is RunState.CLOSED or not is_current(job, run.id, seen)
    )
    job = next(left, None)
    return DeleteJob(job.name, job.uid, "superseded") if job else None


def finalizer_is_missing(seen: Observed) -> Decision | None:
    """Keep the object before the first Job of a run, and while its deletion takes back."""
    run = seen.status.run
    if run is None or FINALIZER in seen.finalizers or seen.leaving_since is not None:
        return None
    return AddFinalizer() if run.state is RunState.OPEN or _takes_back(seen) else None


def finalizer_is_left(seen: Observed) -> Decision | None:
    """Let go when the run is closed in the ledger too."""
    run = seen.status.run
    if run is None or FINALIZER not in seen.finalizers or seen.leaving_since is not None:
        return None
    if run.state is RunState.OPEN or is_held(run) or _takes_back(seen) or seen.status.checkpoint:
        return None
    return ReleaseFinalizer()


def _takes_back(seen: Observed) -> bool:
    return seen.spec is not None and seen.spec.deletion_policy is DeletionPolicy.ROLLBACK


def old_job_is_kept(seen: Observed) -> Decision | None:
    """Delete the oldest finished Job when there are more than enough; its result is in status."""
    run = seen.status.run
    if run is None or seen.leaving_since is not None:
        return None
    limit = KEPT if run.state is RunState.CLOSED else KEPT_OPEN
    finished = sorted(_finished(seen), key=lambda job: (job.created, job.name))
    spare = [job for job in finished if not is_current(job, run.id, seen)]
    if len(finished) <= limit or not spare:
        return None
    return DeleteJob(spare[0].name, spare[0].uid, "history")


def _finished(seen: Observed) -> list[JobSeen]:
    return [job for job in seen.jobs if job.finished and not job.leaving and job.owner == seen.uid]
