"""The traffic: the switch of the active Service, and what holds afterwards."""

from typing import Final

from whimbrel.machine.decisions import Decision, Hold, NextAttempt, Wait
from whimbrel.machine.release.service import (
    late_write,
    mark_of,
    no_longer_ours,
    selector_set,
)
from whimbrel.machine.release.window import at, changed, is_open_at, turned_back
from whimbrel.machine.runs import advanced, at_segment
from whimbrel.machine.segments import AFTER_MIGRATE, PHASES
from whimbrel.machine.timestamps import precise, unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.strategy import BlueGreen, Side
from whimbrel.model.release.traffic import ServiceSeen, TrafficSeen
from whimbrel.model.spec import Spec
from whimbrel.model.status import Phase, RunStatus

MOST_WRITES: Final = 5  # of the selector in one direction, where none was seen there
POLLING: Final = 2.0  # seconds between two looks at EndpointSlices
VERIFYING: Final = 60.0  # seconds beside propagationDelay until an unverified switch goes back


def service_has_no_side(seen: Observed) -> Decision | None:
    """Give a Service without any selector to blue, before the first switch.

    Only once the ledger has said that this release was not complete already: in a cluster that
    was rebuilt from Git the traffic belongs to green (`end_side_is_lost`).
    """
    here = at(seen, Segment.PREPARE, Segment.PRE_SWITCH, Segment.SWITCH_GATE)
    if here is None:
        return None
    run, spec = here
    options, traffic = _parts(seen, spec)
    service = traffic.service
    if service is None:
        return _lost_service(options, run)
    if service.selector or finds_too_few(seen, options, Side.BLUE, options.min_ready):
        return None
    given = selector_set(run, service, Side.BLUE, options.blue.selector)
    return no_longer_ours(seen, options, run) or given


def switch_goes_on(seen: Observed) -> Decision | None:
    """Switch the Service to green and look until that is true everywhere, or go back."""
    here = at(seen, Segment.SWITCH)
    return _reach(seen, *here, Side.GREEN) if here is not None else None


def switch_back_goes_on(seen: Observed) -> Decision | None:
    """Give the traffic back to blue; whether blue can take it was looked at before.

    Also where the Service shows blue already: green is drained only once blue has the traffic.
    """
    here = at(seen, Segment.SWITCH_BACK)
    return _reach(seen, *here, Side.BLUE) if here is not None else None


def _reach(seen: Observed, run: RunStatus, spec: Spec, side: Side) -> Decision:
    if spec.strategy.blue_green is None:
        told = f"the traffic goes to {side}: put spec.strategy.blueGreen back, which names both"
        return _moving(run, told, seen.now + VERIFYING, "whoever took the sides out of the spec")
    options, traffic = _parts(seen, spec)
    service = traffic.service
    if service is None:
        return _lost_service(options, run)
    if dict(service.selector) == options.version(side).selector:
        return late_write(run, service) or _verify(seen, spec, run, side)
    if side is Side.GREEN and not _is_ready(seen, options, size_of_blue(seen, options)):
        switched = run.release.writes > 0
        anew = at_segment(seen, changed(run, switched=switched), spec, Segment.PREPARE)
        return late_write(run, service) or NextAttempt(anew, "green is too small")
    return _write(seen, run, options, service, side)


def size_of_blue(seen: Observed, options: BlueGreen) -> int:
    """Return how many ready Pods green needs for the traffic: as many as blue has or asks for."""
    blue = seen.workloads.get(options.blue.workload_ref.told())
    ends = seen.traffic.ends.blue if seen.traffic else 0
    return max(options.min_ready, ends, blue.replicas if blue else 0)


def switch_told(seen: Observed, options: BlueGreen) -> str:
    """Return what the switch is known by, and what a way back would wait for: a sentence's end."""
    ref = options.blue.workload_ref
    blue, known = seen.workloads.get(ref.told()), ""
    if options.identity is None:
        known = "; where the traffic is, EndpointSlices alone say: blueGreen.identity is not given"
    if blue is not None and blue.ready >= options.min_ready:
        return known
    return f"{known}; a way back would have to wait for {ref.told()}, which has too few ready Pods"


def _is_ready(seen: Observed, options: BlueGreen, least: int) -> bool:
    green = seen.workloads.get(options.green.workload_ref.told())
    return green is not None and min(green.ready, green.found) >= least


def finds_too_few(seen: Observed, options: BlueGreen, side: Side, least: int) -> str:
    """Return what a selector lacks that does not find the ready Pods of its workload, or ""."""
    version = options.version(side)
    name = version.workload_ref.told()
    workload = seen.workloads.get(name)
    if workload is None or not workload.found < least <= workload.ready:
        return ""
    labels = ",".join(f"{key}={value}" for key, value in sorted(version.selector.items()))
    field = f"spec.strategy.blueGreen.{side}.selector ({labels})"
    return f"{field} to find {least} ready Pods of {name}; it finds {workload.found}"


def _write(
    seen: Observed, run: RunStatus, options: BlueGreen, service: ServiceSeen, side: Side
) -> Decision:
    """Return the write of the selector; its intent is in status before, with what it replaces."""
    release, refused = run.release, no_longer_ours(seen, options, run)
    if refused is not None:
        return refused
    if release.writes and release.version == service.version:
        return selector_set(run, service, side, options.version(side).selector)
    # Whoever is faster than our next look has changed what we wrote all the same.
    drifts = release.reached or (release.writes > 0 and service.mark == mark_of(run))
    if (drifts and release.drift) or release.writes >= MOST_WRITES:
        return _drift(seen, service, side)
    news = {
        "writes": release.writes + 1,
        "drift": release.drift + drifts,
        "reached": False,
        "version": service.version,
        "stable_since": "",
    }
    return NextAttempt(changed(run, **news), f"the Service goes to {side}")


def _drift(seen: Observed, service: ServiceSeen, side: Side) -> Hold:
    shown = ",".join(f"{key}={value}" for key, value in sorted(service.selector.items()))
    where = f"-n {seen.namespace} service/{service.name}"
    return Hold(
        "TrafficDrift",
        f"somebody else has changed the selector of Service {service.name} again, to "
        f"{shown or 'nothing'}; in this run it belongs to {side} and was put right once; now "
        "nothing more is written there; who does it: "
        f"kubectl get {where} -o yaml --show-managed-fields; when that has ended",
        command=f"whimbrel retry {seen.name} -n {seen.namespace}",
    )


def _verify(seen: Observed, spec: Spec, run: RunStatus, side: Side) -> Decision:
    options, traffic = _parts(seen, spec)
    holds = traffic.ends.only(side, options.min_ready)
    stable = run.release.stable_since
    if holds != bool(stable) or not run.release.reached:
        news = {"stable_since": precise(seen.now) if holds else "", "reached": True}
        return NextAttempt(changed(run, **news), "the selector is as wanted")
    if holds and seen.now >= unix(stable) + options.propagation_delay:
        return NextAttempt(advanced(seen, run, spec), f"verified: the traffic is at {side}")
    late = unix(run.release.since) + VERIFYING + options.propagation_delay
    told = _ends_told(traffic, options, side)
    told += switch_told(seen, options) if side is Side.GREEN else ""
    if side is Side.GREEN and not holds and seen.now >= late:
        why = f"the switch to green could not be verified: {told}"
        return NextAttempt(turned_back(seen, spec, run, why), "not verified")
    human = "" if holds or seen.now < late else "whoever runs the old version"
    if human:
        label = f"kubernetes.io/service-name={options.active_service}"
        told += f"; why: kubectl get endpointslices -n {seen.namespace} -l {label}"
    until = seen.now + POLLING
    if holds:
        until = min(until, unix(stable) + options.propagation_delay)
    return _moving(run, f"the traffic goes to {side}: {told}", until, human)


def _moving(run: RunStatus, told: str, until: float, human: str) -> Wait:
    """Return what a switch shows while it goes on."""
    ready = run.segment in AFTER_MIGRATE
    phase = Phase.SWITCHING if ready else Phase.ROLLING_BACK
    return Wait(phase, str(phase), told, until=until, ready=ready, human=human)


def _ends_told(traffic: TrafficSeen, options: BlueGreen, side: Side) -> str:
    ends = traffic.ends
    least = options.min_ready
    told = f"{ends.of(side)} of at least {least} ready Pods of {side} behind the Service"
    others = ends.blue + ends.green + ends.strangers - ends.of(side)
    return f"{told}, {others} of others" if others else told


def _lost_service(options: BlueGreen, run: RunStatus) -> Wait:
    told = f"Service {options.active_service} is gone; the run goes on when it is there again"
    human, ready = "whoever deleted the Service", run.segment in AFTER_MIGRATE
    return Wait(PHASES[run.segment], "ServiceMissing", told, human=human, ready=ready)


def traffic_holds(seen: Observed) -> Decision | None:
    """Watch over the switched Service until the run is over: put it right once, or go back."""
    here = at(seen, Segment.POST_SWITCH, Segment.SOAK, Segment.FINISH)
    if here is None:
        return None
    run, spec = here
    if spec.strategy.blue_green is None or _ends_now(seen, run):
        return None
    options, traffic = _parts(seen, spec)
    if traffic.service is None:
        return _lost_service(options, run)
    if dict(traffic.service.selector) != options.green.selector:
        return _moved_away(seen, spec, run, traffic.service)
    if not run.release.reached:
        return NextAttempt(changed(run, reached=True), "the selector is as wanted again")
    return _broken(seen, spec, run)


def _moved_away(seen: Observed, spec: Spec, run: RunStatus, service: ServiceSeen) -> Decision:
    options = _parts(seen, spec)[0]
    if _is_ready(seen, options, options.min_ready):
        return _write(seen, run, options, service, Side.GREEN)
    why = "somebody moved the traffic away from green, and green has no ready Pods any more"
    return NextAttempt(turned_back(seen, spec, run, why), "green cannot take the traffic")


def _ends_now(seen: Observed, run: RunStatus) -> bool:
    """Tell whether the Job that ends the run is there: whatever is wrong, another run mends it."""
    return run.segment is Segment.FINISH and seen.current_job() is not None


def _broken(seen: Observed, spec: Spec, run: RunStatus) -> Decision | None:
    """Go back when green has lost its Pods for longer than a change needs to be seen everywhere."""
    options, traffic = _parts(seen, spec)
    since = run.release.broken_since
    is_broken = not traffic.ends.only(Side.GREEN, options.min_ready)
    if is_broken != bool(since):
        news = precise(seen.now) if is_broken else ""
        return NextAttempt(changed(run, broken_since=news), "endpoints have changed")
    if not is_broken or seen.now < unix(since) + options.propagation_delay:
        return None
    why = f"the traffic is at green, but there are {_ends_told(traffic, options, Side.GREEN)}"
    return NextAttempt(turned_back(seen, spec, run, why), "green has lost its Pods")


def between_sides(seen: Observed) -> bool:
    """Tell whether the Service may be on its way from one side to the other right now."""
    return is_open_at(seen.status.run, Segment.SWITCH, Segment.SWITCH_BACK)


def _parts(seen: Observed, spec: Spec) -> tuple[BlueGreen, TrafficSeen]:
    options = spec.strategy.blue_green
    assert options is not None  # noqa: S101  # only BlueGreen has these segments
    return options, seen.traffic or TrafficSeen()
