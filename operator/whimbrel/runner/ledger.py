"""The ledger of one database: found, installed, upgraded; its epoch."""

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import HeldError, RefusedError, TransientError
from whimbrel.planning.dialects.dialect import LedgerWords
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.runner.server_errors import SERVER_ERRORS, ServerError, is_trouble, read_error
from whimbrel.runner.session import Row, Session, Value
from whimbrel.runner.sessions import own

_INSTALL_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05


@dataclass(frozen=True)
class Ledger:
    """The ledger in a schema, seen through one session (and its transaction, if one is open)."""

    session: Session
    schema: str

    @property
    def words(self) -> LedgerWords:
        """Return the ledger's statements for this kind of server."""
        return self.session.dialect.ledger

    def rows(self, statement: str, *values: Value) -> list[Row]:
        """Run a statement of `words` and return its rows."""
        return own(self.session, self.words.in_schema(statement, self.schema), *values)


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
    there = read_tables(ledger)
    if not there:
        return None
    if "meta" not in there:
        # Which version it had is gone with it: the first one's tables every ledger has.
        raise _damaged(ledger, ledger.words.tables(1) - there)
    found = ledger.rows(ledger.words.READ_META)
    if not found and there == {"meta"}:
        return None  # killed before its row, where each DDL stays
    if not found:
        raise HeldError(
            "LedgerDamaged",
            f"the table {ledger.schema}.meta is empty: restore the ledger from a dump, then retry",
        )
    meta = Meta(*found[0])
    if meta.version > ledger.words.LEDGER_VERSION:
        raise HeldError(
            "LedgerTooNew",
            f"the ledger in schema {ledger.schema} has version {meta.version}, this Whimbrel knows "
            f"{ledger.words.LEDGER_VERSION}: run the newer Whimbrel that wrote it, then retry",
        )
    if lost := ledger.words.tables(meta.version) - there:
        raise _damaged(ledger, lost)
    return meta


def read_tables(ledger: Ledger) -> frozenset[str]:
    """Return the names of those of the ledger's tables that are there."""
    found = {name for (name,) in ledger.rows(ledger.words.READ_TABLES, ledger.schema)}
    return ledger.words.tables(ledger.words.LEDGER_VERSION) & found


def expect_ledger(ledger: Ledger, database: str) -> None:
    """Check that no migration has taken the ledger away.

    Raises:
        HeldError: Tables of it are gone, or it is not that of the database with this UUID.
    """
    meta = read_meta(ledger)
    if meta is None or meta.database != database:
        raise _damaged(ledger, ledger.words.tables(ledger.words.LEDGER_VERSION))


def _damaged(ledger: Ledger, lost: Iterable[str]) -> HeldError:
    return HeldError(
        "LedgerDamaged",
        f"the ledger (schema {ledger.schema}) has lost its tables {', '.join(sorted(lost))}, which "
        "a migration or a person has dropped: what ran since then is in the database and is not "
        "recorded; restore these tables from a dump, then retry",
    )


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
    end, server = time.monotonic() + patience, ledger.session.dialect.server
    while True:
        with _privileges(ledger), ledger.session.transaction():
            if own(ledger.session, server.TRY_BOOTSTRAP_LOCK)[0][0]:
                meta = _install(ledger)
                for statement in server.AFTER_INSTALL:
                    own(ledger.session, statement)
                return meta
        if time.monotonic() > end:
            raise TransientError("LedgerBusy", "another process has been installing the ledger")
        time.sleep(_POLL_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 - jitter, no secret


def _install(ledger: Ledger) -> Meta:
    if not ledger.rows(ledger.words.HAS_SCHEMA, ledger.schema)[0][0]:
        ledger.rows(ledger.words.CREATE_SCHEMA)
    if _find_meta(ledger) is None:
        ledger.rows(ledger.words.CREATE_META)
        ledger.rows(ledger.words.FIRST_META)
    version = ledger.rows(ledger.words.LOCK_META)[0][0]
    for older in range(version, ledger.words.LEDGER_VERSION):
        for statement in ledger.words.UPGRADES[older]:
            ledger.rows(statement)
    if version < ledger.words.LEDGER_VERSION:
        ledger.rows(ledger.words.SET_VERSION, ledger.words.LEDGER_VERSION)
    return Meta(*ledger.rows(ledger.words.READ_META)[0])


def raise_epoch(ledger: Ledger, *, above: int = 0) -> int:
    """Raise the epoch over all that were and return it.

    It waits for a step in flight, no longer than the session's lock_timeout.

    Raises:
        ServerError: `Trouble.LOCK`: a step in flight did not end in that time.
    """
    epoch: int = ledger.rows(ledger.words.RAISE_EPOCH, above)[0][0]
    return epoch


@contextmanager
def _privileges(ledger: Ledger) -> Iterator[None]:
    try:
        yield
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.PRIVILEGE):
            raise
        raise _not_allowed(ledger, error) from error


def _not_allowed(ledger: Ledger, error: ServerError) -> RefusedError:
    server = ledger.session.dialect.server
    _, role, database = own(ledger.session, server.WHO_AM_I)[0]
    exists = ledger.rows(ledger.words.HAS_SCHEMA, ledger.schema)[0][0]
    needed = server.ledger_grants(ledger.schema, role, database, exists=bool(exists))
    return RefusedError(
        "LedgerNotAllowed",
        f"the role {role} may not keep a ledger in schema {ledger.schema} of database {database} "
        f"({read_error(error).message}); a database administrator runs there: " + " ".join(needed),
    )
