"""A person's answers to `Held`: the command that gives one, and the record of it."""

from dataclasses import dataclass
from datetime import datetime

from whimbrel.model.order import Order
from whimbrel.model.spec import AllowDataLoss
from whimbrel.runner.ledger import Ledger


@dataclass(frozen=True)
class Resolved:
    """An answer that was used.

    Attributes:
        verdict: FenceProven, LedgerAccepted, TakeOver or DataLossAllowed.
    """

    run: str
    verdict: str
    by: str
    reason: str
    at: datetime


def resolve_command(order: Order, verdict: str) -> str:
    """Return the one command for a human."""
    return (
        f"whimbrel resolve {order.name} -n {order.namespace} --as {verdict} --by WHO --reason TEXT"
    )


def is_resolved(order: Order, verdict: str, *runs: str) -> bool:
    """Return whether a person gave this verdict for the order's run, or for another named here."""
    given = order.resolution
    return given is not None and given.verdict == verdict and given.run in {order.run, *runs}


def record_resolution(ledger: Ledger, order: Order) -> None:
    """Keep the order's resolution in the ledger."""
    if order.resolution is None:
        return
    given = order.resolution
    ledger.rows(ledger.words.RECORD_RESOLUTION, given.run, given.verdict, given.by, given.reason)


def record_consent(ledger: Ledger, order: Order, consent: AllowDataLoss) -> None:
    """Keep in the ledger who allowed this run to destroy data, and why."""
    given = ("DataLossAllowed", consent.by, consent.reason)
    ledger.rows(ledger.words.RECORD_RESOLUTION, order.run, *given)


def read_resolutions(ledger: Ledger) -> tuple[Resolved, ...]:
    """Return all answers, oldest first."""
    return tuple(Resolved(*row) for row in ledger.rows(ledger.words.READ_RESOLUTIONS))
