"""What a person asks for by annotation."""

from typing import Final

from whimbrel.machine import names
from whimbrel.model.observed import Observed
from whimbrel.model.order import Resolution
from whimbrel.model.status import RunStatus

VERDICTS: Final = frozenset({"FenceProven", "LedgerAccepted", "TakeOver"})
_LONGEST: Final = 200


def asked(seen: Observed, annotation: str) -> str:
    """Return the annotation's value, cut to what a status field holds."""
    return seen.annotations.get(annotation, "")[:_LONGEST]


def wanted_trigger(seen: Observed) -> str:
    """Return the trigger that an annotation not yet handled asks for, or "".

    Values that are there before the first run count as handled: an object that came back from a
    backup or from Git without its status must not roll back once more.
    """
    handled = seen.status.handled
    if seen.status.run is None:
        return ""
    rollback = asked(seen, names.ROLLBACK)
    if rollback not in ("", handled.rollback):
        return f"rollback:{rollback}"
    retry = asked(seen, names.RETRY)
    return f"retry:{retry}" if retry not in ("", handled.retry) else ""


def retry_value(run: RunStatus) -> str:
    """Return the value of the retry annotation that started this run, or ""."""
    return run.trigger.removeprefix("retry:") if run.trigger.startswith("retry:") else ""


def is_approved(seen: Observed) -> bool:
    """Tell whether the annotation approves exactly the plan that status shows."""
    gate = seen.status.gate
    return bool(gate and gate.token and seen.annotations.get(names.APPROVE) == gate.token)


def resolve_value(seen: Observed, run: RunStatus) -> str:
    """Return a value of the resolve annotation that speaks of this run and is news, or ""."""
    value = asked(seen, names.RESOLVE)
    return value if value != seen.status.handled.resolve and _speaks_of(value, run) else ""


def resolution(seen: Observed, run: RunStatus) -> Resolution | None:
    """Return the handled answer of a person to this run's question."""
    value = seen.status.handled.resolve
    if not _speaks_of(value, run):
        return None
    verdict, _, subject = value.partition(":")
    return Resolution(
        verdict=verdict,
        run=subject,
        by=seen.annotations.get(names.RESOLVE_BY, ""),
        reason=seen.annotations.get(names.RESOLVE_REASON, ""),
    )


def _speaks_of(value: str, run: RunStatus) -> bool:
    verdict, _, subject = value.partition(":")
    known = {run.id, run.holder.run} if run.holder else {run.id}
    return verdict in VERDICTS and subject in known
