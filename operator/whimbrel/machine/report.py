"""The status that follows from a decision: intent, facts and view in one piece, one PUT."""

from dataclasses import replace
from typing import Any

from whimbrel.machine.conditions import conditions
from whimbrel.machine.decide import decide
from whimbrel.machine.decisions import (
    Decision,
    KeepCheckpoint,
    NextAttempt,
    RecordResult,
    ShowPlan,
    StartRun,
    Write,
)
from whimbrel.machine.names import switch_token
from whimbrel.machine.orders import current_name
from whimbrel.machine.phase import View, view
from whimbrel.machine.release.probing import checks_shown
from whimbrel.machine.release.service import active_side
from whimbrel.machine.requests import resolve_at
from whimbrel.machine.runs import is_good
from whimbrel.machine.segments import CONTROLLED, PROBES
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.release.checked import unpack_checks
from whimbrel.model.result import Outcome, Result
from whimbrel.model.spec import Gate
from whimbrel.model.status import Applied, GateStatus, RunState, RunStatus, Status


def report(seen: Observed, decision: Decision) -> Status:
    """Return the whole status after a decision; equal to the one before where nothing is new.

    It is read as the API server would: whatever was said, it is within the bounds of its fields.
    """
    after = replace(seen, status=_decided(seen, decision))
    news = isinstance(decision, Write | ShowPlan)
    shown = view(after, decide(after)) if news else view(seen, decision)
    return Status.model_validate(_shown(after, shown).model_dump())


def _decided(seen: Observed, decision: Decision) -> Status:
    status = seen.status
    match decision:
        case StartRun(run, retry, rollback):
            asked = {"retry": retry, "rollback": rollback}
            handled = status.handled.model_copy(update=asked)
            changes: dict[str, Any] = {"run": run, "handled": handled, "gate": None, "progress": ""}
        case RecordResult(run, result):
            changes = {"run": run} | _facts(seen, run, result)
        case NextAttempt(run, _, resolve, trigger):
            changes = {"run": run, "gate": _gate_of(seen, run)}
            if trigger:
                which, _, value = trigger.partition(":")
                changes["handled"] = status.handled.model_copy(update={which: value})
            if resolve:
                answered = {"resolve": resolve, "resolve_at": resolve_at(seen)}
                changes["handled"] = status.handled.model_copy(update=answered)
        case KeepCheckpoint(kept):
            changes = {"checkpoint": kept}
        case ShowPlan(name, _, token):
            news = {"token": token, "plan": name}
            changes = {"gate": _gate(seen, Gate.START).model_copy(update=news)}
        case _:
            changes = {}
    return status.model_copy(update=changes)


def _facts(seen: Observed, run: RunStatus, result: Result) -> dict[str, Any]:
    before = seen.status
    facts: dict[str, Any] = {
        "database": result.database or before.database,
        "fence": result.fence or before.fence,
        "salvage": before.salvage if result.salvage is None else result.salvage,
        "warnings": result.warnings,
        "progress": f"{result.applied} applied" if result.applied else before.progress,
    }
    looked = result.segment not in PROBES and result.outcome in (Outcome.DONE, Outcome.ROLLED_BACK)
    if result.revision or looked:
        facts["revision"] = result.revision
    if is_good(run):
        facts["applied"] = Applied(
            revision=result.revision, digest=result.plan_digest, at=rfc3339(seen.now)
        )
    if (kept := result.checkpoint) is not None:
        facts["checkpoint"] = None if kept.state == "Closed" else kept
    if result.checks:
        facts["checks"] = unpack_checks(result.checks)
    return facts | {"gate": _gate_of(seen, run)}


def _gate(seen: Observed, name: Gate, token: str = "") -> GateStatus:
    before = seen.status.gate
    if before is not None and before.name == name and (before.token == token or not token):
        return before
    return GateStatus(name=name, token=token, since=rfc3339(seen.now))


def _gate_of(seen: Observed, run: RunStatus) -> GateStatus | None:
    if run.state is RunState.OPEN and run.segment is Segment.APPROVE:
        return _gate(seen, Gate.START)
    if run.state is RunState.OPEN and run.segment is Segment.SWITCH_GATE:
        return _gate(seen, Gate.SWITCH, switch_token(run.id))
    return None


def _shown(seen: Observed, shown: View) -> Status:
    run = seen.status.run
    without_job = {Segment.APPROVE, *CONTROLLED}
    running = run is not None and run.state is RunState.OPEN and run.segment not in without_job
    return seen.status.model_copy(
        update={
            "observed_generation": seen.generation,
            "phase": shown.phase,
            "message": shown.message,
            "strategy": str(seen.spec.strategy.type) if seen.spec else seen.status.strategy,
            "job": current_name(seen, run) if run is not None and running else "",
            "active": active_side(seen),
            "checks": checks_shown(seen, run) if run is not None else seen.status.checks,
            "conditions": conditions(seen, shown),
        }
    )
