"""The active Service: whose it is, and the one write that switches it."""

from collections.abc import Mapping
from typing import Final

from whimbrel.machine.decisions import Decision, SwitchService, Wait
from whimbrel.machine.names import MANAGED_ANNOTATION
from whimbrel.machine.release.window import is_open_at
from whimbrel.machine.runs import is_good, was_rolled_back
from whimbrel.machine.segments import AFTER_MIGRATE, PHASES
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.strategy import BlueGreen, Side
from whimbrel.model.release.traffic import ServiceSeen
from whimbrel.model.status import Phase, RunState, RunStatus

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


def no_longer_ours(seen: Observed, options: BlueGreen, run: RunStatus) -> Wait | None:
    """Write nothing to a Service that was ours when the run began, and is not any more."""
    problem = _problem(seen, options)
    if problem is None:
        return None
    until, human = seen.now + REFUSED_AGAIN, "whoever owns the Service"
    ready = run.segment in AFTER_MIGRATE
    return Wait(PHASES[run.segment], *problem, until=until, human=human, ready=ready)


def selector_set(
    run: RunStatus, service: ServiceSeen, side: Side, selector: Mapping[str, str]
) -> SwitchService:
    """Return the write of a whole selector, marked with the attempt that makes it."""
    return SwitchService(service.name, side, selector, service.version, mark_of(run))


def mark_of(run: RunStatus) -> str:
    """Return what the newest write of a run leaves at the Service."""
    return f"{run.id}/{run.attempt}/{run.release.writes}"


def late_write(run: RunStatus, service: ServiceSeen) -> SwitchService | None:
    """Return a write that changes nothing but the Service's version, or None.

    A leader that was stopped between the intent and its write would else carry it out later, when
    the run is on its way back and green is gone.
    """
    if run.release.version != service.version:
        return None
    return selector_set(run, service, Side.BLUE, service.selector)


def end_side_is_lost(seen: Observed) -> Decision | None:
    """Give the Service its selector back where a release rests and it has none at all.

    A cluster that was rebuilt from Git has Services without a selector. One that shows another
    side was moved by somebody, and that is not undone after the run.
    """
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or spec.strategy.blue_green is None or seen.traffic is None:
        return None
    service, options, side = seen.traffic.service, spec.strategy.blue_green, _end_side(run)
    if side is None or service is None or service.selector or seen.leaving_since is not None:
        return None
    if _problem(seen, options) is not None:
        return None
    return selector_set(run, service, side, options.version(side).selector)


def _end_side(run: RunStatus) -> Side | None:
    """Return where the traffic is of a release that is over, or goes back, or waits for a person.

    None: the run has not come so far that it knows, or it is on its way and sets the side itself.
    """
    if run.goal is Segment.ROLLBACK:
        return Side.BLUE if run.segment is not Segment.SWITCH_BACK else None
    over, release = run.state is RunState.CLOSED, run.release
    if is_good(run) or (release.switched and (over or release.red)):
        return Side.GREEN
    return Side.BLUE if (was_rolled_back(run) if over else release.red) else None


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
