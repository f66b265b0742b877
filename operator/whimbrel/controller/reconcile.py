"""One turn for one object: look, decide, do one thing."""

import logging

from whimbrel.controller import paths
from whimbrel.controller.act import carry_out
from whimbrel.controller.client import ConflictError
from whimbrel.controller.events import tell
from whimbrel.controller.observe import Snapshot, observe
from whimbrel.controller.seen import object_seen
from whimbrel.controller.world import Key, World
from whimbrel.machine.decide import decide
from whimbrel.machine.decisions import (
    Decision,
    Ignore,
    NextAttempt,
    RecordResult,
    Rest,
    StartRun,
)
from whimbrel.machine.report import report
from whimbrel.model.errors import WhimbrelError
from whimbrel.model.observed import Observed
from whimbrel.model.status import RunState

log = logging.getLogger(__name__)


async def reconcile(world: World, key: Key) -> float | None:
    """Do the next thing for an object.

    Returns:
        Seconds until the next turn, 0 for at once, None to wait for an event.
    """
    try:
        look = await observe(world, key)
    except WhimbrelError as error:
        log.warning("left alone: %s", error.message)
        await _tell_left_alone(world, key, error)
        return None
    if look is None:
        forget(world, key)
        return None
    return await _turn(world, look, key)


async def _tell_left_alone(world: World, key: Key, error: WhimbrelError) -> None:
    """Tell by an Event what status cannot say: it is another operator's."""
    raw = await world.client.get(paths.migration(*key))
    if raw is not None:
        seen = object_seen(raw | {"status": {}}, world.clock())
        await tell(world, seen, (error.reason, error.message, ""), warning=True)


async def _turn(world: World, look: Snapshot, key: Key) -> float | None:
    decision = decide(look.seen)
    world.metrics.turns.labels(type(decision).__name__).inc()
    # A wait that goes on is looked at with every event of its Pod: said once is enough.
    said = getattr(decision, "message", "") == look.seen.status.message != ""
    log.log(logging.DEBUG if said else logging.INFO, "%s", _sentence(decision))
    try:
        again = await carry_out(world, look, decision)
    except ConflictError:
        return 0.0  # somebody wrote in between: look again
    world.idle[key] = again is None and is_idle(look.seen)
    return again


def forget(world: World, key: Key) -> None:
    """Forget an object that is gone."""
    world.idle.pop(key, None)
    world.measured.pop(key, None)
    world.metrics.show_phase(key, "")


def is_idle(seen: Observed) -> bool:
    """Tell from an object's own body whether a turn would change nothing at all."""
    run = seen.status.run
    if seen.status.checkpoint or (run is not None and run.state is RunState.OPEN):
        return False
    decision = decide(seen)
    if isinstance(decision, Ignore):
        return True
    rests = isinstance(decision, Rest) and getattr(decision, "until", None) is None
    return rests and report(seen, decision) == seen.status


def _sentence(decision: Decision) -> str:
    words = [type(decision).__name__]
    if isinstance(decision, StartRun | RecordResult | NextAttempt):
        run = decision.run
        words.append(f"{run.state} {run.segment}/{run.attempt} of run {run.id}")
    for field in ("name", "reason", "message"):
        value = getattr(decision, field, "")
        words += [str(value)] if value else []
    return ": ".join(words)
