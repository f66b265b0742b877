"""The controller's plan: the segments of a run follow from the spec and the run's goal alone."""

from typing import Final

from whimbrel.model.plan import Segment
from whimbrel.model.probed import probed
from whimbrel.model.release.health import Moment, checks_at
from whimbrel.model.release.strategy import StrategyType
from whimbrel.model.release.workloads import WorkloadRef
from whimbrel.model.spec import Gate, Spec
from whimbrel.model.status import Phase

Plan = tuple[Segment, ...]

# What a probe measures, or the controller itself; the names are those of the moments.
PROBES: Final = {Segment(moment.value): moment for moment in Moment}
# What the controller does itself: it writes Kubernetes objects, or waits for them.
CONTROLLED: Final = frozenset(
    {
        Segment.ROLLOUT,
        Segment.PREPARE,
        Segment.SWITCH_GATE,
        Segment.SWITCH,
        Segment.SWITCH_BACK,
        Segment.DRAIN,
    }
)
# In the order of a run.
PHASES: Final = {
    Segment.LOOK: Phase.PREFLIGHT,
    Segment.APPROVE: Phase.AWAITING_APPROVAL,
    Segment.BASELINE: Phase.PREFLIGHT,
    Segment.MIGRATE: Phase.MIGRATING,
    Segment.POST_MIGRATE: Phase.VERIFYING,
    Segment.ROLLOUT: Phase.VERIFYING,
    Segment.PREPARE: Phase.VERIFYING,
    Segment.PRE_SWITCH: Phase.VERIFYING,
    Segment.SWITCH_GATE: Phase.AWAITING_APPROVAL,
    Segment.SWITCH: Phase.SWITCHING,
    Segment.POST_SWITCH: Phase.SWITCHING,
    Segment.SOAK: Phase.SOAKING,
    Segment.FINISH: Phase.SOAKING,
    Segment.SWITCH_BACK: Phase.ROLLING_BACK,
    Segment.DRAIN: Phase.ROLLING_BACK,
    Segment.ROLLBACK: Phase.ROLLING_BACK,
    Segment.ABORT: Phase.MIGRATING,
}
# The schema that was asked for has been read back.
AFTER_MIGRATE: Final = frozenset(
    {
        Segment.POST_MIGRATE,
        Segment.ROLLOUT,
        Segment.PREPARE,
        Segment.PRE_SWITCH,
        Segment.SWITCH_GATE,
        Segment.SWITCH,
        Segment.POST_SWITCH,
        Segment.SOAK,
        Segment.FINISH,
    }
)


def segments(spec: Spec, goal: Segment = Segment.MIGRATE) -> Plan:
    """Return the segments of a run in order."""
    if goal is Segment.ROLLBACK and spec.strategy.type.shows_new_version:
        back = () if spec.strategy.blue_green is None else (Segment.SWITCH_BACK,)
        return (*back, Segment.DRAIN, Segment.ROLLBACK)
    if goal is not Segment.MIGRATE:
        return (goal,)
    before = [Segment.LOOK] if _needs_look(spec) else []
    if Gate.START in spec.approval.before:
        before.append(Segment.APPROVE)
    release = _release(spec)
    end = (Segment.FINISH,) if release else ()
    return (*before, *_made(spec, Segment.BASELINE), Segment.MIGRATE, *release, *end)


def following(spec: Spec, goal: Segment, segment: Segment) -> Segment:
    """Return the segment after another one, also where the spec has lost that one meanwhile."""
    plan, order = segments(spec, goal), list(PHASES)
    later = (each for each in plan if order.index(each) > order.index(segment))
    return next(later, plan[-1])


def has_release(spec: Spec) -> bool:
    """Tell whether a run goes on after its schema: its row in the ledger then stays open."""
    return segments(spec)[-1] is Segment.FINISH


def rolled(spec: Spec) -> tuple[WorkloadRef, ...]:
    """Return the workloads that a rolling release waits for."""
    return spec.strategy.rolling.workload_refs if spec.strategy.rolling is not None else ()


def needs_probe(spec: Spec, segment: Segment) -> bool:
    """Tell whether a moment has something that is measured in a Pod."""
    return bool(probed(spec, PROBES[segment]))


def _needs_look(spec: Spec) -> bool:
    # A baseline that is red must not refuse a database in which nothing is to be done.
    return Gate.START in spec.approval.before or bool(_made(spec, Segment.BASELINE))


def _release(spec: Spec) -> Plan:
    soak = (Segment.SOAK,) if spec.soak > 0 else ()
    return (*_made(spec, Segment.POST_MIGRATE), *_traffic(spec), *soak)


def _traffic(spec: Spec) -> Plan:
    match spec.strategy.type:
        case StrategyType.TRANSACTIONAL | StrategyType.CHECKPOINT:
            return ()
        case StrategyType.ROLLING:
            return (Segment.ROLLOUT,)
        case StrategyType.BLUE_GREEN:
            gate = (Segment.SWITCH_GATE,) if Gate.SWITCH in spec.approval.before else ()
            before = (Segment.PREPARE, *_made(spec, Segment.PRE_SWITCH), *gate)
            return (*before, Segment.SWITCH, *_made(spec, Segment.POST_SWITCH))


def _made(spec: Spec, segment: Segment) -> Plan:
    """Return the segment where something is measured in it."""
    moment = PROBES[segment]
    wanted = checks_at(spec.health_checks, moment) or probed(spec, moment)
    return (segment,) if wanted else ()
