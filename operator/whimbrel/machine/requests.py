"""What a person asks for by annotation."""

from typing import Final

from whimbrel.machine import names
from whimbrel.machine.decisions import Wait
from whimbrel.model.observed import Observed
from whimbrel.model.order import Resolution
from whimbrel.model.status import Phase, RunStatus

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


def waits_for_approval(seen: Observed, what: str) -> Wait:
    """Return the wait at the gate of status, with the command that opens it."""
    token = seen.status.gate.token if seen.status.gate else ""
    command = f"kubectl annotate -n {seen.namespace} dbm/{seen.name} {names.APPROVE}={token}"
    message = f"{what}: {command} --overwrite"
    return Wait(
        Phase.AWAITING_APPROVAL, "AwaitingApproval", message, human="whoever may approve the plan"
    )


def resolve_value(seen: Observed, run: RunStatus) -> str:
    """Return a value of the resolve annotation that speaks of this run and is news, or "".

    The same answer to a second question is news when it was given at another moment.
    """
    value, moment, handled = asked(seen, names.RESOLVE), resolve_at(seen), seen.status.handled
    news = value != handled.resolve or moment not in ("", handled.resolve_at)
    return value if news and _speaks_of(value, run) else ""


def resolve_at(seen: Observed) -> str:
    """Return when the person answered, as the annotation says it, or ""."""
    return asked(seen, names.RESOLVE_AT)


def resolution(seen: Observed, run: RunStatus) -> Resolution | None:
    """Return the answer of a person that the current attempt carries."""
    if not run.answer:
        return None
    verdict, subject, _ = _parts(run.answer)
    return Resolution(
        verdict=verdict,
        run=subject,
        by=seen.annotations.get(names.RESOLVE_BY, ""),
        reason=seen.annotations.get(names.RESOLVE_REASON, ""),
    )


def _speaks_of(value: str, run: RunStatus) -> bool:
    verdict, subject, attempt = _parts(value)
    known = {run.id, run.holder.run} if run.holder else {run.id}
    now = attempt in ("", str(run.attempt))
    return verdict in VERDICTS and subject in known and now


def _parts(value: str) -> tuple[str, str, str]:
    """Return verdict, run id and attempt of `<as>:<run id>` or `<as>:<run id>:<attempt>`."""
    verdict, _, rest = value.partition(":")
    subject, _, attempt = rest.partition(":")
    return verdict, subject, attempt
