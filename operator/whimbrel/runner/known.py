"""Opens the ledger and compares it with what the object's status remembers of it."""

from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import HeldError
from whimbrel.model.order import Order
from whimbrel.runner.ledger import Ledger, Meta, install_ledger, raise_epoch, read_meta
from whimbrel.runner.resolutions import is_resolved, record_resolution, resolve_command

_ACCEPTED: Final = "LedgerAccepted"


@dataclass(frozen=True)
class Opened:
    """The ledger as it was found or made.

    Attributes:
        meta: What it says now; None where a look found no ledger.
        warnings: Sentences for status; the first word is the reason, then a colon.
    """

    meta: Meta | None
    warnings: tuple[str, ...] = ()


def look_at_ledger(ledger: Ledger, order: Order) -> Opened:
    """Read the ledger without writing anything.

    Raises:
        HeldError: It is missing, older than known, or of a newer Whimbrel.
    """
    meta = read_meta(ledger)
    _check_known(ledger, order, meta)
    return Opened(meta, _moved(order, meta))


def open_ledger(ledger: Ledger, order: Order) -> Opened:
    """Read the ledger; install or upgrade it where that is needed.

    Raises:
        HeldError: It is missing or older than known, and nobody has accepted that.
        RefusedError: The login may not keep one; the message prints the exact statements.
    """
    before = read_meta(ledger)
    accepted = _check_known(ledger, order, before)
    meta = before
    if meta is None or meta.version < ledger.words.LEDGER_VERSION:
        meta = install_ledger(ledger)
    if accepted:
        with ledger.session.transaction():
            record_resolution(ledger, order)
            epoch = raise_epoch(ledger, above=order.known.epoch)
        meta = Meta(meta.version, meta.database, epoch)
    return Opened(meta, _moved(order, before))


def _check_known(ledger: Ledger, order: Order, meta: Meta | None) -> bool:
    """Return whether something is wrong that a person has accepted."""
    problem = _missing(ledger, order, meta) or _went_back(ledger, order, meta)
    if problem is None:
        return False
    if is_resolved(order, _ACCEPTED):
        return True
    raise problem


def _missing(ledger: Ledger, order: Order, meta: Meta | None) -> HeldError | None:
    if meta is not None or not order.known.database:
        return None
    return HeldError(
        "LedgerMissing",
        f"the ledger (schema {ledger.schema}) is gone, although this object has worked with "
        f"database {order.known.database}: it was restored, replaced or dropped; nothing was "
        "touched; restore the ledger, or accept the database as it is (tool sql then begins at the "
        "first file, or after the one that migrations.baseline names)",
        command=resolve_command(order, _ACCEPTED),
    )


def _went_back(ledger: Ledger, order: Order, meta: Meta | None) -> HeldError | None:
    if meta is None or meta.database != order.known.database or meta.epoch >= order.known.epoch:
        return None
    return HeldError(
        "LedgerWentBack",
        f"the ledger (schema {ledger.schema}) shows epoch {meta.epoch}, status remembers "
        f"{order.known.epoch}: the database was restored from an older state; nothing was "
        "touched; accept it as it is, or restore the newer state",
        command=resolve_command(order, _ACCEPTED),
    )


def _moved(order: Order, meta: Meta | None) -> tuple[str, ...]:
    if meta is None or not order.known.database or meta.database == order.known.database:
        return ()
    sentence = (
        f"DatabaseMoved: the ledger is that of database {meta.database}, status remembers "
        f"{order.known.database}; what this database shows decides"
    )
    return (sentence,)
