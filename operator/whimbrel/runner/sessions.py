"""Opens sessions that name themselves, notice a dead peer, and give way to the application."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from whimbrel.model.errors import FailedError, TransientError, WhimbrelError
from whimbrel.planning.dialects.postgresql import (
    BACKEND_PID,
    PIN_SEARCH_PATH,
    PINNED_SEARCH_PATH,
    SET_LOCAL_SEARCH_PATH,
    SET_SESSION,
)
from whimbrel.planning.dialects.postgresql_errors import Fate, fate_of
from whimbrel.runner.redact import Redactor
from whimbrel.runner.target import Target, conninfo

Session = psycopg.Connection[TupleRow]
Value = str | int | float | bool | list[int] | list[str] | None

_CONNECT_SECONDS: Final = 5
_IDLE_TRANSACTION: Final = "5min"  # a tool may compute for a while between two statements
# Ours never pause: the heartbeat speaks every 5 s. So a session whose runner is lost with its
# node goes away by itself, even where nobody tells the server that the peer is dead.
_OURS: Final = {"idle_in_transaction_session_timeout": "15s", "idle_session_timeout": "30s"}
# A dead peer is noticed within 5 + 3 * 3 s when idle, and within 15 s with data in flight.
_SOCKET: Final = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
}


@dataclass(frozen=True)
class Manners:
    """How a session behaves towards others.

    Attributes:
        application_name: What pg_stat_activity shows.
        lock_timeout: Longest wait for a lock, seconds.
    """

    application_name: str
    lock_timeout: float


def application_name(run: str, owner: str) -> str:
    """Return the name that our sessions and the tool's carry, 63 bytes at most."""
    return f"whimbrel:{run[:12]}:{owner}".encode()[:63].decode(errors="ignore")


def settings(manners: Manners) -> dict[str, str]:
    """Return the settings of a session, also as defaults for a tool (`tool_options`)."""
    return {
        "lock_timeout": f"{max(1, round(manners.lock_timeout * 1000))}ms",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": _IDLE_TRANSACTION,
    }


def tool_options(manners: Manners) -> str:
    """Return PGOPTIONS for a foreign tool."""
    return " ".join(f"-c {name}={value}" for name, value in settings(manners).items())


def connect(target: Target, name: str) -> Session:
    """Open an autocommit session that has no setting of ours but its name.

    Raises:
        TransientError: It cannot be had now; the sentence says why, without the password.
    """
    text = conninfo(target, application_name=name, connect_timeout=_CONNECT_SECONDS, **_SOCKET)
    try:
        # prepare_threshold None: a prepared statement would outlive a change of the schema.
        return psycopg.connect(
            text, autocommit=True, prepare_threshold=None, cursor_factory=psycopg.RawCursor
        )
    except psycopg.Error as error:
        raise connect_error(target, str(error)) from None


def open_session(target: Target, manners: Manners) -> Session:
    """Open an autocommit session with the settings of `manners`.

    The search path stays the login's own: the author of a migration expects it. Our statements
    run under a pinned one (`own`). The settings are set after the login, not as start-up options:
    poolers refuse those.

    Raises:
        TransientError: It cannot be had now.
    """
    session = connect(target, manners.application_name)
    try:
        for name, value in {**settings(manners), **_OURS}.items():
            session.execute(SET_SESSION, [name, value])
    except psycopg.Error as error:
        session.close()
        raise connect_error(target, str(error)) from None
    return session


def backend_pid(session: Session) -> int:
    """Return the server's process of a session.

    Asked of the server: a pooler makes up the one that the login told (`session.info`).
    """
    pid: int = own(session, BACKEND_PID)[0][0]
    return pid


def is_pooled(session: Session) -> bool:
    """Return whether a pooler stands before the server."""
    return backend_pid(session) != session.info.backend_pid


def pin(session: Session) -> Session:
    """Pin the search path of a session that runs nothing but our own statements."""
    session.execute(SET_SESSION, ["search_path", PINNED_SEARCH_PATH])
    return session


def own(session: Session, statement: str, *values: Value) -> list[TupleRow]:
    """Run one of our own statements, safe from anything planted in a user's schema.

    Inside a transaction it takes part in it, and the author's search path is set again
    afterwards; outside it is a transaction of its own.

    Raises:
        psycopg.Error: As the server says.
    """
    if session.info.transaction_status == TransactionStatus.IDLE:
        with session.transaction():
            session.execute(PIN_SEARCH_PATH, [PINNED_SEARCH_PATH])
            return _rows(session, statement, values)
    ((before, _),) = session.execute(PIN_SEARCH_PATH, [PINNED_SEARCH_PATH]).fetchall()
    found = _rows(session, statement, values)
    session.execute(SET_LOCAL_SEARCH_PATH, [before])
    return found


def _rows(session: Session, statement: str, values: tuple[Value, ...]) -> list[TupleRow]:
    cursor = session.execute(statement, values or None)
    return cursor.fetchall() if cursor.description else []


def as_json(value: object) -> str:
    """Return compact JSON for a jsonb column."""
    return json.dumps(value, separators=(",", ":"))


@dataclass(frozen=True)
class _Cause:
    """Why a login fails: what libpq's text holds, the reason, and what it means."""

    mark: str
    reason: str
    sentence: str


# libpq gives no SQLSTATE for a refused login, only the server's text.
_CAUSES: Final = (
    _Cause("password authentication failed", "WrongPassword",
           "login or password is wrong; mend the Secret, every try reads it again"),
    _Cause("no password supplied", "WrongPassword",
           "the server wants a password and the Secret has none"),
    _Cause("pg_hba.conf", "LoginRefused", "the server's pg_hba.conf does not let us in"),
    _Cause("is not permitted to log in", "LoginRefused", "the role may not log in"),
    _Cause("root certificate file", "TLSFailed", "the certificate authority cannot be read"),
    _Cause("certificate", "TLSFailed",
           "the server's certificate is not accepted (authority, name or date)"),
    _Cause("does not support SSL", "TLSFailed", "the server has no TLS, and sslmode asks for it"),
    _Cause("too many", "TooManyConnections", "it has no connection left for us"),
    _Cause("remaining connection slots", "TooManyConnections", "it has no connection left for us"),
    _Cause("starting up", "DatabaseStarting", "it is starting"),
    _Cause("shutting down", "DatabaseStarting", "it is shutting down"),
    _Cause("recovery", "DatabaseStarting", "it is recovering"),
    _Cause("role \"", "LoginRefused", "the login does not exist"),
    _Cause("database \"", "DatabaseMissing", "there is no such database yet, or it is closed"),
    _Cause("refused", "DatabaseUnreachable", "nothing listens there"),
    _Cause("timeout", "DatabaseUnreachable", "it does not answer"),
    _Cause("could not translate", "DatabaseUnreachable", "the host name is not known"),
    _Cause("resolve", "DatabaseUnreachable", "the host name is not known"),
)  # fmt: skip


def connect_error(target: Target, text: str) -> TransientError:
    """Return why a session cannot be had; all of these heal, with the Secret or the server."""
    for cause in _CAUSES:
        if cause.mark in text:
            return _cannot_connect(target, cause.reason, cause.sentence)
    last = Redactor([target.password]).clean(text.strip().splitlines()[-1] if text.strip() else "")
    return _cannot_connect(target, "DatabaseUnreachable", last)


def _cannot_connect(target: Target, reason: str, sentence: str) -> TransientError:
    return TransientError(
        reason, f"cannot connect to {target} as {target.user}: {sentence}", retry_after=5.0
    )


def sorted_error(
    error: psycopg.Error, what: str, clean: Callable[[str], str] = str
) -> WhimbrelError:
    """Return the error that says what happens next, for an error of the server.

    Args:
        error: What psycopg raised.
        what: What was tried, as the start of a sentence.
        clean: Takes secrets out of the server's text (`Redactor.clean`).
    """
    told = clean(error.diag.message_primary or str(error).strip() or type(error).__name__)
    if fate_of(error.sqlstate) is Fate.PERMANENT:
        return FailedError("StatementFailed", f"{what}: {told} (SQLSTATE {error.sqlstate})")
    reason = "ConnectionLost" if fate_of(error.sqlstate) is Fate.UNKNOWN else "Busy"
    return TransientError(reason, f"{what}: {told}")
