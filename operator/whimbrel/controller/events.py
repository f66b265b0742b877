"""Events: once per transition, named after it, so that a second try makes no second one."""

from typing import Any

from whimbrel.controller import paths
from whimbrel.controller.client import ApiError
from whimbrel.controller.world import World
from whimbrel.machine import names
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.status import Condition, ReleaseStatus, Status

Body = dict[str, Any]


async def tell_transition(world: World, seen: Observed, after: Status) -> None:
    """Tell what changed between two statuses, if a person would call it a change."""
    await _tell_release(world, seen, after)
    before, now = _ready(seen.status), _ready(after)
    if now is None:
        return
    same_words = before is not None and (before.status, before.reason) == (now.status, now.reason)
    if same_words and seen.status.phase == after.phase:
        return
    stalled = any(each.type == "Stalled" for each in after.conditions)
    reason = str(after.phase) if now.reason in ("Progressing", "Completed") else now.reason
    run = after.run.id if after.run else ""
    await tell(world, seen, (reason, after.message, run), warning=stalled)


async def _tell_release(world: World, seen: Observed, after: Status) -> None:
    """Tell each step of a run that is over, why it goes back, and what was put right on the way."""
    run, before = after.run, seen.status.run
    if run is None:
        return
    if before is None or before.id != run.id:
        fresh = {"goal": Segment.MIGRATE, "release": ReleaseStatus()}
        before = run.model_copy(update=fresh)
    known, release = before.release, run.release
    # Of twenty steps the oldest is let go of: what is new stands at the end, whatever the length.
    news = release.steps[-1:] if release.steps[-1:] != known.steps[-1:] else ()
    for step in news:
        told = f"{step.name} is over since {step.at}; now: {run.segment}"
        await tell(world, seen, ("StepOver", told, run.id))
    if run.goal is Segment.ROLLBACK and before.goal is not Segment.ROLLBACK:
        why = release.red or "a rollback was asked for"
        await tell(world, seen, ("RollbackStarted", why, run.id), warning=True)
    if release.drift > known.drift:
        service = seen.traffic.service if seen.traffic else None
        told = (
            f"somebody else has changed the selector of Service {service.name if service else ''}; "
            "in this run it is put right once"
        )
        await tell(world, seen, ("TrafficDrift", told, run.id), warning=True)


async def tell(
    world: World, seen: Observed, what: tuple[str, str, str], *, warning: bool = False
) -> None:
    """Create an Event of (reason, message, run); a refused Event never stops the work."""
    reason, message, run = what
    moment = rfc3339(seen.now)
    suffix = names.digest(seen.uid, seen.generation, run, reason, message, length=16)
    body: Body = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{names.short_name(seen.name, 200)}.{suffix}",
            "namespace": seen.namespace,
        },
        "involvedObject": {
            "apiVersion": f"{names.GROUP}/{names.VERSION}",
            "kind": names.KIND,
            "namespace": seen.namespace,
            "name": seen.name,
            "uid": seen.uid,
        },
        "type": "Warning" if warning else "Normal",
        "reason": reason,
        "message": f"generation {seen.generation}: {message}"[:1024],
        "source": {"component": "whimbrel"},
        "reportingComponent": "whimbrel",
        "reportingInstance": world.settings.identity,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
    try:
        await world.client.create(paths.events(seen.namespace), body)
    except ApiError as error:
        world.metrics.errors.labels(f"Event{error.status}").inc()


def _ready(status: Status) -> Condition | None:
    return next((each for each in status.conditions if each.type == "Ready"), None)
