"""Workloads of the application: waited for, measured, and drained on the way back."""

from typing import Final

from whimbrel.machine.decisions import Decision, NextAttempt, ScaleWorkload, Wait
from whimbrel.machine.release.traffic import POLLING
from whimbrel.machine.release.window import changed, is_open_at, turned_back
from whimbrel.machine.runs import advanced, at_segment
from whimbrel.machine.segments import PHASES
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.strategy import BlueGreen, Side
from whimbrel.model.release.traffic import WorkloadSeen
from whimbrel.model.release.workloads import WorkloadRef
from whimbrel.model.spec import Spec
from whimbrel.model.status import Phase, RunStatus, ScaledStatus

SLOWLY: Final = 10.0  # seconds between two looks at what a person deploys; events wake earlier


def rollout_goes_on(seen: Observed) -> Decision | None:
    """Wait until the named workloads run the new version everywhere."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, Segment.ROLLOUT):
        return None
    refs = spec.strategy.rolling.workload_refs if spec.strategy.rolling else ()
    return _awaited(seen, spec, run, [_missing(seen, ref, ref.image) for ref in refs])


def prepare_goes_on(seen: Observed) -> Decision | None:
    """Wait until green is there, as large as blue, and alone behind the preview Service."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, Segment.PREPARE):
        return None
    options = spec.strategy.blue_green
    assert options is not None  # noqa: S101  # only BlueGreen has this segment
    ref = options.green.workload_ref
    missing = [_missing(seen, ref, ref.image), _too_small(seen, options), _preview(seen, options)]
    return _awaited(seen, spec, run, missing)


def _awaited(seen: Observed, spec: Spec, run: RunStatus, missing: list[str]) -> Decision:
    """Go on where nothing is missing. No time-out: who deploys may do so next week."""
    failing = [text.removeprefix(_FAILING) for text in missing if text.startswith(_FAILING)]
    if failing:
        return NextAttempt(turned_back(seen, spec, run, "; ".join(failing)), "a rollout failed")
    left = "; ".join(text for text in missing if text)
    if not left:
        return NextAttempt(advanced(seen, run, spec), "the workloads are ready")
    told = f"the schema is ready for the new version; waits for {left}"
    return Wait(
        PHASES[run.segment],
        str(PHASES[run.segment]),
        told,
        until=seen.now + SLOWLY,
        human="whoever deploys the new version",
        ready=True,
    )


_FAILING: Final = "!"


def _missing(seen: Observed, ref: WorkloadRef, image: str) -> str:
    """Return what a workload still lacks, "" for nothing; a mark in front of what will not come."""
    found = seen.workloads.get(ref.told())
    if found is None:
        return f"{ref.told()}, which does not exist yet"
    if image and image not in found.images:
        return f"{ref.told()} to run {image} (it runs {', '.join(sorted(found.images))})"
    if found.failing:
        return f"{_FAILING}{ref.told()}: {found.failing}"
    if not found.settled or not found.replicas:
        return f"{ref.told()}: {found.ready} of {found.replicas} Pods of its newest version ready"
    return ""


def _too_small(seen: Observed, options: BlueGreen) -> str:
    ref = options.green.workload_ref
    green, blue = seen.workloads.get(ref.told()), seen.traffic.ends.blue if seen.traffic else 0
    wanted = max(options.min_ready, blue)
    if green is None or not green.settled or green.ready >= wanted:
        return ""
    return f"{ref.told()} to have as many ready Pods as blue, {wanted}; it has {green.ready}"


def _preview(seen: Observed, options: BlueGreen) -> str:
    ends = seen.traffic.preview if seen.traffic else None
    if not options.preview_service:
        return ""
    if ends is None or not ends.only(Side.GREEN, 1):
        return f"Service {options.preview_service} to reach Pods of green, and no others"
    return ""


def blue_is_too_small(seen: Observed) -> Decision | None:
    """Before the traffic goes back: blue must be able to take it."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, Segment.SWITCH_BACK):
        return None
    options = spec.strategy.blue_green
    if options is None or not _shows_green(seen, options):
        return None
    blue = seen.workloads.get(options.blue.workload_ref.told())
    if blue is not None and blue.ready >= options.min_ready:
        return None
    return _scaled_up(seen, run, options, blue)


def _shows_green(seen: Observed, options: BlueGreen) -> bool:
    service = seen.traffic.service if seen.traffic else None
    return service is not None and dict(service.selector) == options.green.selector


def _scaled_up(
    seen: Observed, run: RunStatus, options: BlueGreen, blue: WorkloadSeen | None
) -> Decision:
    ref = options.blue.workload_ref
    told = f"{run.release.red}; the traffic stays at green, since {ref.told()} cannot take it"
    if blue is None:
        return _blocked(f"{told}: it does not exist; create it again", seen)
    if blue.replicas >= options.min_ready:
        return _blocked(f"{told} yet: {blue.ready} of {blue.replicas} Pods are ready", seen)
    if blue.owners:
        owners = ", ".join(blue.owners)
        return _blocked(f"{told}: it has {blue.replicas} replicas, as {owners} says", seen)
    green = seen.workloads.get(options.green.workload_ref.told())
    wanted = max(options.min_ready, green.replicas if green else 0)
    return _scaled(run, ref, blue, wanted)


def _blocked(told: str, seen: Observed) -> Wait:
    return Wait(
        Phase.ROLLING_BACK,
        "RollbackBlocked",
        told,
        until=seen.now + POLLING,
        human="whoever runs the old version",
    )


def drain_goes_on(seen: Observed) -> Decision | None:
    """Take the new version away before the schema it needs goes; else the schema stays."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, Segment.DRAIN):
        return None
    options = spec.strategy.blue_green
    if options is None:
        return _rolled_out_back(seen, spec, run)
    if _shows_green(seen, options):
        return _blocked("the new version is not drained: the traffic is at green again", seen)
    return _drained(seen, spec, run, options)


def _drained(seen: Observed, spec: Spec, run: RunStatus, options: BlueGreen) -> Decision:
    ref = options.green.workload_ref
    green = seen.workloads.get(ref.told())
    if green is None or not (green.replicas or green.pods):
        return NextAttempt(at_segment(seen, run, spec, Segment.ROLLBACK), "green is drained")
    if green.replicas and green.owners:
        return NextAttempt(_stays(seen, spec, run, ref, green), "green cannot be drained")
    return _emptied(seen, run, options, green)


def _emptied(seen: Observed, run: RunStatus, options: BlueGreen, green: WorkloadSeen) -> Decision:
    ref = options.green.workload_ref
    end = unix(run.release.since) + (options.drain if run.release.switched else 0.0)
    if green.replicas and seen.now >= end:
        return _scaled(run, ref, green, 0)
    told = f"{ref.told()} is drained before the schema goes back: {green.pods} Pods left"
    until = end if green.replicas else seen.now + POLLING
    return Wait(Phase.ROLLING_BACK, "RollingBack", told, until=until)


def _stays(
    seen: Observed, spec: Spec, run: RunStatus, ref: WorkloadRef, green: WorkloadSeen
) -> RunStatus:
    owners = ", ".join(green.owners)
    told = (
        f"the schema stays as the new version needs it: {ref.told()} still runs, and its replicas "
        f"are stated by {owners}; take the new version away there, then "
        f"whimbrel rollback {seen.name} -n {seen.namespace}"
    )
    return at_segment(seen, changed(run, stays=told), spec, Segment.ABORT)


def _rolled_out_back(seen: Observed, spec: Spec, run: RunStatus) -> Decision:
    """Of a rolling release the same workload runs both versions: whoever deploys puts one back."""
    refs = spec.strategy.rolling.workload_refs if spec.strategy.rolling else ()
    unnamed = [ref.told() for ref in refs if not ref.image]
    if unnamed:
        told = (
            f"the schema stays as the new version needs it: {', '.join(unnamed)} may run it, "
            "which cannot be told without strategy.rolling.workloadRefs[].image"
        )
        stays = changed(run, stays=told)
        return NextAttempt(at_segment(seen, stays, spec, Segment.ABORT), "nobody knows who runs it")
    running = [ref for ref in refs if _runs(seen, ref)]
    if not running:
        return NextAttempt(at_segment(seen, run, spec, Segment.ROLLBACK), "the new version is gone")
    undo = "; ".join(
        f"kubectl rollout undo -n {seen.namespace} {ref.told().lower()}" for ref in running
    )
    told = f"{run.release.red}; the schema goes back as soon as the new version is gone: {undo}"
    return _blocked(told, seen)


def _runs(seen: Observed, ref: WorkloadRef) -> bool:
    found = seen.workloads.get(ref.told())
    return found is not None and (ref.image in found.images or not found.settled)


def _scaled(run: RunStatus, ref: WorkloadRef, found: WorkloadSeen, wanted: int) -> Decision:
    """Scale; what it was before is in status first."""
    if any((each.kind, each.name) == (ref.kind, ref.name) for each in run.release.scaled):
        return ScaleWorkload(str(ref.kind), ref.name, wanted)
    before = ScaledStatus(kind=ref.kind, name=ref.name, replicas=found.replicas)
    news = changed(run, scaled=(*run.release.scaled, before))
    return NextAttempt(news, f"{ref.told()} is scaled to {wanted}")
