"""Sessions of PostgreSQL: they name themselves, notice a dead peer, and give way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import TupleRow

from whimbrel.model.errors import TransientError
from whimbrel.planning.dialects import (
    postgresql as words,
    postgresql_catalog,
    postgresql_ledger,
    postgresql_manifest,
)
from whimbrel.planning.dialects.dialect import Dialect
from whimbrel.planning.dialects.postgresql_capture import SESSION_NAME
from whimbrel.planning.dialects.postgresql_errors import fate_of
from whimbrel.planning.dialects.postgresql_roles import SESSION_NO_ROLE
from whimbrel.runner.connecting import Cause, error_of
from whimbrel.runner.session import Manners, Row, Session, Theirs, Value, Waits, Watched
from whimbrel.runner.target import Target, conninfo

POSTGRESQL: Final = Dialect(
    "postgresql",
    "PostgreSQL",
    words,
    postgresql_ledger,
    postgresql_catalog,
    postgresql_manifest,
    fate_of,
    own_logins=True,
)

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


class PostgresSession(psycopg.Connection[TupleRow]):
    """psycopg's connection, made by its own `connect`, with what the runner asks of a session."""

    dialect = POSTGRESQL
    target: Target  # both of `open_session`
    manners: Manners
    is_pinned = False
    planned: frozenset[str] = frozenset()

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Pin the search path for the rest of a transaction that runs nothing of an author's.

        Each of our statements takes one round trip then, where others wait for its locks.
        """
        self.execute(words.SET_LOCAL_SEARCH_PATH, [words.PINNED_SEARCH_PATH])
        self.is_pinned, self.planned = True, frozenset()
        try:
            yield
        finally:
            self.is_pinned = False

    def ask(self, statement: str, values: Sequence[Value]) -> list[Row]:
        """Run one of our own statements under a pinned search path.

        Inside a transaction it takes part in it, and the author's search path is set again
        afterwards; outside it is a transaction of its own.
        """
        if self.is_pinned:
            return self._rows(statement, values)
        if self.info.transaction_status == TransactionStatus.IDLE:
            with self.transaction():
                self.execute(words.PIN_SEARCH_PATH, [words.PINNED_SEARCH_PATH])
                return self._rows(statement, values)
        pinned = self.execute(words.PIN_SEARCH_PATH, [words.PINNED_SEARCH_PATH])
        ((before, _),) = pinned.fetchall()
        found = self._rows(statement, values)
        self.execute(words.SET_LOCAL_SEARCH_PATH, [before])
        return found

    def ask_planned(self, name: str, question: str, *texts: str) -> list[Row]:
        """Ask a question that is planned once: in a transaction that is pinned, in one round trip.

        The first time it is prepared; what is prepared outlives the transaction.
        """
        if name not in self.planned:
            if not self._rows(words.IS_PREPARED, [name])[0][0]:
                self.run(words.prepare(name, question, len(texts)))
            self.planned |= {name}
        cursor = self.execute(words.execute_planned(name, texts).encode(self.info.encoding))
        cursor.nextset()
        return cursor.fetchall()

    def ask_all(self, *questions: tuple[str, Sequence[Value]]) -> list[list[Row]]:
        """Run some of our own statements in their order, in a transaction that is pinned.

        They take one round trip together, where others wait for its locks. After one that fails
        none runs.
        """
        with self.pipeline():
            found = [self.execute(each, values or None) for each, values in questions]
        return [each.fetchall() if each.description else [] for each in found]

    def _rows(self, statement: str, values: Sequence[Value]) -> list[Row]:
        cursor = self.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def run(self, text: str) -> None:
        """Send a statement as its author wrote it: no parameters, the simple protocol."""
        self.execute(text.encode(self.info.encoding))

    def backend(self) -> int:
        """Return the server's process; a pooler makes up the one that the login told."""
        pid: int = self.ask(words.BACKEND_PID, ())[0][0]
        return pid

    def home(self) -> str | None:
        """Return the first schema of the author's search path that there is."""
        found: str | None = self.execute(words.HOME_SCHEMA).fetchall()[0][0]
        return found

    def is_pooled(self) -> bool:
        """Return whether a pooler stands before the server."""
        return self.backend() != self.info.backend_pid

    def version(self) -> int:
        """Return the server's major version."""
        return self.info.server_version // 10000

    def still_holds_lock(self) -> bool:
        """Return whether it holds the migrator's lock; a running statement is a sign of life."""
        if self.closed:
            return False
        if self.info.transaction_status != TransactionStatus.IDLE:
            return True
        try:
            row = self.execute(words.HOLDS_LOCK).fetchone()
        except psycopg.errors.InFailedSqlTransaction:
            return True  # the worker began a transaction just now, and it failed
        except psycopg.Error:
            return False
        return row is not None and bool(row[0])

    def refuse_writes(self) -> None:
        """Let the server itself refuse whatever writes."""
        self.execute(words.READ_ONLY)

    def read(self, query: str, seconds: float) -> list[Row]:
        """Return the first two rows of an author's query that neither writes nor takes longer.

        A cursor of the server's takes one query, and no more than is fetched travels.
        """
        self.execute(words.SET_SESSION, ["statement_timeout", f"{max(1, round(seconds * 1000))}ms"])
        self.refuse_writes()
        with self.transaction(), psycopg.RawServerCursor(self, "whimbrel") as cursor:
            cursor.execute(query.encode(self.info.encoding))
            return cursor.fetchmany(2)

    def pin(self) -> None:
        """Pin the search path of a session that runs nothing but our own statements."""
        self.execute(words.SET_SESSION, ["search_path", words.PINNED_SEARCH_PATH])

    def terminate(self, theirs: Theirs) -> None:
        """End sessions of others."""
        self.ask(words.TERMINATE_THEIRS, _theirs(theirs))

    def count(self, theirs: Theirs) -> int:
        """Return how many of them there are."""
        count: int = self.ask(words.COUNT_THEIRS, _theirs(theirs))[0][0]
        return count

    def busy_of_login(self, login: str, since: str, after: int) -> set[int]:
        """Return sessions of a login without our name that came since then and are at work."""
        del after
        # A pooler may have given the tool a session of the server that is older than the attempt.
        since = "-infinity" if self.is_pooled() else since
        return {pid for (pid,) in self.ask(words.BUSY_STRANGERS, (login, since))}

    def without_role(self) -> None:
        """Be the login itself, who may cancel what it does, and not its default role."""
        self.execute(SESSION_NO_ROLE)

    def watch(self, watched: Watched) -> Waits:
        """Look once at who waits for whom."""
        who = (watched.application_name, watched.role, list(watched.pids))
        ours: dict[int, str] = dict(self._rows(words.WATCHED, who))
        return Waits(ours, tuple(self._rows(words.WAITERS, ())) if ours else ())

    def describe(self, pids: list[int]) -> list[Row]:
        """Return pid, name, login, state, age in seconds and query of sessions."""
        return self._rows(words.SESSION_FACTS, (pids,))

    def stop(self, pid: int, *, hard: bool) -> None:
        """Cancel what a session does; `hard` ends the session."""
        self._rows(words.TERMINATE if hard else words.CANCEL, (pid,))


def _theirs(theirs: Theirs) -> tuple[str, str, str, list[int]]:
    return theirs.application_name, theirs.login, theirs.role, list(theirs.spare)


def postgres(session: Session) -> PostgresSession:
    """Return the session as PostgreSQL's, for what there is on PostgreSQL alone.

    Raises:
        TypeError: It is another server's: a mistake of ours.
    """
    if not isinstance(session, PostgresSession):
        raise TypeError(f"a session of {session.dialect.title} came to PostgreSQL's own work")
    return session


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


def connect(target: Target, name: str) -> PostgresSession:
    """Open an autocommit session that has no setting of ours but its name.

    Raises:
        TransientError: It cannot be had now; the sentence says why, without the password.
    """
    text = conninfo(target, application_name=name, connect_timeout=_CONNECT_SECONDS, **_SOCKET)
    try:
        # prepare_threshold None: a prepared statement would outlive a change of the schema.
        return PostgresSession.connect(
            text, autocommit=True, prepare_threshold=None, cursor_factory=psycopg.RawCursor
        )
    except psycopg.Error as error:
        raise connect_error(target, str(error)) from None


def open_session(target: Target, manners: Manners) -> PostgresSession:
    """Open an autocommit session with the settings of `manners`.

    The search path stays the login's own: the author of a migration expects it. Our statements
    run under a pinned one (`own`). The settings are set after the login, not as start-up options:
    poolers refuse those.

    Raises:
        TransientError: It cannot be had now.
    """
    session = connect(target, manners.application_name)
    session.target, session.manners = target, manners
    try:
        ours = {**_OURS, SESSION_NAME: manners.application_name}
        for name, value in {**settings(manners), **ours}.items():
            session.execute(words.SET_SESSION, [name, value])
    except psycopg.Error as error:
        session.close()
        raise connect_error(target, str(error)) from None
    return session


# libpq gives no SQLSTATE for a refused login, only the server's text.
_CAUSES: Final = (
    Cause("password authentication failed", "WrongPassword",
           "login or password is wrong; mend the Secret, every try reads it again"),
    Cause("no password supplied", "WrongPassword",
           "the server wants a password and the Secret has none"),
    Cause("pg_hba.conf", "LoginRefused", "the server's pg_hba.conf does not let us in"),
    Cause("is not permitted to log in", "LoginRefused", "the role may not log in"),
    Cause("root certificate file", "TLSFailed", "the certificate authority cannot be read"),
    Cause("certificate", "TLSFailed",
           "the server's certificate is not accepted (authority, name or date)"),
    Cause("does not support SSL", "TLSFailed", "the server has no TLS, and sslmode asks for it"),
    Cause("too many", "TooManyConnections", "it has no connection left for us"),
    Cause("remaining connection slots", "TooManyConnections", "it has no connection left for us"),
    Cause("starting up", "DatabaseStarting", "it is starting"),
    Cause("shutting down", "DatabaseStarting", "it is shutting down"),
    Cause("recovery", "DatabaseStarting", "it is recovering"),
    Cause("role \"", "LoginRefused", "the login does not exist"),
    Cause("database \"", "DatabaseMissing", "there is no such database yet, or it is closed"),
    Cause("refused", "DatabaseUnreachable", "nothing listens there"),
    Cause("timeout", "DatabaseUnreachable", "it does not answer"),
    Cause("could not translate", "DatabaseUnreachable", "the host name is not known"),
    Cause("resolve", "DatabaseUnreachable", "the host name is not known"),
)  # fmt: skip


def connect_error(target: Target, text: str) -> TransientError:
    """Return why a session cannot be had."""
    return error_of(target, text, _CAUSES)
