"""What must be true of the connection before anything is locked or written."""

import select
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import psycopg

from whimbrel.model.errors import RefusedError, TransientError, WhimbrelError
from whimbrel.planning.dialects.postgresql import (
    BACKEND_PID,
    NEWEST_SERVER,
    OLDEST_SERVER,
    SERVER,
)
from whimbrel.runner.sessions import Session, connect, connect_error
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
    number, standby, read_only, database = row
    _check_writable(target, standby=standby, read_only=read_only)
    return Server(number // 10000, database, (*target.warnings, *_check_version(number // 10000)))


def _check_pooler(first: Session, second: Session) -> None:
    """Refuse when the same session does not always have the same backend to itself.

    A pooler in transaction mode hands out the backend used last, mostly: so B takes A's, and A
    gets another or waits. Under load A may meet its old one again, therefore several rounds.
    """
    end = time.monotonic() + PROBE_SECONDS
    mine = _backend_pid(first, end)
    for _ in range(_ROUNDS):
        _ask(second, "BEGIN", end)
        theirs = _backend_pid(second, end)
        again = _backend_pid(first, end)
        _ask(second, "COMMIT", end)
        if theirs is None or again is None:
            raise _waited(first, mine)
        if mine == theirs or again != mine:
            raise _pooler("a session changed its backend")


def _waited(first: Session, mine: int | None) -> WhimbrelError:
    told = first.info.backend_pid
    if told <= _HIGHEST_PID and mine in {None, told}:
        # The pid of the start-up packet is a real one: no pooler made it up, the server is slow.
        return TransientError("DatabaseSlow", f"the database needs over {PROBE_SECONDS:.0f} s")
    return _pooler("a query waited for another session")


def _pooler(saw: str) -> RefusedError:
    return RefusedError(
        "PoolerInTransactionMode",
        f"a pooler in transaction mode stands before the database ({saw}): give a direct URL",
    )


def _backend_pid(session: Session, end: float) -> int | None:
    answer = _ask(session, BACKEND_PID, end)
    return None if answer is None else int(answer)


def _ask(session: Session, statement: str, end: float) -> str | None:
    """Return the first value of an answer, "" for none; None when it is not there in time.

    psycopg waits for ever; a pooler without a free backend would let it.
    """
    server = session.pgconn
    server.send_query(statement.encode())
    value = ""
    while True:
        while server.is_busy():
            if not select.select([server.socket], [], [], max(0.0, end - time.monotonic()))[0]:
                return None
            server.consume_input()
        result = server.get_result()
        if result is None:
            return value
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
