"""Conditions exactly as kstatus, Flux, Helm 4, `kubectl wait` and Argo CD read them.

Reconciling and Stalled are there only when True, never both, and so is what is told beside them;
Ready always is; every condition carries the generation (fluxcd/pkg/runtime/conditions/check;
cli-utils pkg/kstatus).
"""

from whimbrel.machine.phase import View
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.observed import Observed
from whimbrel.model.status import Condition, RunState, RunStatus

LONGEST = 4096
DRIFT = "others have changed the selector of the active Service; in a run it is put right once"


def conditions(seen: Observed, shown: View) -> tuple[Condition, ...]:
    """Return the conditions of a view; a status that did not change keeps its moment."""
    wanted = [("Ready", shown.ready, shown.reason, shown.message)]
    if shown.reconciling:
        wanted.append(("Reconciling", "True", shown.reason, shown.message))
    if shown.stalled:
        wanted.append(("Stalled", "True", shown.reason, shown.message))
    if shown.paused:
        wanted.append(("Paused", "True", shown.paused, shown.message))
    if shown.completed:
        wanted.append(("Completed", "True", shown.reason, shown.message))
    if _has_drifted(seen.status.run):
        wanted.append(("TrafficDrift", "True", "ChangedByOthers", DRIFT))
    return tuple(_condition(seen, *each) for each in wanted)


def _has_drifted(run: RunStatus | None) -> bool:
    """Tell whether others have switched too in this run, which still answers for the traffic."""
    return run is not None and run.state is RunState.OPEN and run.release.drift > 0


def _condition(seen: Observed, kind: str, status: str, reason: str, message: str) -> Condition:
    return Condition(
        type=kind,
        status=status,
        observed_generation=seen.generation,
        last_transition_time=_since(seen, kind, status),
        reason=reason,
        message=message[:LONGEST],
    )


def _since(seen: Observed, kind: str, status: str) -> str:
    for before in seen.status.conditions:
        if (before.type, before.status) == (kind, status):
            return before.last_transition_time
    return rfc3339(seen.now)
