"""The databases of the matrix: how to look at one without asking Whimbrel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.mariadb import MariaDB
from tests.postgres import Postgres

_COLUMNS = """
    SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull::text
    FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
    AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
    UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), ''
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2, 3"""


class Server(Protocol):
    """A fresh database on a server of one kind.

    Attributes:
        kind: postgresql or mariadb.
        url: With a login that owns the database and nothing else.
        broken: A statement that fails, whatever the database holds.
    """

    kind: str
    url: str
    broken: str

    def version(self) -> str:
        """Return the server's name and version as the table shows it."""

    def rows(self, statement: str) -> list[tuple]:
        """Return the rows of a statement."""

    def shape(self) -> Sequence[tuple]:
        """Return columns and constraints of the application's schema."""

    def slow(self, statement: str, seconds: int) -> str:
        """Return an INSERT ... SELECT as one statement that takes so long."""

    def await_slow(self) -> None:
        """Wait until the server says that such a statement runs."""


@dataclass(frozen=True)
class PostgresServer:
    """A database on PostgreSQL."""

    database: Postgres
    kind: str = "postgresql"
    broken: str = "SELECT nonsense()"

    @property
    def url(self) -> str:
        """Return the URL as it would stand in a Secret."""
        return self.database.url

    def version(self) -> str:
        """Ask the server."""
        return f"PostgreSQL {self.rows('SHOW server_version')[0][0].split()[0]}"

    def rows(self, statement: str) -> list[tuple]:
        """Run a statement in a session of its own."""
        return self.database.run(statement)

    def shape(self) -> Sequence[tuple]:
        """Read the system catalogue."""
        return self.rows(_COLUMNS)

    def slow(self, statement: str, seconds: int) -> str:
        """Let the server sleep for each row."""
        return f"{statement} FROM pg_sleep({seconds})"

    def await_slow(self) -> None:
        """Ask what the server's sessions wait for."""
        asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        asked += " AND datname = current_database()"
        with self.database.connect() as session:
            for _ in range(2_000):
                if session.execute(asked).fetchone() == (1,):
                    return
                session.execute("SELECT pg_sleep(0.02)")
        raise AssertionError("the slow statement never ran")


_MARIADB_COLUMNS = """
    SELECT TABLE_NAME, COLUMN_NAME, COLUMN_TYPE, CONCAT(IS_NULLABLE, COALESCE(COLUMN_DEFAULT, ''))
    FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() AND {0}
    UNION ALL SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME, NON_UNIQUE
    FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND {0}
    UNION ALL SELECT TABLE_NAME, CONSTRAINT_NAME, CONSTRAINT_TYPE, ''
    FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_SCHEMA = DATABASE() AND {0}
    ORDER BY 1, 2, 3, 4""".format("TABLE_NAME NOT LIKE 'whimbrel\\_%%'")


@dataclass(frozen=True)
class MariadbServer:
    """A database on MariaDB."""

    database: MariaDB
    kind: str = "mariadb"
    broken: str = "SELECT nonsense()"

    @property
    def url(self) -> str:
        """Return the URL as it would stand in a Secret."""
        return self.database.url

    def version(self) -> str:
        """Ask the server."""
        return f"MariaDB {self.rows('SELECT VERSION()')[0][0].partition('-')[0]}"

    def rows(self, statement: str) -> list[tuple]:
        """Run a statement in a session of its own."""
        return self.database.run(statement)

    def shape(self) -> Sequence[tuple]:
        """Read the information schema."""
        return self.rows(_MARIADB_COLUMNS.replace("%%", "%"))

    def slow(self, statement: str, seconds: int) -> str:
        """Let the server sleep before the only row."""
        return f"{statement} FROM DUAL WHERE SLEEP({seconds}) = 0"

    def await_slow(self) -> None:
        """Ask what the server's sessions do."""
        asked = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep'"
        with self.database.connect() as session, session.cursor() as cursor:
            for _ in range(2_000):
                cursor.execute(f"{asked} AND DB = DATABASE()")
                if cursor.fetchone() == (1,):
                    return
                cursor.execute("DO 0 + SLEEP(0.02)")
        raise AssertionError("the slow statement never ran")
