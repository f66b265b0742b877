"""The active Service: who may switch it, the switch, and what holds afterwards."""

from typing import Final

from whimbrel.machine.decisions import Decision, Hold, NextAttempt, SwitchService, Wait
from whimbrel.machine.names import MANAGED_ANNOTATION
from whimbrel.machine.release.window import changed, in_release, is_open_at, turned_back
from whimbrel.machine.runs import advanced, is_good
from whimbrel.machine.segments import AFTER_MIGRATE, PHASES
from whimbrel.machine.timestamps import precise, unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.strategy import BlueGreen, Side
from whimbrel.model.release.traffic import ServiceSeen, TrafficSeen
from whimbrel.model.spec import Spec
from whimbrel.model.status import Phase, RunStatus

MOST_WRITES: Final = 5  # of the selector in one direction, where none was read back
POLLING: Final = 2.0  # seconds between two looks at EndpointSlices
VERIFYING: Final = 60.0  # seconds beside propagationDelay until an unverified switch goes back
REFUSED_AGAIN: Final = 30.0


def service_is_not_ours(seen: Observed) -> Decision | None:
    """Refuse a Service that we may not switch, before anything is written anywhere."""
    run, spec = seen.status.run, seen.spec
    options = spec.strategy.blue_green if spec is not None else None
    before = (Segment.LOOK, Segment.APPROVE, Segment.BASELINE, Segment.MIGRATE)
    begins = is_open_at(run, *before) or _goes_back_later(run)
    if options is None or not begins or seen.traffic is None or seen.current_job() is not None:
        return None
    problem = _problem(seen, options)
    if not problem:
        return None
    reason, told = problem
    message = f"nothing was done: {told}"
    until = seen.now + REFUSED_AGAIN
    # A Service may come with the same `kubectl apply` or wave; a wrong one does not heal by itself.
    if reason == "ServiceMissing" and run is not None and seen.now < unix(run.deadline):
        return Wait(Phase.PREFLIGHT, reason, message, until=until)
    return Wait(Phase.FAILED, reason, message, until=until, stalled=True)


def _goes_back_later(run: RunStatus | None) -> bool:
    """Tell whether a way back begins that is no part of the release's own run."""
    return is_open_at(run, Segment.SWITCH_BACK) and run is not None and not run.release.steps


def _problem(seen: Observed, options: BlueGreen) -> tuple[str, str] | None:
    name, service = options.active_service, seen.traffic.service if seen.traffic else None
    where = f"-n {seen.namespace} service/{name}"
    if service is None:
        return "ServiceMissing", f"Service {name} does not exist in namespace {seen.namespace}"
    if service.managed_by != seen.name:
        said = f"it says {service.managed_by!r}" if service.managed_by else "it has none"
        return "ServiceNotManaged", (
            f"Service {name} needs the annotation {MANAGED_ANNOTATION}: {seen.name} before its "
            f"traffic may be moved ({said}): kubectl annotate {where} "
            f"{MANAGED_ANNOTATION}={seen.name} --overwrite"
        )
    if service.owners:
        return "SelectorOwned", (
            f"spec.selector of Service {name} is stated by {', '.join(service.owners)} and would "
            "be set back there with the next sync; remove `selector` from the Service in Git, "
            "then the operator alone sets it"
        )
    return None


def service_has_no_side(seen: Observed) -> Decision | None:
    """Give a Service without any selector to blue, before the first switch.

    Only once the ledger has said that this release was not complete already: in a cluster that
    was rebuilt from Git the traffic belongs to green (`end_side_is_lost`).
    """
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, Segment.PREPARE):
        return None
    options, traffic = _parts(seen, spec)
    service = traffic.service
    if service is None:
        return _lost_service(options, run)
    if service.selector:
        return None
    return SwitchService(service.name, Side.BLUE, options.blue.selector, service.version)


def switch_goes_on(seen: Observed) -> Decision | None:
    """Switch the Service to green and look until that is true everywhere, or go back."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, Segment.SWITCH):
        return None
    return _reach(seen, spec, run, Side.GREEN)


def switch_back_goes_on(seen: Observed) -> Decision | None:
    """Give the traffic back to blue; whether blue can take it was looked at before."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, Segment.SWITCH_BACK):
        return None
    service = _parts(seen, spec)[1].service
    green = _parts(seen, spec)[0].green.selector
    if not run.release.writes and service is not None and dict(service.selector) != green:
        return NextAttempt(advanced(seen, run, spec), "the traffic is not at green")
    return _reach(seen, spec, run, Side.BLUE)


def _reach(seen: Observed, spec: Spec, run: RunStatus, side: Side) -> Decision:
    options, traffic = _parts(seen, spec)
    service = traffic.service
    if service is None:
        return _lost_service(options, run)
    if dict(service.selector) != options.version(side).selector:
        return _write(seen, run, options, service, side)
    return _verify(seen, spec, run, side)


def _write(
    seen: Observed, run: RunStatus, options: BlueGreen, service: ServiceSeen, side: Side
) -> Decision:
    """Return the write of the selector; its intent is in status before, with what it replaces."""
    release = run.release
    if release.writes and release.version == service.version:
        selector = options.version(side).selector
        return SwitchService(service.name, side, selector, service.version)
    if (release.reached and release.drift) or release.writes >= MOST_WRITES:
        return _drift(seen, service, side)
    news = {
        "writes": release.writes + 1,
        "drift": release.drift + release.reached,
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
    if side is Side.GREEN and not holds and seen.now >= late:
        why = f"the switch to green could not be verified: {told}"
        return NextAttempt(turned_back(seen, spec, run, why), "not verified")
    until = unix(stable) + options.propagation_delay if holds else seen.now + POLLING
    return moving(run, side, told, until)


def moving(run: RunStatus, side: Side, told: str, until: float) -> Wait:
    """Return what a switch shows while it goes on."""
    ready = run.segment in AFTER_MIGRATE
    phase = Phase.SWITCHING if ready else Phase.ROLLING_BACK
    return Wait(phase, str(phase), f"the traffic goes to {side}: {told}", until=until, ready=ready)


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
    run, spec = seen.status.run, seen.spec
    after = (Segment.POST_SWITCH, Segment.SOAK, Segment.FINISH)
    if run is None or spec is None or not is_open_at(run, *after) or run.release.red:
        return None
    if spec.strategy.blue_green is None:
        return None
    options, traffic = _parts(seen, spec)
    if traffic.service is None:
        return _lost_service(options, run)
    if dict(traffic.service.selector) != options.green.selector:
        return _write(seen, run, options, traffic.service, Side.GREEN)
    if not run.release.reached:
        return NextAttempt(changed(run, reached=True), "the selector is as wanted again")
    return _broken(seen, spec, run)


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


def end_side_is_lost(seen: Observed) -> Decision | None:
    """Give the Service its selector where a finished release stands and it has none at all.

    A cluster that was rebuilt from Git has Services without a selector. One that shows another
    side was moved by somebody, and that is not undone after the run.
    """
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or spec.strategy.blue_green is None or seen.traffic is None:
        return None
    service = seen.traffic.service
    if not is_good(run) or service is None or service.selector or seen.leaving_since is not None:
        return None
    if _problem(seen, spec.strategy.blue_green) is not None:
        return None
    green = spec.strategy.blue_green.green.selector
    return SwitchService(service.name, Side.GREEN, green, service.version)


def active_side(seen: Observed) -> str:
    """Return the side that the Service shows; "" for neither."""
    spec, traffic = seen.spec, seen.traffic
    if spec is None or spec.strategy.blue_green is None:
        return ""
    if traffic is None or traffic.service is None:
        return seen.status.active
    selector = dict(traffic.service.selector)
    sides = (each for each in Side if spec.strategy.blue_green.version(each).selector == selector)
    return next(sides, "")


def between_sides(seen: Observed) -> bool:
    """Tell whether the Service may be on its way from one side to the other right now."""
    run = seen.status.run
    return in_release(run) and is_open_at(run, Segment.SWITCH, Segment.SWITCH_BACK)


def _parts(seen: Observed, spec: Spec) -> tuple[BlueGreen, TrafficSeen]:
    options = spec.strategy.blue_green
    assert options is not None  # noqa: S101  # only BlueGreen has these segments
    return options, seen.traffic or TrafficSeen()
