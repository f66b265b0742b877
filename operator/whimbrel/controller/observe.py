"""What is true now, read live. Watches are only hints: nothing here comes from a cache."""

import hashlib
import logging
from dataclasses import dataclass, replace
from typing import Any, Final

from whimbrel.controller import paths
from whimbrel.controller.client import ApiError, RejectedError
from whimbrel.controller.release.measured import with_measurements
from whimbrel.controller.release.raw import check_job_seen
from whimbrel.controller.release.traffic import with_release
from whimbrel.controller.seen import job_seen, object_seen, pod_seen
from whimbrel.controller.world import Key, World
from whimbrel.machine import names
from whimbrel.machine.neighbours import keeps_us_waiting
from whimbrel.machine.segments import PROBES
from whimbrel.model.observed import JobSeen, Observed, PodSeen
from whimbrel.model.plan import Segment
from whimbrel.model.release.checked import CheckStatus, read_checks_line
from whimbrel.model.result import decode_result
from whimbrel.model.status import RunState

log = logging.getLogger(__name__)
Body = dict[str, Any]
BEGIN: Final = "-----BEGIN WHIMBREL PLAN-----\n"
END: Final = "\n-----END WHIMBREL PLAN-----"


@dataclass(frozen=True)
class Snapshot:
    """One look at one object.

    Attributes:
        raw: The object as it came; its resourceVersion guards every write.
    """

    raw: Body
    seen: Observed


async def observe(world: World, key: Key) -> Snapshot | None:
    """Return the object with its Jobs and Pods as they are now, or None when it is gone."""
    namespace, name = key
    raw = await world.client.get(paths.migration(namespace, name))
    if raw is None:
        return None
    seen = object_seen(raw, world.clock())
    label = names.object_label(name, seen.uid)
    selector = f"{names.OBJECT_LABEL}={label}"
    # Jobs before Pods: a Job that shows its end then has its Pod's end in the second answer.
    jobs = await world.client.list(paths.jobs(namespace), selector)
    pods = await world.client.list(paths.pods(namespace), selector)
    seen = _with_children(world, seen, jobs, pods)
    return Snapshot(raw, await _with_surroundings(world, seen))


def _with_children(
    world: World, seen: Observed, raw_jobs: list[Body], raw_pods: list[Body]
) -> Observed:
    raw_pods = sorted(raw_pods, key=lambda raw: str(raw["metadata"]["creationTimestamp"]))
    pods = [pod for raw in raw_pods if (pod := pod_seen(raw))]
    jobs: list[JobSeen] = [job for raw in raw_jobs if (job := job_seen(raw, pods))]
    known = {str(raw["metadata"]["uid"]) for raw in raw_pods}
    label = names.object_label(seen.name, seen.uid)
    gone: list[PodSeen] = [
        pod for uid, (owner, pod) in world.ended.items() if owner == label and uid not in known
    ]
    return replace(
        seen,
        jobs=tuple(jobs),
        pods=(*pods, *gone),
        check_jobs=tuple(each for raw in raw_jobs if (each := check_job_seen(raw, raw_pods))),
        cluster=world.cluster,
        image=world.settings.image,
    )


async def _with_surroundings(world: World, seen: Observed) -> Observed:
    gone, hidden = await _look_for_holder(world, seen)
    seen = with_measurements(world.measured, await with_release(world.client, seen))
    return replace(
        seen,
        live=await _live(world, seen),
        reads_logs=world.settings.pod_logs,
        namespace_leaving=await _namespace_leaves(world, seen),
        holder_gone=gone,
        holder_hidden=hidden,
        neighbours=await _neighbours(world, seen),
        plan_text=await _plan_text(world, seen),
    )


async def _namespace_leaves(world: World, seen: Observed) -> bool:
    if seen.leaving_since is None:
        return False
    raw = await world.client.get(paths.namespace(seen.namespace))
    return raw is None or bool(raw["metadata"].get("deletionTimestamp"))


async def _look_for_holder(world: World, seen: Observed) -> tuple[bool, bool]:
    """Return whether the holder's object is gone, and whether that cannot be seen from here."""
    run = seen.status.run
    holder = run.holder if run else None
    if holder is None or holder.cluster != world.cluster:
        return False, False
    try:
        raw = await world.client.get(paths.migration(holder.namespace, holder.name))
    except RejectedError:
        return False, True  # the chart's `namespaces` end our rights before that one
    return raw is None or raw["metadata"]["uid"] != holder.uid, False


async def _neighbours(world: World, seen: Observed) -> tuple[str, ...]:
    """Return who works with the same Secret, where that decides whether we start a Job."""
    run, spec = seen.status.run, seen.spec
    starts = run is not None and run.state is RunState.OPEN and seen.current_job() is None
    if spec is None or not starts:
        return ()
    selector = f"{names.DATABASE_LABEL}={names.database_label(spec.database)}"
    raw_jobs = await world.client.list(paths.jobs(seen.namespace), selector)
    raw_pods = await world.client.list(paths.pods(seen.namespace), selector)
    pods = [pod for raw in raw_pods if (pod := pod_seen(raw))]
    jobs = [job for raw in raw_jobs if (job := job_seen(raw, pods))]
    return tuple(sorted({job.of for job in jobs if keeps_us_waiting(job, seen)}))


async def _live(world: World, seen: Observed) -> tuple[CheckStatus, ...]:
    """Return the checks as the last line of the probe that runs says."""
    run, job = seen.status.run, seen.current_job()
    if run is None or run.segment not in PROBES or not world.settings.pod_logs:
        return ()
    if job is None or job.pod is None or not job.pod.working:
        return ()
    return read_checks_line(await _log_of(world, seen, job.pod, lines=1))


async def _plan_text(world: World, seen: Observed) -> str | None:
    run, gate = seen.status.run, seen.status.gate
    shown = gate is not None and gate.token
    if run is None or run.segment is not Segment.APPROVE or shown or not world.settings.pod_logs:
        return None
    for pod in seen.pods:
        result = decode_result(pod.message or "")
        if result and result.plan_digest == run.plan_digest and not result.plan:
            return plan_in_log(await _log_of(world, seen, pod), result.plan_sha256)
    return None


async def _log_of(world: World, seen: Observed, pod: PodSeen, lines: int = 0) -> str:
    """Return a log, or "": what is only shown stops no turn when a kubelet does not answer."""
    try:
        path = f"{paths.pods(seen.namespace)}/{pod.name}/log"
        return await world.client.text(path, lines) or ""
    except (ApiError, TimeoutError) as error:
        log.warning("the log of Pod %s cannot be read now: %r", pod.name, error)
        world.metrics.errors.labels("PodLog").inc()
        return ""


def plan_in_log(log: str, sha256: str) -> str | None:
    """Return the plan between the markers if its digest is the one of the termination message."""
    _, begin, rest = log.partition(BEGIN)
    text, end, _ = rest.partition(END)
    if not begin or not end:
        return None
    return text if hashlib.sha256(text.encode()).hexdigest() == sha256 else None
