"""Workloads of the application: waited for, measured, and drained on the way back."""

from dataclasses import dataclass
from typing import Final

from whimbrel.machine.decisions import Decision, NextAttempt, ScaleWorkload, Wait
from whimbrel.machine.release.traffic import POLLING, finds_too_few, size_of_blue
from whimbrel.machine.release.window import at, changed, turned_back
from whimbrel.machine.runs import advanced, at_segment
from whimbrel.machine.segments import PHASES, rolled, segments
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.strategy import BlueGreen, Side
from whimbrel.model.release.traffic import WorkloadSeen
from whimbrel.model.release.workloads import WorkloadRef
from whimbrel.model.spec import Spec
from whimbrel.model.status import Phase, RunStatus, ScaledStatus

ENDING: Final = 120.0  # seconds beside `drain` until somebody has to look at Pods that do not end
SLOWLY: Final = 10.0  # seconds between two looks at what a person deploys; events wake earlier


def rollout_goes_on(seen: Observed) -> Decision | None:
    """Wait until the named workloads run the new version everywhere."""
    here = at(seen, Segment.ROLLOUT)
    if here is None:
        return None
    run, spec = here
    return _awaited(seen, spec, run, [_missing(seen, ref) for ref in rolled(spec)])


def prepare_goes_on(seen: Observed) -> Decision | None:
    """Wait until green is there, as large as blue, and alone behind the preview Service."""
    here = at(seen, Segment.PREPARE)
    if here is None:
        return None
    run, spec = here
    options = spec.strategy.blue_green
    assert options is not None  # noqa: S101  # only BlueGreen has this segment
    ref = options.green.workload_ref
    missing = [_missing(seen, ref), _too_small(seen, options), _preview(seen, options)]
    return _awaited(seen, spec, run, [*missing, *_unfound(seen, options)])


@dataclass(frozen=True)
class Missing:
    """What the new version still lacks.

    Attributes:
        hopeless: Kubernetes has given it up; waiting does not bring it.
    """

    text: str
    hopeless: bool = False


def _awaited(seen: Observed, spec: Spec, run: RunStatus, missing: list[Missing | None]) -> Decision:
    """Go on where nothing is missing. No time-out: who deploys may do so next week."""
    left = [each for each in missing if each is not None]
    failed = "; ".join(each.text for each in left if each.hopeless)
    if failed:
        return NextAttempt(turned_back(seen, spec, run, failed), "a rollout failed")
    if not left:
        return NextAttempt(advanced(seen, run, spec), "the workloads are ready")
    told = "the schema is ready for the new version; waits for "
    told += "; ".join(each.text for each in left)
    return Wait(
        PHASES[run.segment],
        str(PHASES[run.segment]),
        told,
        until=seen.now + SLOWLY,
        human="whoever deploys the new version",
        ready=True,
    )


def _missing(seen: Observed, ref: WorkloadRef) -> Missing | None:
    """Return what a workload still lacks."""
    found, name = seen.workloads.get(ref.told()), ref.told()
    if found is None:
        return Missing(f"{name}, which does not exist yet")
    if ref.image and ref.image not in found.images:
        return Missing(f"{name} to run {ref.image} (it runs {', '.join(sorted(found.images))})")
    if found.failing:
        return Missing(f"{name}: {found.failing}", hopeless=True)
    if not found.settled or not found.replicas:
        ready = f"{found.ready} of {found.replicas}"
        return Missing(f"{name}: {ready} Pods of its newest version ready")
    return None


def _too_small(seen: Observed, options: BlueGreen) -> Missing | None:
    ref = options.green.workload_ref
    green, wanted = seen.workloads.get(ref.told()), size_of_blue(seen, options)
    if green is None or not green.settled or green.ready >= wanted:
        return None
    size = f"as many ready Pods as blue, {wanted}; it has {green.ready}"
    return Missing(f"{ref.told()} to have {size}")


def _unfound(seen: Observed, options: BlueGreen) -> list[Missing]:
    """Return which selectors find too few Pods; a wrong one of blue would show in the way back."""
    least = {Side.GREEN: size_of_blue(seen, options), Side.BLUE: options.min_ready}
    told = (finds_too_few(seen, options, side, many) for side, many in least.items())
    return [Missing(each) for each in told if each]


def _preview(seen: Observed, options: BlueGreen) -> Missing | None:
    ends = seen.traffic.preview if seen.traffic else None
    if not options.preview_service or (ends is not None and ends.only(Side.GREEN, 1)):
        return None
    return Missing(f"Service {options.preview_service} to reach Pods of green, and no others")


def blue_is_too_small(seen: Observed) -> Decision | None:
    """Before the traffic goes back: blue must be able to take it."""
    here = at(seen, Segment.SWITCH_BACK)
    if here is None:
        return None
    run, spec = here
    options = spec.strategy.blue_green
    if options is None or run.release.stable_since:
        return None  # blue has the traffic: its endpoints say whether that goes on
    blue = seen.workloads.get(options.blue.workload_ref.told())
    stays = "the traffic stays at green" if _shows_green(seen, options) else "green is not drained"
    if found := finds_too_few(seen, options, Side.BLUE, options.min_ready):
        return _blocked(f"{run.release.red}; {stays}, and waits for {found}", seen)
    if blue is not None and blue.ready >= options.min_ready:
        return None
    return _scaled_up(seen, run, options, stays)


def _shows_green(seen: Observed, options: BlueGreen) -> bool:
    service = seen.traffic.service if seen.traffic else None
    return service is not None and dict(service.selector) == options.green.selector


def _scaled_up(seen: Observed, run: RunStatus, options: BlueGreen, stays: str) -> Decision:
    ref = options.blue.workload_ref
    blue = seen.workloads.get(ref.told())
    told = f"{run.release.red}; {stays}, since {ref.told()} cannot take the traffic"
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
    here = at(seen, Segment.DRAIN)
    if here is None:
        return None
    run, spec = here
    options = spec.strategy.blue_green
    if options is None:
        return _rolled_out_back(seen, spec, run)
    if _shows_green(seen, options):
        told = (
            "the new version is not drained: somebody has moved the traffic to green again; to "
            f"move it back and go on: whimbrel rollback {seen.name} -n {seen.namespace}"
        )
        return _blocked(told, seen)
    return _drained(seen, spec, run, options)


def _drained(seen: Observed, spec: Spec, run: RunStatus, options: BlueGreen) -> Decision:
    ref = options.green.workload_ref
    green, left = seen.workloads.get(ref.told()), _left_of_green(seen, options)
    if green is None or not green.replicas:
        over = NextAttempt(at_segment(seen, run, spec, Segment.ROLLBACK), "green is drained")
        return _ending(seen, run, options, left) if left else over
    if green.owners:
        return NextAttempt(_stays(seen, spec, run, ref, green), "green cannot be drained")
    end = unix(run.release.since) + (options.drain if run.release.switched else 0.0)
    if seen.now >= end:
        return _scaled(run, ref, green, 0)
    return Wait(Phase.ROLLING_BACK, "RollingBack", _drains(ref, left), until=end)


def _left_of_green(seen: Observed, options: BlueGreen) -> int:
    green = seen.workloads.get(options.green.workload_ref.told())
    found = seen.traffic.green_pods if seen.traffic else 0
    return max(found, green.pods if green else 0)


def _drains(ref: WorkloadRef, left: int) -> str:
    return f"{ref.told()} is drained before the schema goes back: {left} Pods left"


def _ending(seen: Observed, run: RunStatus, options: BlueGreen, left: int) -> Wait:
    """Wait for Pods that were told to end; whoever has lost a node has to say so."""
    told, human = _drains(options.green.workload_ref, left), ""
    if seen.now >= unix(run.release.since) + options.drain + ENDING:
        labels = ",".join(f"{key}={value}" for key, value in options.green.selector.items())
        human = "whoever runs the new version"
        told += f", which do not end: kubectl get pods -n {seen.namespace} -l {labels} -o wide"
    until = seen.now + POLLING
    return Wait(Phase.ROLLING_BACK, "RollingBack", told, until=until, human=human)


def new_version_is_back(seen: Observed) -> Decision | None:
    """Drain again before each attempt at the schema where the new version has come back.

    Between two of them may be hours, or a person's answer.
    """
    here = at(seen, Segment.ROLLBACK)
    if here is None:
        return None
    run, spec = here
    if seen.current_job() is not None or Segment.DRAIN not in segments(spec, run.goal):
        return None
    first = segments(spec, run.goal)[0]
    if _is_gone(seen, spec):
        return None
    return NextAttempt(at_segment(seen, run, spec, first), "the new version is back")


def _is_gone(seen: Observed, spec: Spec) -> bool:
    options = spec.strategy.blue_green
    if options is None:
        return not any(_runs(seen, ref) or not ref.image for ref in rolled(spec))
    green = seen.workloads.get(options.green.workload_ref.told())
    empty = not (green and green.replicas) and not _left_of_green(seen, options)
    return empty and not _shows_green(seen, options)


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
    refs = rolled(spec)
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
    if found is None:
        return False
    # More Pods than it has: some of the version before have not ended yet.
    return ref.image in found.images or not found.settled or found.pods > found.replicas


def _scaled(run: RunStatus, ref: WorkloadRef, found: WorkloadSeen, wanted: int) -> Decision:
    """Scale; what it was before is in status first."""
    if any((each.kind, each.name) == (ref.kind, ref.name) for each in run.release.scaled):
        return ScaleWorkload(str(ref.kind), ref.name, wanted, found.version)
    before = ScaledStatus(kind=ref.kind, name=ref.name, replicas=found.replicas)
    news = changed(run, scaled=(*run.release.scaled, before))
    return NextAttempt(news, f"{ref.told()} is scaled to {wanted}")
