"""Capture on MariaDB as text: the journal of a table, and the three triggers that fill it.

A trigger names columns here, and a migration takes columns away. What names a column that is gone
fails where it runs, so each column has a block of its own, and its handler makes the column one
that is not known: the application's statement goes on (tried on 10.11 and 11.4). The trigger's
account is the login that makes it, as another one would need SET USER, the right to be anybody.
"""

from dataclasses import dataclass
from typing import Final

from whimbrel.planning.dialects.mariadb import quote_identifier
from whimbrel.planning.dialects.mariadb_checkpoint import EVENTS, Column, Subject

# Numbers from here on are of rows that came when the journal was full: none of them stays.
FULL: Final = 2**62
_LOOK_AT_SIZE: Final = 64  # rows between two looks at the journal's size
_NO_SUCH_COLUMN: Final = 1054

# Triggers whose names begin with $1: name, table, and all that they do.
READ_TRIGGERS: Final = (
    "SELECT g.TRIGGER_NAME, g.EVENT_OBJECT_TABLE, SHA2(CONCAT_WS('|', g.ACTION_TIMING,"
    " g.EVENT_MANIPULATION, g.ACTION_STATEMENT, g.DEFINER, g.SQL_MODE), 256)"
    " FROM information_schema.TRIGGERS g WHERE g.TRIGGER_SCHEMA = DATABASE()"
    " AND LEFT(g.TRIGGER_NAME, CHAR_LENGTH($1)) = $1 ORDER BY g.TRIGGER_NAME"
)


@dataclass(frozen=True)
class Limits:
    """What a capture leaves out.

    Attributes:
        login: Of the migration: what it writes is none of the application's.
        until: Time in UTC, as text.
        most: Bytes of the journal.
    """

    login: str
    until: str
    most: int


def make_journal(subject: Subject) -> str:
    """Return the statement that makes the journal of a table.

    o1.. is the key that a row had, k1.. the key that it has, n1.. its values and c1.. whether they
    are of this write; `bad` what no column of before can hold, as text. Its size is kept up to
    date by whoever writes: statistics that persist lag behind by seconds.
    """
    lines = ["seq BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY", "op CHAR(1) NOT NULL"]
    for place, column in enumerate(subject.key, start=1):
        lines += [f"{letter}{place} {column.variable} NULL" for letter in "ok"]
    for place, column in enumerate(subject.columns, start=1):
        lines += [f"n{place} {column.in_journal} NULL", f"c{place} TINYINT NOT NULL DEFAULT 0"]
    lines += ["bad LONGTEXT CHARACTER SET utf8mb4 NULL", "done TINYINT NOT NULL DEFAULT 0"]
    lines += ["KEY waiting (done, seq)"]
    for letter in "ok":
        listed = ", ".join(f"{letter}{place}" for place, _ in enumerate(subject.key, start=1))
        lines += [f"KEY by_{letter} ({listed})"]
    listed = ",\n  ".join(lines)
    return (
        f"CREATE TABLE {quote_identifier(subject.journal)} (\n  {listed}\n)"
        " ENGINE=InnoDB ROW_FORMAT=DYNAMIC STATS_PERSISTENT=0 DEFAULT CHARSET=utf8mb4"
    )


def make_trigger(subject: Subject, event: str, limits: Limits) -> str:
    """Return the statement that makes the trigger of an event."""
    journal = quote_identifier(subject.journal)
    declared, body = _row(subject, event)
    lines = [
        f"CREATE TRIGGER {quote_identifier(subject.names.trigger(subject.number, event))}",
        f"AFTER {event} ON {quote_identifier(subject.table)} FOR EACH ROW",
        "BEGIN",
        *declared,
        f"IF {_LOGIN} <> {_text(limits.login)} AND UTC_TIMESTAMP() < {_text(limits.until)} THEN",
        "BEGIN",
        # Whatever else is wrong: the row says that a write is missing, and no restore is proven.
        f"DECLARE EXIT HANDLER FOR SQLEXCEPTION INSERT INTO {journal} (op) VALUES ('?');",
        *body,
        *_bounded(subject.journal, limits.most),
        "END;",
        "END IF;",
        "END",
    ]
    return "\n".join(lines)


_LOGIN: Final = "BINARY LEFT(USER(), CHAR_LENGTH(USER()) - LOCATE('@', REVERSE(USER())))"


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _row(subject: Subject, event: str) -> tuple[list[str], list[str]]:
    """Return the declarations and the statements that write one row."""
    declared = ["DECLARE bad LONGTEXT CHARACTER SET utf8mb4 DEFAULT NULL;"]
    given, body = {"op": _text(event[0]), "bad": "bad"}, list[str]()
    for place, column in enumerate(subject.key, start=1):
        for letter, row in (("o", "OLD"), ("k", "NEW")):
            if row != _ABSENT.get(event):
                given[f"{letter}{place}"] = f"{row}.{column.quoted}"
    if event != "DELETE":
        for place, column in enumerate(subject.columns, start=1):
            declared.append(f"DECLARE n{place} {column.variable} DEFAULT NULL;")
            declared.append(f"DECLARE c{place} TINYINT DEFAULT 0;")
            body += _column(place, column, event)
            given |= {f"n{place}": f"n{place}", f"c{place}": f"c{place}"}
    insert = f"INSERT INTO {quote_identifier(subject.journal)} ({', '.join(given)})"
    return declared, [*body, f"{insert} VALUES ({', '.join(given.values())});"]


_ABSENT: Final = {EVENTS[0]: "OLD", EVENTS[2]: "NEW"}


def _column(place: int, column: Column, event: str) -> list[str]:
    """Return the block that takes one column's value, where there is one and it fits."""
    new, old = f"NEW.{column.quoted}", f"OLD.{column.quoted}"
    take = [
        f"SET n{place} = {_taken(column, new)};",
        f"IF NOT ({_same(column, f'n{place}', new)}) THEN SIGNAL SQLSTATE '45000'; END IF;",
        f"SET c{place} = 1;",
    ]
    if event == "UPDATE":
        changed = f"NOT ({_taken(column, old)} <=> {_taken(column, new)}"
        take = [f"IF {changed} AND BINARY {old} <=> BINARY {new}) THEN", *take, "END IF;"]
    told = f"JSON_SET(COALESCE(bad, '{{}}'), '$.c{place}', CONVERT({new} USING utf8mb4))"
    return [
        "BEGIN",
        f"DECLARE EXIT HANDLER FOR {_NO_SUCH_COLUMN} BEGIN END;",
        f"DECLARE EXIT HANDLER FOR SQLEXCEPTION SET n{place} = NULL, bad = {told};",
        *take,
        "END;",
    ]


def _taken(column: Column, value: str) -> str:
    return f"UNIX_TIMESTAMP({value})" if column.type == "timestamp" else value


def _same(column: Column, kept: str, value: str) -> str:
    """Return the condition that nothing was lost on the way into the variable."""
    if column.is_text:
        return f"BINARY CONVERT({kept} USING utf8mb4) <=> BINARY CONVERT({value} USING utf8mb4)"
    return f"{kept} <=> {_taken(column, value)}"


def _bounded(journal: str, most: int) -> list[str]:
    """Return what keeps the journal below its size.

    A row with a number beyond all others says that it is full, and from then on no row stays:
    numbers never go back, whatever is rolled back.
    """
    quoted = quote_identifier(journal)
    size = (
        "(SELECT COALESCE(t.DATA_LENGTH + t.INDEX_LENGTH, 0) FROM information_schema.TABLES t"
        f" WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = {_text(journal)})"
    )
    return [
        f"IF LAST_INSERT_ID() > {FULL} THEN",
        f"DELETE FROM {quoted} WHERE seq = LAST_INSERT_ID();",
        f"ELSEIF LAST_INSERT_ID() MOD {_LOOK_AT_SIZE} = 0 AND {size} >= {most:d} THEN",
        f"INSERT INTO {quoted} (seq, op, done) VALUES ({FULL} + LAST_INSERT_ID(), 'F', 9);",
        "END IF;",
    ]


def drop_trigger(name: str) -> str:
    """Return the statement that drops a trigger of ours."""
    return f"DROP TRIGGER IF EXISTS {quote_identifier(name)}"


def read_state(journal: str) -> str:
    """Return the question whether a journal has a gap, and whether it is full."""
    quoted = quote_identifier(journal)
    counter = (
        "(SELECT t.AUTO_INCREMENT FROM information_schema.TABLES t"
        f" WHERE t.TABLE_SCHEMA = DATABASE() AND t.TABLE_NAME = {_text(journal)})"
    )
    return f"SELECT EXISTS (SELECT 1 FROM {quoted} WHERE op = '?'), COALESCE({counter}, 0) > {FULL}"
