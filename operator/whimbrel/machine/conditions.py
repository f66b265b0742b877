"""Conditions exactly as kstatus, Flux, Helm 4, `kubectl wait` and Argo CD read them.

Reconciling and Stalled are there only when True, never both, and so is what is told beside them;
Ready always is; every condition carries the generation (fluxcd/pkg/runtime/conditions/check;
cli-utils pkg/kstatus).
"""

from whimbrel.machine.phase import View
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.observed import Observed
from whimbrel.model.status import Condition, RunState

DRIFT = "others have changed the selector of the active Service; in a run it is put right once"


def conditions(seen: Observed, shown: View) -> tuple[Condition, ...]:
    """Return the conditions of a view; a status that did not change keeps its moment."""
    run = seen.status.run
    drifts = run is not None and run.state is RunState.OPEN and run.release.drift > 0
    told = (
        ("Reconciling", shown.reconciling, shown.reason, shown.message),
        ("Stalled", shown.stalled, shown.reason, shown.message),
        ("Paused", shown.paused, shown.paused, shown.message),
        ("Completed", shown.completed, shown.reason, shown.message),
        ("TrafficDrift", drifts, "ChangedByOthers", DRIFT),
    )
    rest = (_condition(seen, kind, "True", *words) for kind, holds, *words in told if holds)
    return (_condition(seen, "Ready", shown.ready, shown.reason, shown.message), *rest)


def _condition(seen: Observed, kind: str, status: str, reason: str, message: str) -> Condition:
    return Condition(
        type=kind,
        status=status,
        observed_generation=seen.generation,
        last_transition_time=_since(seen, kind, status),
        reason=reason,
        message=message,
    )


def _since(seen: Observed, kind: str, status: str) -> str:
    for before in seen.status.conditions:
        if (before.type, before.status) == (kind, status):
            return before.last_transition_time
    return rfc3339(seen.now)
