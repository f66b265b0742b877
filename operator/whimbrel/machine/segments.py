"""The controller's plan: the segments of a run follow from the spec and the run's goal alone."""

from whimbrel.model.plan import Segment
from whimbrel.model.spec import Gate, Spec

Plan = tuple[Segment, ...]


def segments(spec: Spec, goal: Segment = Segment.MIGRATE) -> Plan:
    """Return the segments of a run in order."""
    if goal is not Segment.MIGRATE:
        return (goal,)
    if Gate.START in spec.approval.before:
        return (Segment.LOOK, Segment.APPROVE, Segment.MIGRATE)
    return (Segment.MIGRATE,)
