"""A checkpoint on MariaDB as text: names, what a table is, its copy, and the proof of the copy.

A table is known by the capture triggers on it: they stay with it when it is renamed. A name of
ours begins with the ledger's schema, like the ledger's tables.
"""

import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from whimbrel.planning.dialects.mariadb import HAS_NAME, quote_identifier
from whimbrel.planning.dialects.mariadb_catalog import LAST

# What a session of ours is while it captures, copies, replays and exchanges. Whoever copies reads
# without locks, and what does not fit is an error. Triggers run without the roles of their account,
# so what it may do by a role alone has to fail here and not in the application.
PIN: Final = (
    "SET ROLE NONE",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION,"
    "ALLOW_INVALID_DATES', time_zone = '+00:00', foreign_key_checks = 1,"
    " unique_checks = 1, check_constraint_checks = 1, sql_safe_updates = 0,"
    " sql_select_limit = DEFAULT, group_concat_max_len = 1048576, innodb_lock_wait_timeout = 5",
)
EVENTS: Final = ("INSERT", "UPDATE", "DELETE")

# Whether a server can have checkpoints: wsrep, statement-based binary log, read-only.
SERVER: Final = (
    "SELECT EXISTS (SELECT 1 FROM information_schema.GLOBAL_VARIABLES"
    " WHERE VARIABLE_NAME = 'WSREP_ON' AND VARIABLE_VALUE = 'ON'),"
    " @@global.log_bin = 1 AND @@global.binlog_format = 'STATEMENT', @@global.read_only,"
    " @@global.max_write_lock_count < 1000000, @@global.lower_case_table_names"
)
# $1 schema, $2 table.
TABLE_FACTS: Final = (
    "SELECT t.TABLE_TYPE, COALESCE(t.ENGINE, ''), COALESCE(t.CREATE_OPTIONS, ''), t.TEMPORARY"
    " FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = $1 AND t.TABLE_NAME = $2"
)
COLUMNS: Final = (
    "SELECT c.COLUMN_NAME, c.COLUMN_TYPE, c.DATA_TYPE, c.CHARACTER_SET_NAME, c.COLLATION_NAME,"
    " COALESCE(c.GENERATION_EXPRESSION, '') <> '', c.EXTRA LIKE '%auto_increment%',"
    " c.IS_NULLABLE = 'NO' AND c.COLUMN_DEFAULT IS NULL"
    " FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = $1 AND c.TABLE_NAME = $2"
    " ORDER BY c.ORDINAL_POSITION"
)
# Columns of a table ($1) that are not computed, and whether each has a default.
COLUMN_DEFAULTS: Final = (
    "SELECT c.COLUMN_NAME, c.COLUMN_DEFAULT IS NOT NULL OR c.IS_NULLABLE = 'YES'"
    " FROM information_schema.COLUMNS c WHERE c.TABLE_SCHEMA = DATABASE() AND c.TABLE_NAME = $1"
    " AND COALESCE(c.GENERATION_EXPRESSION, '') = '' ORDER BY c.ORDINAL_POSITION"
)
KEY: Final = (
    "SELECT s.COLUMN_NAME, s.SUB_PART FROM information_schema.STATISTICS s"
    " WHERE s.TABLE_SCHEMA = $1 AND s.TABLE_NAME = $2 AND s.INDEX_NAME = 'PRIMARY'"
    " ORDER BY s.SEQ_IN_INDEX"
)
INDEX_TYPES: Final = (
    "SELECT DISTINCT s.INDEX_NAME, s.INDEX_TYPE FROM information_schema.STATISTICS s"
    " WHERE s.TABLE_SCHEMA = $1 AND s.TABLE_NAME = $2 AND s.INDEX_TYPE <> 'BTREE'"
)
# Foreign keys of the table, and those of others that point at it; whether one changes rows, and
# whether it links it to another database.
FOREIGN_KEYS: Final = (
    "SELECT f.CONSTRAINT_NAME, f.TABLE_NAME, f.REFERENCED_TABLE_NAME,"
    " f.DELETE_RULE NOT IN ('RESTRICT', 'NO ACTION')"
    " OR f.UPDATE_RULE NOT IN ('RESTRICT', 'NO ACTION'),"
    " f.CONSTRAINT_SCHEMA <> f.UNIQUE_CONSTRAINT_SCHEMA"
    " FROM information_schema.REFERENTIAL_CONSTRAINTS f"
    " WHERE (f.CONSTRAINT_SCHEMA = $1 AND f.TABLE_NAME = BINARY $2)"
    " OR (f.UNIQUE_CONSTRAINT_SCHEMA = $1 AND f.REFERENCED_TABLE_NAME = BINARY $2)"
)
TRIGGERS: Final = (
    "SELECT g.TRIGGER_NAME FROM information_schema.TRIGGERS g"
    " WHERE g.EVENT_OBJECT_SCHEMA = $1 AND g.EVENT_OBJECT_TABLE = $2"
    " AND LEFT(g.TRIGGER_NAME, CHAR_LENGTH($3)) <> $3"
)
# Names of tables that begin with $1, in the database that is connected to.
OUR_TABLES: Final = (
    "SELECT t.TABLE_NAME FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE()"
    " AND LEFT(t.TABLE_NAME, CHAR_LENGTH($1)) = $1"
)
AUTO_INCREMENT: Final = (
    "SELECT COALESCE(t.AUTO_INCREMENT, 0) FROM information_schema.TABLES t"
    " WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = $1"
)
SIZE: Final = (
    "SELECT COALESCE(t.DATA_LENGTH, 0) + COALESCE(t.INDEX_LENGTH, 0)"
    " FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = $1"
)
# Whether a table can have foreign keys; $1.
IS_LINKABLE: Final = (
    "SELECT 1 FROM information_schema.TABLES t"
    " WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = $1 AND t.ENGINE = 'InnoDB'"
)
# Sessions of a login besides our own; $1 name of ours, $2 the login, $3 others of ours.
SHARED_LOGIN: Final = (
    "SELECT p.ID FROM information_schema.PROCESSLIST p WHERE p.USER = $2"
    f" AND p.ID <> CONNECTION_ID() AND NOT {HAS_NAME} AND NOT JSON_CONTAINS($3, p.ID)"
)
# $1: a time in UTC.
IS_OVER: Final = "SELECT UTC_TIMESTAMP() >= $1"
ONE_MOMENT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
SNAPSHOT: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT"

_TEXTS: Final = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BYTES: Final = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_PLAIN: Final = frozenset({
    "tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double", "bit",
    "enum", "set", "date", "time", "datetime", "timestamp", "year", "uuid", "inet4", "inet6",
})  # fmt: skip
_NO_NAME: Final = re.compile(r"\$[0-9]")


@dataclass(frozen=True)
class Names:
    """Names of the objects of one checkpoint; `short` is the short id of its run."""

    schema: str
    short: str

    def journal(self, number: int) -> str:
        """Return the name of a table's journal."""
        return f"{self.schema}_journal_{self.short}_{number}"

    def clone(self, number: int | Literal[""]) -> str:
        """Return the name of a table's copy.

        It sorts behind the one that the exchange waits at, so the copy is ours until then.
        """
        return f"{LAST}{self.schema}_clone_{self.short}_{number}"

    def kept(self, number: int) -> str:
        """Return the name that a failed table gets."""
        return f"{self.schema}_kept_{self.short}_{number}"

    def added(self, number: str) -> str:
        """Return the name that a table gets which the migration has added."""
        return f"{self.schema}_kept_{self.short}_x{number}"

    def passing(self, table: str) -> str:
        """Return what the names begin with that a table's foreign keys have in between."""
        return f"{self.schema}_key_{self.short}_{zlib.crc32(table.encode()):08x}_"

    def trigger(self, number: int, event: str) -> str:
        """Return the name of one of a table's triggers."""
        return f"{self.schema}_capture_{self.short}_{number}{event[0].lower()}"

    @property
    def triggers(self) -> str:
        """Return what the names of all triggers begin with."""
        return f"{self.schema}_capture_{self.short}_"

    @property
    def wait(self) -> str:
        """Return the name that the exchange waits at: it sorts behind those of all live tables.

        Locks are taken in the order of names. So whoever waits for this one has all of these.
        """
        return f"{LAST}{self.schema}_await_{self.short}"

    @property
    def go(self) -> str:
        """Return the name without which the exchange fails: it sorts behind all others."""
        return f"{LAST}{self.schema}_go_{self.short}"

    @property
    def gone(self) -> tuple[str, str]:
        """Return the names that the exchange gives to these two."""
        begin = f"{self.schema}_clone_{self.short}"
        return f"{begin}_waited", f"{begin}_gone"


@dataclass(frozen=True)
class Column:
    """A column of a covered table, as it was before the migration.

    Attributes:
        full_type: With length, sign, values.
        type: The word alone.
        is_needed: NOT NULL without a default.
    """

    name: str
    full_type: str
    type: str
    charset: str | None
    collation: str | None
    is_generated: bool
    is_counted: bool
    is_needed: bool

    @property
    def quoted(self) -> str:
        """Return its name, quoted."""
        return quote_identifier(self.name)

    def taken(self, row: str) -> str:
        """Return a row's value as a journal keeps it."""
        value = f"{row}.{self.quoted}"
        if self.type != "timestamp":
            return value
        # The zero of a lenient application, of which UNIX_TIMESTAMP knows nothing.
        return f"IF(CAST({value} AS CHAR) LIKE '0000-00-00%', 0, UNIX_TIMESTAMP({value}))"

    @property
    def is_text(self) -> bool:
        """Tell whether it has characters."""
        return self.charset is not None

    @property
    def in_journal(self) -> str:
        """Return the type that keeps each of its values as it is; long ones outside of the row.

        A time with a zone is kept as seconds: its text means another moment in another session.
        """
        if self.type == "timestamp":
            return "DECIMAL(20,6)"
        if self.type in _TEXTS:
            return f"LONGTEXT CHARACTER SET {self.charset} COLLATE {self.collation}"
        if self.type in _BYTES:
            return "LONGBLOB"
        return self.variable

    @property
    def variable(self) -> str:
        """Return the type of a variable that takes what the column took, and nothing else."""
        if self.type == "timestamp":
            return "DECIMAL(20,6)"
        charset = f" CHARACTER SET {self.charset} COLLATE {self.collation}" if self.charset else ""
        return f"{self.full_type}{charset}"

    @property
    def is_known_type(self) -> bool:
        """Tell whether we know how to keep its values."""
        return self.type in _TEXTS | _BYTES | _PLAIN


@dataclass(frozen=True)
class Subject:
    """A covered table, as the statements about it need it.

    Attributes:
        names: Of its checkpoint.
        checkpoint: Id of that.
        number: Of the table in it.
        table: Its name before the migration.
        columns: Those that have values of their own, as they were.
        key: Columns of the primary key, in order.
    """

    names: Names
    checkpoint: str
    number: int
    table: str
    columns: tuple[Column, ...]
    key: tuple[Column, ...]

    @property
    def journal(self) -> str:
        """Return the name of its journal."""
        return self.names.journal(self.number)

    @property
    def clone(self) -> str:
        """Return the name of its copy."""
        return self.names.clone(self.number)


def clash(names: Iterable[str]) -> str:
    """Return a name that our statements cannot carry, or ""."""
    return next((name for name in names if _NO_NAME.search(name)), "")


def checksum(table: str) -> str:
    """Return the question for a number that tells the content of a table."""
    return f"CHECKSUM TABLE {quote_identifier(table)} EXTENDED"


def count(table: str) -> str:
    """Return the question for the number of rows."""
    return f"SELECT COUNT(*) FROM {quote_identifier(table)}"


def definition(text: str, name: str) -> str:
    """Return what SHOW CREATE TABLE says of a table, whatever it is called and has counted to."""
    head = f"CREATE TABLE {quote_identifier(name)} ("
    told = text.removeprefix(head)
    return re.sub(r"(\n\).*?) AUTO_INCREMENT=[0-9]+", r"\1", told)


def count_on(table: str, value: int) -> str:
    """Return the statement after which a table gives no number below this one."""
    return f"ALTER TABLE {quote_identifier(table)} AUTO_INCREMENT = {value:d}"


def exchange(names: Names, live: Sequence[tuple[int, str, str | None]]) -> str:
    """Return the one statement that exchanges all tables, or none of them.

    Args:
        names: Of the checkpoint.
        live: Number of each table, its name then, and its name now; None for one that is gone.
    """
    pairs = list(zip((names.wait, names.go), names.gone, strict=True))
    pairs += [(now, names.kept(number)) for number, _, now in live if now is not None]
    pairs += [(names.clone(number), then) for number, then, _ in live]
    listed = ", ".join(f"{quote_identifier(a)} TO {quote_identifier(b)}" for a, b in pairs)
    return f"RENAME TABLE {listed}"


def make_name(name: str) -> str:
    """Return the statement that makes a table that is there for its name alone."""
    return f"CREATE TABLE {quote_identifier(name)} (one INT PRIMARY KEY)"


def hold(tables: Iterable[str], others: Iterable[str] = ()) -> str:
    """Return the statement that keeps everybody away from tables until they are given back.

    `others` can be read meanwhile.
    """
    parts = [f"{quote_identifier(each)} WRITE" for each in tables]
    parts += [f"{quote_identifier(each)} READ" for each in others]
    return f"LOCK TABLES {', '.join(parts)}"


# Around `hold`: then it also waits for transactions that have left their session (XA PREPARE).
STRICTLY: Final = "SET SESSION autocommit = 0, innodb_lock_wait_timeout = 0"
NOT_STRICTLY: Final = "SET SESSION autocommit = 1, innodb_lock_wait_timeout = 5"
GIVE_BACK: Final = "UNLOCK TABLES"


def is_awaited(table: str) -> str:
    """Return the statement that fails with a lock time-out as soon as somebody waits for a table.

    Asking what a query means takes the weakest lock there is: it passes by who holds a table for
    writing, and not by who waits to have it for itself.
    """
    return f"PREPARE whimbrel_awaited FROM 'SELECT 1 FROM {_in_text(quote_identifier(table))}'"


def read_nothing(table: str) -> str:
    """Return the statement that fails like that where somebody waits to write alone, too."""
    return f"SELECT 1 FROM {quote_identifier(table)} LIMIT 0"


def _in_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "''")


def wait_at_most(seconds: int) -> str:
    """Return the statement after which a session waits so long for a table."""
    return f"SET SESSION lock_wait_timeout = {seconds:d}"


def wait_for_rows(seconds: int) -> str:
    """Return the statement after which a session waits so long for rows."""
    return f"SET SESSION innodb_lock_wait_timeout = {seconds:d}"


def analyze(table: str) -> str:
    """Return the statement that counts what the planner wants to know."""
    return f"ANALYZE TABLE {quote_identifier(table)}"


def rename(table: str, name: str) -> str:
    """Return the statement that gives a table another name."""
    return f"RENAME TABLE {quote_identifier(table)} TO {quote_identifier(name)}"


def drop(kind: str, name: str) -> tuple[str, ...]:
    """Return the statements that drop something without rows; a routine is of either kind."""
    kinds = ("FUNCTION", "PROCEDURE") if kind == "function" else (kind.upper(),)
    return tuple(f"DROP {each} IF EXISTS {quote_identifier(name)}" for each in kinds)


def drop_tables(names: Iterable[str]) -> str:
    """Return the statement that drops tables of ours, whatever points at which."""
    return f"DROP TABLE IF EXISTS {', '.join(map(quote_identifier, names))}"
