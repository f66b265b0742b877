"""Conditions exactly as kstatus, Flux, Helm 4, `kubectl wait` and Argo CD read them.

Reconciling and Stalled are there only when True, never both; Ready always is; every condition
carries the generation (fluxcd/pkg/runtime/conditions/check; cli-utils pkg/kstatus).
"""

from whimbrel.machine.phase import View
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.observed import Observed
from whimbrel.model.status import Condition

LONGEST = 4096


def conditions(seen: Observed, shown: View) -> tuple[Condition, ...]:
    """Return the conditions of a view; a status that did not change keeps its moment."""
    wanted = [("Ready", shown.ready, shown.reason)]
    if shown.reconciling:
        wanted.append(("Reconciling", "True", shown.reason))
    if shown.stalled:
        wanted.append(("Stalled", "True", shown.reason))
    if shown.paused:
        wanted.append(("Paused", "True", shown.paused))
    if shown.completed:
        wanted.append(("Completed", "True", shown.reason))
    return tuple(_condition(seen, shown, *each) for each in wanted)


def _condition(seen: Observed, shown: View, kind: str, status: str, reason: str) -> Condition:
    return Condition(
        type=kind,
        status=status,
        observed_generation=seen.generation,
        last_transition_time=_since(seen, kind, status),
        reason=reason,
        message=shown.message[:LONGEST],
    )


def _since(seen: Observed, kind: str, status: str) -> str:
    for before in seen.status.conditions:
        if (before.type, before.status) == (kind, status):
            return before.last_transition_time
    return rfc3339(seen.now)
