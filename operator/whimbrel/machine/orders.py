"""The order of the attempt that status names, and the decision to create its Job."""

from whimbrel.machine.decisions import CreateJob
from whimbrel.machine.names import job_name
from whimbrel.machine.release.window import soak_left
from whimbrel.machine.requests import resolution, retry_value
from whimbrel.machine.runs import ended_attempts, image_of
from whimbrel.machine.segments import PROBES, has_release
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.order import Known, Order
from whimbrel.model.plan import WITHOUT_TOOL, Segment
from whimbrel.model.spec import Spec
from whimbrel.model.status import RunStatus


def current_name(seen: Observed, run: RunStatus) -> str:
    """Return the name of the Job of the current attempt."""
    return job_name(seen.name, seen.uid, run.id, segment=run.segment, attempt=run.attempt)


def create_current(seen: Observed, spec: Spec, run: RunStatus) -> CreateJob:
    """Return the decision to create the Job of the current attempt."""
    return CreateJob(
        name=current_name(seen, run),
        order=order(seen, spec, run),
        image=seen.image,
        tool_image=_tool_image(spec, run),
    )


def _tool_image(spec: Spec, run: RunStatus) -> str:
    if run.segment in PROBES or run.segment in WITHOUT_TOOL:
        return ""
    return image_of(spec, run)


def order(seen: Observed, spec: Spec, run: RunStatus) -> Order:
    """Return what the runner is told for the current attempt."""
    return Order(
        segment=run.segment,
        namespace=seen.namespace,
        name=seen.name,
        uid=seen.uid,
        cluster=seen.cluster,
        number=run.number,
        run=run.id,
        attempt=run.attempt,
        deadline=unix(run.deadline),
        approved=run.plan_digest if run.approved else "",
        image=_tool_image(spec, run),
        to=run.to,
        known=Known(database=run.database, epoch=run.epoch),
        ended=ended_attempts(seen),
        holder_gone=(run.holder.run,) if run.holder and seen.holder_gone else (),
        retry=retry_value(run),
        resolution=resolution(seen, run),
        release=has_release(spec),
        since=unix(run.release.changed_at),
        soak=soak_left(seen, spec, run),
        unfinished=run.unfinished if run.goal is Segment.ROLLBACK else "",
        back=run.work if run.goal is Segment.ROLLBACK else "",
        spec=spec,
    )
