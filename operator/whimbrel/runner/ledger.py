"""The ledger of one database: found, installed, upgraded; its epoch."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.rows import TupleRow

from whimbrel.model.errors import HeldError, RefusedError, TransientError
from whimbrel.planning.dialects import postgresql_ledger as statements
from whimbrel.planning.dialects.postgresql import (
    TRY_BOOTSTRAP_LOCK,
    WHO_AM_I,
    grant_statements,
    schema_statements,
)
from whimbrel.runner.sessions import Session, Value, own

_INSTALL_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Ledger:
    """The ledger in a schema, seen through one session (and its transaction, if one is open)."""

    session: Session
    schema: str

    def rows(self, statement: str, *values: Value) -> list[TupleRow]:
        """Run a statement of `planning.dialects.postgresql_ledger` and return its rows."""
        return own(self.session, statements.in_schema(statement, self.schema), *values)


@dataclass(frozen=True)
class Meta:
    """What the ledger says of the database.

    Attributes:
        version: Version of the ledger's tables.
        database: UUID of the database, written at first use.
        epoch: Raised by every attempt and every fence.
    """

    version: int
    database: str
    epoch: int


def read_meta(ledger: Ledger) -> Meta | None:
    """Return what the ledger says, or None where there is none yet.

    Raises:
        RefusedError: The login may not read it; the message prints the GRANTs.
        HeldError: A newer Whimbrel wrote it.
    """
    with _privileges(ledger):
        return _find_meta(ledger)


def _find_meta(ledger: Ledger) -> Meta | None:
    if not ledger.rows(statements.HAS_LEDGER, ledger.schema)[0][0]:
        return None
    found = ledger.rows(statements.READ_META)
    if not found:
        raise HeldError(
            "LedgerDamaged",
            f"the table {ledger.schema}.meta is empty: restore the ledger from a dump, then retry",
        )
    meta = Meta(*found[0])
    if meta.version > statements.LEDGER_VERSION:
        raise HeldError(
            "LedgerTooNew",
            f"the ledger in schema {ledger.schema} has version {meta.version}, this Whimbrel knows "
            f"{statements.LEDGER_VERSION}: run the newer Whimbrel that wrote it, then retry",
        )
    return meta


def install_ledger(ledger: Ledger, *, patience: float = _INSTALL_SECONDS) -> Meta:
    """Create the ledger, or upgrade an older one; return what it says then.

    Under a constant advisory key: parallel CREATE SCHEMA IF NOT EXISTS fails otherwise.

    Args:
        ledger: Where it goes.
        patience: Seconds to wait for another process that does the same.

    Raises:
        RefusedError: The login may not; the message prints the exact statements for a DBA.
        TransientError: Somebody else is at it for too long.
    """
    end = time.monotonic() + patience
    while True:
        with _privileges(ledger), ledger.session.transaction():
            if own(ledger.session, TRY_BOOTSTRAP_LOCK)[0][0]:
                return _install(ledger)
        if time.monotonic() > end:
            raise TransientError("LedgerBusy", "another process has been installing the ledger")
        time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret


def _install(ledger: Ledger) -> Meta:
    if not ledger.rows(statements.HAS_SCHEMA, ledger.schema)[0][0]:
        ledger.rows("CREATE SCHEMA {s}")
    if _find_meta(ledger) is None:
        ledger.rows(statements.CREATE_META)
        ledger.rows(statements.FIRST_META)
    version = ledger.rows(statements.LOCK_META)[0][0]
    for older in range(version, statements.LEDGER_VERSION):
        for statement in statements.UPGRADES[older]:
            ledger.rows(statement)
    if version < statements.LEDGER_VERSION:
        ledger.rows(statements.SET_VERSION, statements.LEDGER_VERSION)
    return Meta(*ledger.rows(statements.READ_META)[0])


def raise_epoch(ledger: Ledger, *, above: int = 0) -> int:
    """Raise the epoch over all that were and return it.

    It waits for a step in flight, no longer than the session's lock_timeout.

    Raises:
        psycopg.errors.LockNotAvailable: A step in flight did not end in that time.
    """
    epoch: int = ledger.rows(statements.RAISE_EPOCH, above)[0][0]
    return epoch


@contextmanager
def _privileges(ledger: Ledger) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        raise _not_allowed(ledger, error) from error


def _not_allowed(ledger: Ledger, error: psycopg.Error) -> RefusedError:
    _, role, database = own(ledger.session, WHO_AM_I)[0]
    exists = ledger.rows(statements.HAS_SCHEMA, ledger.schema)[0][0]
    needed = grant_statements if exists else schema_statements
    return RefusedError(
        "LedgerNotAllowed",
        f"the role {role} may not keep a ledger in schema {ledger.schema} of database {database} "
        f"({error.diag.message_primary}); a database administrator runs there: "
        + " ".join(needed(ledger.schema, role)),
    )
