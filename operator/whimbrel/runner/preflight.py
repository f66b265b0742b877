"""What must be true of the connection before anything is locked or written."""

import select
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.pq import ExecStatus

from whimbrel.model.errors import RefusedError, TransientError, WhimbrelError
from whimbrel.planning.dialects.postgresql import (
    BACKEND_PID,
    HOME_SCHEMA,
    NEWEST_SERVER,
    OLDEST_SERVER,
    SERVER,
)
from whimbrel.runner.postgresql_session import PostgresSession, connect, connect_error, postgres
from whimbrel.runner.session import Session
from whimbrel.runner.target import Target

PROBE_SECONDS: Final = 2.0
_ROUNDS: Final = 4
_HIGHEST_PID: Final = 2**22  # of Linux (proc(5), pid_max); PgBouncer makes up a random number


@dataclass(frozen=True)
class Server:
    """What answered.

    Attributes:
        version: Major version.
        database: Name of the database as the server says it.
        warnings: Sentences for status; the first word is the reason, then a colon.
    """

    version: int
    database: str
    warnings: tuple[str, ...] = ()


def check_server(target: Target, name: str) -> Server:
    """Return what answers at the target, after asking whether it can carry migrations.

    Args:
        target: The database.
        name: application_name of the two sessions that ask.

    Raises:
        RefusedError: A pooler in transaction mode, a server that is too old, a read-only login.
        TransientError: Not reachable, too slow, or a standby.
    """
    with closing(connect(target, name)) as first, closing(connect(target, name)) as second:
        _check_pooler(first, second)
        try:
            row = first.execute(SERVER).fetchone()
        except psycopg.Error as error:
            raise connect_error(target, str(error)) from None
    if row is None:
        raise TransientError("DatabaseUnreachable", f"{target} gave no answer")
    number, standby, read_only, database, powers = row
    _check_writable(target, standby=standby, read_only=read_only)
    warnings = (*target.warnings, *_check_version(number // 10000), *_check_login(target, powers))
    return Server(number // 10000, database, warnings)


def refuse_ledger_as_home(session: Session, schema: str) -> None:
    """Refuse where the author's unqualified names would land in the ledger's schema.

    With a login named like the ledger's schema, `"$user"` in the search path does just that: the
    tables of a migration would count as ours, and a way back would not salvage them.

    Raises:
        RefusedError: They would.
    """
    row = postgres(session).execute(HOME_SCHEMA).fetchone()
    if row is not None and schema in (row[0], row[1]):
        raise RefusedError(
            "LedgerIsHome",
            f"unqualified names of this login ({row[2]}) belong to the schema {schema}, which is "
            "the ledger's: set database.ledgerSchema to another name, or give the login another "
            "search_path",
        )


def _check_pooler(first: PostgresSession, second: PostgresSession) -> None:
    """Refuse when the same session does not always have the same backend to itself.

    A pooler in transaction mode hands out the backend used last, mostly: so B takes A's, and A
    gets another or waits. Under load A may meet its old one again, therefore several rounds.
    """
    end = time.monotonic() + PROBE_SECONDS
    mine = None
    try:
        mine = _backend_pid(first, end)
        for _ in range(_ROUNDS):
            _ask(second, "BEGIN", end)
            theirs, again = _backend_pid(second, end), _backend_pid(first, end)
            if mine == theirs or again != mine:
                raise _pooler("a session changed its backend")
            _ask(second, "COMMIT", end)
    except TimeoutError:
        raise _waited(first, mine) from None


def _waited(first: PostgresSession, mine: int | None) -> WhimbrelError:
    told = first.info.backend_pid
    if told <= _HIGHEST_PID and mine in {None, told}:
        # The pid of the start-up packet is a real one: no pooler made it up, the server is slow.
        return TransientError("DatabaseSlow", f"the database needs over {PROBE_SECONDS:.0f} s")
    return _pooler("a query waited for another session")


def _unexpected(text: str) -> WhimbrelError:
    if "statement pooling" in text:
        return _pooler("it allows no transaction at all")
    return TransientError("ConnectionLost", f"the database answered: {text.strip()}")


def _pooler(saw: str) -> RefusedError:
    return RefusedError(
        "PoolerInTransactionMode",
        f"a pooler in transaction mode stands before the database ({saw}): give a direct URL",
    )


def _backend_pid(session: PostgresSession, end: float) -> int:
    return int(_ask(session, BACKEND_PID, end))


def _ask(session: PostgresSession, statement: str, end: float) -> str:
    """Return the first value of an answer, or "".

    psycopg waits for ever; a pooler without a free backend would let it.

    Raises:
        TimeoutError: The answer is not there in time; the session is of no use any more.
    """
    server = session.pgconn
    server.send_query(statement.encode())
    value = ""
    while True:
        while server.is_busy():
            if not select.select([server.socket], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            server.consume_input()
        result = server.get_result()
        if result is None:
            return value
        if result.status == ExecStatus.FATAL_ERROR:
            raise _unexpected(result.error_message.decode(errors="replace"))
        if result.ntuples:
            value = (result.get_value(0, 0) or b"").decode()


def _check_writable(target: Target, *, standby: bool, read_only: bool) -> None:
    if standby:
        raise TransientError(
            "ReadOnly", f"{target} is a standby and takes no writes; give the primary's URL"
        )
    if read_only:
        raise RefusedError(
            "ReadOnly",
            f"sessions of {target.user} at {target} are read-only (default_transaction_read_only); "
            "give a login that may write",
        )


def _check_login(target: Target, powers: str) -> tuple[str, ...]:
    if not powers:
        return ()
    return (
        f"LoginTooPowerful: the login {target.user} is {powers}, and so is whatever an owner of "
        "tables makes a migration run (triggers, CHECK, DEFAULT); give a login without that",
    )


def _check_version(version: int) -> tuple[str, ...]:
    if version < OLDEST_SERVER:
        raise RefusedError(
            "ServerTooOld",
            f"PostgreSQL {version} is older than {OLDEST_SERVER}, the oldest that we carry",
        )
    if version <= NEWEST_SERVER:
        return ()
    return (
        f"ServerUntested: PostgreSQL {version} is newer than {NEWEST_SERVER}, the newest tested",
    )
