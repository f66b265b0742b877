"""Decisions are carried out: one write of status, or one effect of an intent already written."""

from contextlib import suppress
from typing import Final

from whimbrel.controller import paths
from whimbrel.controller.client import ConflictError, RejectedError
from whimbrel.controller.events import tell, tell_transition
from whimbrel.controller.observe import Snapshot
from whimbrel.controller.release.effects import create_check_job, scale_workload, switch_service
from whimbrel.controller.world import World
from whimbrel.machine.attempts import foreign_job, gave_up, waits
from whimbrel.machine.checkpoint.expiry import due_at
from whimbrel.machine.decisions import (
    AddFinalizer,
    CreateCheckJob,
    CreateJob,
    Decision,
    DeleteJob,
    Done,
    Hold,
    Ignore,
    KeepCheckpoint,
    NextAttempt,
    RecordResult,
    ReleaseFinalizer,
    Rest,
    ScaleWorkload,
    ShowPlan,
    StartRun,
    SwitchService,
    Wait,
)
from whimbrel.machine.jobs import job_body, plan_body
from whimbrel.machine.names import FINALIZER
from whimbrel.machine.release.check_jobs import unanswered
from whimbrel.machine.report import report
from whimbrel.machine.segments import AFTER_MIGRATE, PHASES
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.status import Phase

Other = DeleteJob | AddFinalizer | ReleaseFinalizer | ShowPlan | SwitchService | ScaleWorkload
AT_ONCE: Final = 0.0
SOON: Final = 30.0  # seconds until a request that the API server refused is tried again
LEAVING: Final = 10.0  # seconds between two looks at an object that is being deleted


async def carry_out(world: World, look: Snapshot, decision: Decision) -> float | None:
    """Carry out a decision; return seconds until the next look, None to wait for an event."""
    match decision:
        case StartRun() | RecordResult() | NextAttempt() | KeepCheckpoint():
            await write_status(world, look, decision)
            _count(world, decision)
            return AT_ONCE
        case CreateJob():
            return await _create_job(world, look, decision)
        case CreateCheckJob():
            return await _measure(world, look, decision)
        case Wait() | Hold() | Done() | Ignore():
            return await _rest(world, look, decision)
        case SwitchService() | ScaleWorkload():
            return await _in_the_application(world, look, decision)
        case _:
            return await _effect(world, look, decision)


async def _in_the_application(
    world: World, look: Snapshot, effect: SwitchService | ScaleWorkload
) -> float | None:
    try:
        return await _effect(world, look, effect)
    except RejectedError as error:
        said = f"the API server refuses {effect.name}: {error.message}"
        return await _rest(world, look, _refused_change(look.seen, said))


async def _effect(world: World, look: Snapshot, effect: Other) -> float | None:
    match effect:
        case DeleteJob(name, uid, _):
            await world.client.delete(f"{paths.jobs(look.seen.namespace)}/{name}", uid)
        case AddFinalizer():
            await _set_finalizers(world, look, look.seen.finalizers | {FINALIZER})
        case ReleaseFinalizer(left):
            await _release(world, look, left)
        case ShowPlan():
            return await _show_plan(world, look, effect)
        case SwitchService():
            await switch_service(world.client, look.seen.namespace, effect)
            world.metrics.switches.labels(effect.side).inc()
        case ScaleWorkload():
            await scale_workload(world.client, look.seen.namespace, effect)
    return AT_ONCE


def _count(world: World, decision: Decision) -> None:
    if isinstance(decision, RecordResult):
        result = decision.result
        world.metrics.answers.labels(result.segment, result.outcome).inc()


async def write_status(world: World, look: Snapshot, decision: Decision) -> bool:
    """Write the status of a decision where it says something new; tell whether it was written."""
    after = report(look.seen, decision)
    world.metrics.show_phase((look.seen.namespace, look.seen.name), str(after.phase or ""))
    if after == look.seen.status:
        return False
    # A structural schema refuses null where a field is not nullable.
    status = after.model_dump(mode="json", by_alias=True, exclude_none=True)
    body = look.raw | {"status": status}
    await world.client.replace(f"{_path(look.seen)}/status", body)
    await tell_transition(world, look.seen, after)
    return True


async def _create_job(world: World, look: Snapshot, wanted: CreateJob) -> float | None:
    path = paths.jobs(look.seen.namespace)
    try:
        await world.client.create(path, job_body(wanted))
    except ConflictError:
        return await _adopt(world, look, wanted)
    except RejectedError as error:
        if wanted.order.segment is Segment.DISCARD:
            return SOON  # the run is over, and its status is not about this
        return await _rest(world, look, _refused(look.seen, error))
    return AT_ONCE


async def _measure(world: World, look: Snapshot, wanted: CreateCheckJob) -> float:
    assert look.seen.spec is not None  # noqa: S101  # it names the check
    refused = await create_check_job(world.client, look.seen, look.seen.spec, wanted)
    if refused:
        await write_status(world, look, unanswered(look.seen, wanted.check, refused))
    return AT_ONCE


async def _adopt(world: World, look: Snapshot, wanted: CreateJob) -> float | None:
    raw = await world.client.get(f"{paths.jobs(look.seen.namespace)}/{wanted.name}")
    owners = (raw or {}).get("metadata", {}).get("ownerReferences") or ()
    if raw is None or any(each["uid"] == look.seen.uid for each in owners):
        return 0.5  # made a moment ago, by us before a crash or by another leader
    return await _rest(world, look, foreign_job(look.seen, wanted.name))


def _refused_change(seen: Observed, said: str) -> Wait:
    run = seen.status.run
    phase = PHASES[run.segment] if run is not None else Phase.PENDING
    until, ready = seen.now + SOON, run is not None and run.segment in AFTER_MIGRATE
    human = "the platform engineer who may give the operator this right"
    return Wait(phase, "ChangeRefused", said, until=until, human=human, ready=ready)


def _refused(seen: Observed, error: RejectedError) -> Wait:
    # A quota, an admission policy, a Job that is too large: a person or time heals it.
    run = seen.status.run
    until = seen.now + SOON
    said = f"the API server refuses the Job: {error.message}"
    if run is None or seen.now >= unix(run.deadline):
        return gave_up(said, until)
    return waits(run, "ProgressingWithRetry", said, until)


async def _set_finalizers(world: World, look: Snapshot, wanted: frozenset[str]) -> None:
    version = look.raw["metadata"]["resourceVersion"]
    change = {"metadata": {"resourceVersion": version, "finalizers": sorted(wanted)}}
    await world.client.patch(_path(look.seen), change)


async def _release(world: World, look: Snapshot, left: str) -> None:
    if left:
        await tell(world, look.seen, ("LeftBehind", left, ""), warning=True)
    await _set_finalizers(world, look, look.seen.finalizers - {FINALIZER})


async def _show_plan(world: World, look: Snapshot, plan: ShowPlan) -> float | None:
    seen = look.seen
    body = plan_body((seen.namespace, seen.name, seen.uid), plan.name, plan.text)
    try:
        with suppress(ConflictError):  # shown before a crash: its name carries the plan's digest
            await world.client.create(paths.config_maps(seen.namespace), body)
    except RejectedError as error:
        return await _rest(world, look, _not_shown(seen, plan, error))
    await write_status(world, look, plan)
    return AT_ONCE


def _not_shown(seen: Observed, plan: ShowPlan, error: RejectedError) -> Wait:
    # A quota, an admission policy, a plan of more than 1 MiB: nobody approves what he cannot read.
    said = f"the API server refuses ConfigMap {plan.name}, which would show the plan"
    message = f"{said}: {error.message}; it is tried again every 30 seconds"
    human = "whoever may change what the API server refuses"
    until = seen.now + SOON
    return Wait(Phase.AWAITING_APPROVAL, "PlanNotShown", message, until=until, human=human)


async def _rest(world: World, look: Snapshot, rest: Rest) -> float | None:
    if isinstance(rest, Ignore):
        return None
    await write_status(world, look, rest)
    if look.seen.leaving_since is not None:
        return LEAVING
    if isinstance(rest, Hold) and rest.reason == "JobNameTaken":
        return SOON
    until = rest.until if isinstance(rest, Wait) else due_at(look.seen)
    return None if until is None else max(until - look.seen.now, 0.05)


def _path(seen: Observed) -> str:
    return paths.migration(seen.namespace, seen.name)
