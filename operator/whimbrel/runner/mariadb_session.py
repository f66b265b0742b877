"""Sessions of MariaDB: one statement at a time, found by their locks, giving way to others."""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, Self

import pymysql

from whimbrel.planning.dialects import (
    mariadb as words,
    mariadb_catalog,
    mariadb_checkpoint_manifest,
    mariadb_ledger,
)
from whimbrel.planning.dialects.dialect import Dialect
from whimbrel.planning.dialects.fates import Fate
from whimbrel.planning.dialects.mariadb_errors import NO_SUCH_SESSION, fate_of, fate_of_code
from whimbrel.runner.mariadb_wire import CONNECT_SECONDS, connect_error, wire_to
from whimbrel.runner.server_errors import read_error
from whimbrel.runner.session import Manners, Row, Session, Theirs, Value, Waits, Watched
from whimbrel.runner.target import Target

MARIADB: Final = Dialect(
    "mariadb",
    "MariaDB",
    words,
    mariadb_ledger,
    mariadb_catalog,
    mariadb_checkpoint_manifest,
    fate_of_code,
    commits_ddl=True,
)

# Ours never pause: the heartbeat speaks every 5 s. So a session whose runner is lost with its
# node goes away by itself.
_OURS: Final = {"wait_timeout": 30, "idle_transaction_timeout": 15}
_CANNOT_CONNECT: Final = 2003
_PARAMETER: Final = re.compile(r"\$([0-9]+)")


class MariadbSession:
    """One connection; threads take turns.

    Attributes:
        dialect: Our statements for it.
        name: What it and others of one attempt are found by.
    """

    dialect = MARIADB

    def __init__(self, wire: "pymysql.Connection[Any]", target: Target, name: str) -> None:
        self.name = name
        self._wire = wire
        self._target = target
        self._turn = threading.RLock()
        self._in_transaction = False
        self._first_seen: dict[int, float] = {}
        self._sees_rows = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        """Return whether it is of no use any more."""
        return not self._wire.open

    @property
    def handshake_id(self) -> int:
        """Return the number that the login told; a proxy makes it up."""
        number: int = self._wire.thread_id()
        return number

    def close(self) -> None:
        """Let it go; the server rolls back and gives the locks back."""
        with suppress(pymysql.MySQLError):
            self._wire.close()

    def ask(self, statement: str, values: Sequence[Value]) -> list[Row]:
        """Run one of our own statements, or several with THEN between them: the last answers.

        Raises:
            MySQLError: Also where the server only warns that somebody's lock hid a part.
        """
        found: list[Row] = []
        with self._turn:
            for part in statement.split(words.THEN):
                text = _PARAMETER.sub(lambda match: self._value(values, match), part)
                found, warnings = self._send(text)
                self._refuse_a_part(self._wire.show_warnings() if warnings else ())
        return found

    def _refuse_a_part(self, warnings: Sequence[Row]) -> None:
        """A look into information_schema leaves out what is locked; the next one may see it."""
        for _, number, text in warnings:
            if fate_of(number) is Fate.HEALS:
                raise pymysql.OperationalError(number, text)

    def _value(self, values: Sequence[Value], match: re.Match[str]) -> str:
        value = values[int(match[1]) - 1]
        plain = json.dumps(value) if isinstance(value, list) else value
        return str(self._wire.escape(plain, self._wire.encoders))

    def _send(self, text: str) -> tuple[list[Row], int]:
        with closing(self._wire.cursor()) as cursor:
            cursor.execute(text)
            found = list(cursor.fetchall()) if cursor.description else []
            return found, cursor.warning_count

    def run(self, text: str) -> None:
        """Send a statement as its author wrote it; the driver sends one, never several."""
        with self._turn:
            self._send(text)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Begin; commit at the end, roll back at an error. DDL inside commits by itself."""
        self.run("START TRANSACTION")
        self._in_transaction = True
        try:
            yield
        except BaseException:
            with suppress(pymysql.MySQLError):
                self.run("ROLLBACK")
            raise
        else:
            self.run("COMMIT")
        finally:
            self._in_transaction = False

    def backend(self) -> int:
        """Return the server's number of the session."""
        number: int = self.ask(words.CONNECTION, ())[0][0]
        return number

    def home(self) -> str:
        """Return the database that is connected to."""
        return str(self.ask(words.WHO_AM_I, ())[0][2])

    def is_pooled(self) -> bool:
        """Return whether a proxy stands before the server."""
        return self.backend() != self.handshake_id

    def version(self) -> int:
        """Return the server's major version."""
        return int(str(self._wire.get_server_info()).removeprefix("5.5.5-").partition(".")[0])

    def still_holds_lock(self) -> bool:
        """Return whether it holds the migrator's lock; a running statement is a sign of life."""
        if self.closed:
            return False
        if not self._turn.acquire(blocking=False):
            return True
        try:
            return self._in_transaction or bool(self.ask(words.HOLDS_LOCK, ())[0][0])
        except pymysql.MySQLError:
            return False
        finally:
            self._turn.release()

    def refuse_writes(self) -> None:
        """Let the server itself refuse whatever writes."""
        self.run(words.READ_ONLY)

    def read(self, query: str, seconds: float) -> list[Row]:
        """Return the first two rows of an author's query that neither writes nor takes longer."""
        for setting, value in (("max_statement_time", seconds), ("sql_select_limit", 2)):
            self.ask(words.set_setting(setting), (value,))
        self.refuse_writes()
        with self.transaction():
            return self._send(query)[0]

    def pin(self) -> None:
        """Nothing can be planted between us and a name here."""

    def cancel_safe(self, *, timeout: float) -> None:
        """End the running statement, over a connection of its own."""
        if self.closed:
            return
        try:
            wire = wire_to(self._target, "whimbrel", timeout)
        except OSError as error:  # the driver's word for it: nobody expects another one here
            raise pymysql.OperationalError(_CANNOT_CONNECT, str(error)) from error
        with closing(wire), wire.cursor() as cursor:
            _ignoring_gone(lambda: cursor.execute(words.kill(self.handshake_id, hard=False)))

    def terminate(self, theirs: Theirs) -> None:
        """End sessions of others."""
        for pid in self._theirs(theirs):
            self.stop(pid, hard=True)

    def count(self, theirs: Theirs) -> int:
        """Return how many of them there are."""
        return len(self._theirs(theirs))

    def _theirs(self, theirs: Theirs) -> list[int]:
        who = (theirs.application_name, theirs.login, theirs.role)
        found = [int(pid) for (pid,) in self.ask(words.THEIRS, who)]
        return [pid for pid in found if pid not in theirs.spare]

    def stop(self, pid: int, *, hard: bool) -> None:
        """Cancel what a session does; `hard` ends the session."""
        _ignoring_gone(lambda: self.run(words.kill(pid, hard=hard)))

    def describe(self, pids: list[int]) -> list[Row]:
        """Return pid, name, login, state, age in seconds and query of sessions."""
        return self.ask(words.SESSION_FACTS, (pids,)) if pids else []

    def busy_of_login(self, login: str, since: str, after: int) -> set[int]:
        """Return sessions of a login without our name that came after ours and are at work."""
        del since
        return {int(pid) for (pid,) in self.ask(words.BUSY_STRANGERS, (login, after))}

    def without_role(self) -> None:
        """An account may always end its own sessions here."""

    def watch(self, watched: Watched) -> Waits:
        """Look once at who waits for whom.

        The server tells who waits for a table's definition, not since when and not for whom. So
        the time runs from the first look; and whoever waits while a session of ours is at work
        and does not wait itself, waits for that one.
        """
        rows = self.ask(words.PROCESSES, (watched.application_name,))
        meant = [
            row
            for row in rows
            if row[4] or row[0] in watched.pids or (row[1] == watched.role != "")
        ]
        ours = {int(row[0]): "active" for row in meant if row[2] != words.IDLE}
        waiting = {int(row[0]) for row in rows if row[3] == words.METADATA_WAIT and row[5]}
        now = time.monotonic()
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid in waiting}
        at_work = sorted(ours.keys() - waiting)
        waits = [
            (pid, now - since, [] if pid in ours else at_work)
            for pid, since in self._first_seen.items()
        ]
        return Waits(ours, (*waits, *(self._row_waits() if ours else ())))

    def _row_waits(self) -> list[tuple[int, float, list[int]]]:
        if not self._sees_rows:
            return []
        try:
            found = self.ask(words.ROW_WAITS, ())
        except pymysql.MySQLError as error:
            if read_error(error).code != "1227":
                raise
            self._sees_rows = False
            return []
        return [(int(pid), float(seconds or 0), [int(other)]) for pid, seconds, other in found]


def _ignoring_gone(kill: Callable[[], object]) -> None:
    try:
        kill()
    except pymysql.MySQLError as error:
        if read_error(error).code != str(NO_SUCH_SESSION):
            raise


def connect(target: Target, name: str) -> MariadbSession:
    """Open an autocommit session that has no setting of ours but its name.

    Raises:
        TransientError: It cannot be had now; the sentence says why, without the password.
    """
    try:
        wire = wire_to(target, name, CONNECT_SECONDS)
        session = MariadbSession(wire, target, name)
        session.ask(f"SELECT {words.TAKE_NAME}", (name,))
    except (pymysql.MySQLError, OSError) as error:
        raise connect_error(target, error) from None
    return session


def open_session(target: Target, manners: Manners) -> MariadbSession:
    """Open an autocommit session that gives way to others.

    Raises:
        TransientError: It cannot be had now.
    """
    session = connect(target, manners.application_name)
    # Whole seconds are all that the server knows; the watchdog is finer.
    seconds = max(1, math.ceil(manners.lock_timeout))
    waits = {"lock_wait_timeout": seconds, "innodb_lock_wait_timeout": seconds}
    try:
        for setting, value in {**waits, **_OURS}.items():
            session.ask(words.set_setting(setting), (value,))
    except pymysql.MySQLError as error:
        session.close()
        raise connect_error(target, error) from None
    return session


def mariadb(session: Session) -> MariadbSession:
    """Return a session that is known to be of MariaDB, as one."""
    if not isinstance(session, MariadbSession):
        raise TypeError(f"{type(session).__name__} is no session of MariaDB")
    return session


def tool_options(manners: Manners) -> str:
    """Return the first statement of a tool's sessions, for drivers that take one."""
    name = "'" + manners.application_name.replace("\\", "").replace("'", "") + "'"
    seconds = max(1, math.ceil(manners.lock_timeout))
    return words.TOOL_SESSION.replace("$1", name).replace("$2", str(seconds))
