"""Events: once per transition, named after it, so that a second try makes no second one."""

from typing import Any

from whimbrel.controller import paths
from whimbrel.controller.client import ApiError
from whimbrel.controller.world import World
from whimbrel.machine import names
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.observed import Observed
from whimbrel.model.status import Condition, Status

Body = dict[str, Any]


async def tell_transition(world: World, seen: Observed, after: Status) -> None:
    """Tell what changed between two statuses, if a person would call it a change."""
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
