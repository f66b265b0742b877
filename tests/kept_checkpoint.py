"""A checkpoint in the status of an object whose run is done, and the Job that drops it."""

from dataclasses import replace

from whimbrel.machine import names
from whimbrel.machine.names import run_id
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.observed import JobSeen, PodSeen
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome
from whimbrel.model.status import LastResult, RunState, RunStatus, Status

NOW = 1_800_000_000.0
RUN = run_id("uid", 1)
CLOSED = RunStatus(
    id=RUN,
    generation=1,
    segment=Segment.MIGRATE,
    started_at=rfc3339(NOW - 60),
    state=RunState.CLOSED,
    last=LastResult(
        segment="Migrate",
        attempt=1,
        outcome=Outcome.DONE,
        reason="Applied",
        message="applied",
        at=rfc3339(NOW),
    ),
)


def kept(status: Status | None = None, until: float = NOW, **changes: object) -> Status:
    """Return a status, by default of a run that is done, with a checkpoint that is kept."""
    fields = {"id": RUN, "state": "Ready", "kept_until": rfc3339(until), **changes}
    with_run = status or Status(observed_generation=1, run=CLOSED)
    return with_run.model_copy(update={"checkpoint": CheckpointStatus.model_validate(fields)})


def dropping(**state: object) -> JobSeen:
    """Return the Job that drops it."""
    name = names.job_name("shop", "uid", RUN, segment="Discard", attempt=1)
    pod = replace(PodSeen("p", "job-1", RUN, "Discard", 1), **state)
    return JobSeen(name, "job-1", "uid", RUN, "Discard", 1, pod=pod)
