"""The replay on MariaDB as text: rows of a journal, carried out on the copy one after the other.

The numbers of a journal are in the order of the writes to each row, since a row is locked from the
write until its transaction is over. So what is visible of a row's writes is their beginning, and
one round takes all that is visible, in order.
"""

from collections.abc import Sequence
from typing import Final

from whimbrel.planning.dialects.mariadb import quote_identifier
from whimbrel.planning.dialects.mariadb_checkpoint import Column, Subject

# Kinds of what has no place in the shape before.
NO_PLACE: Final = "DoesNotFit"  # a value that no column of before can hold
NO_COLUMN: Final = "UnknownColumn"  # a value in a column that only the new shape has
NO_ROW: Final = "MigrationRow"  # a change of a row that the migration made, or gave another key
DELETED: Final = "MigrationRowDeleted"  # the same, and the change is that it is gone
REPLACED: Final = "ReplacedRow"  # of before; the migration took it away, and its key is given again

_ROW: Final = "`whimbrel row`"  # of the loop; a column of this name could not be set


def replay(subject: Subject, most: int) -> str:
    """Return the statement that carries out the next rows of a journal, in one transaction."""
    journal, clone = quote_identifier(subject.journal), quote_identifier(subject.clone)
    old, new = _where(subject, "o"), _where(subject, "k")
    places = list(enumerate(subject.columns, start=1))
    stranger = _conflict(subject, "o", NO_ROW, "''", _changed(subject.columns))
    gone = _conflict(subject, "o", DELETED, "''", "NULL")
    lines = [
        "BEGIN NOT ATOMIC",
        f"FOR {_ROW} IN (SELECT * FROM {journal} WHERE done = 0 ORDER BY seq LIMIT {most:d}) DO",
        f"IF {_ROW}.op = 'D' THEN",
        f"DELETE FROM {clone} WHERE {old};",
        f"IF ROW_COUNT() = 0 THEN {gone} END IF;",
        f"ELSEIF {_ROW}.op = 'I' THEN",
        f"{_replaced(subject)} WHERE {new};",
        f"DELETE FROM {clone} WHERE {new};",
        f"INSERT INTO {clone} ({', '.join(each.quoted for each in subject.columns)})",
        f"VALUES ({', '.join(_inserted(place, each) for place, each in places)});",
        f"ELSEIF {_ROW}.op = 'U' THEN",
        f"IF EXISTS (SELECT 1 FROM {clone} WHERE {old}) THEN",
        f"UPDATE {clone} SET {', '.join(_updated(place, each) for place, each in places)}",
        f"WHERE {old};",
        f"ELSE {stranger}",
        "END IF;",
        "END IF;",
        f"IF {_ROW}.bad IS NOT NULL THEN",
        *(_bad(subject, place, each) for place, each in places),
        "END IF;",
        f"UPDATE {journal} SET done = 1 WHERE seq = {_ROW}.seq;",
        "END FOR;",
        "END",
    ]
    return "\n".join(lines)


def _where(subject: Subject, letter: str) -> str:
    return " AND ".join(
        f"{each.quoted} = {_kept(letter, place, each)}"
        for place, each in enumerate(subject.key, start=1)
    )


def _inserted(place: int, column: Column) -> str:
    default = "NULL" if column.is_needed else f"DEFAULT({column.quoted})"
    return f"IF({_ROW}.c{place}, {_kept('n', place, column)}, {default})"


def _updated(place: int, column: Column) -> str:
    return f"{column.quoted} = IF({_ROW}.c{place}, {_kept('n', place, column)}, {column.quoted})"


def _kept(letter: str, place: int, column: Column) -> str:
    value = f"{_ROW}.{letter}{place}"
    if column.type != "timestamp":
        return value
    return f"IF({value} = 0, '0000-00-00 00:00:00', FROM_UNIXTIME({value}))"


def in_text(value: str) -> str:
    """Return a literal."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def _shown(column: Column, value: str) -> str:
    """Return a value as text that can be read."""
    if column.is_text or not column.type.endswith(("binary", "blob", "bit")):
        return f"CONVERT({value} USING utf8mb4)"
    return f"HEX({value})"


def _key(subject: Subject, letter: str) -> str:
    parts = (
        f"{in_text(each.name)}, {_shown(each, _kept(letter, place, each))}"
        for place, each in enumerate(subject.key, start=1)
    )
    return f"JSON_OBJECT({', '.join(parts)})"


def _changed(columns: Sequence[Column]) -> str:
    """Return what a write changed, as text; what it did not change is NULL."""
    parts = (
        f"{in_text(each.name)}, IF({_ROW}.c{place}, {_shown(each, _kept('n', place, each))}, NULL)"
        for place, each in enumerate(columns, start=1)
    )
    return f"JSON_OBJECT({', '.join(parts)})"


def _replaced(subject: Subject) -> str:
    """Return the statement that records rows of the copy as they are, but for its condition."""
    row = f"{_key(subject, 'k')}, '{REPLACED}', '', {whole_row(subject.columns, '')}"
    source = f"{in_text(subject.checkpoint)}, {subject.number}, {row}"
    return record(subject.names.schema, f"SELECT {source} FROM {quote_identifier(subject.clone)}")


def whole_row(columns: Sequence[Column], row: str) -> str:
    """Return the values of a table's row as text; `row` is "", or its name and a point."""
    parts = (f"{in_text(e.name)}, {_shown(e, f'{row}{e.quoted}')}" for e in columns)
    return f"JSON_OBJECT({', '.join(parts)})"


def _conflict(subject: Subject, letter: str, kind: str, column: str, value: str) -> str:
    told = f"{_key(subject, letter)}, '{kind}', {column}, {value}"
    query = f"SELECT {in_text(subject.checkpoint)}, {subject.number}, {told}"
    return f"{record(subject.names.schema, query)};"


def _bad(subject: Subject, place: int, column: Column) -> str:
    value = f"JSON_VALUE({_ROW}.bad, '$.c{place}')"
    insert = _conflict(subject, "k", NO_PLACE, in_text(column.name), value)
    return f"IF JSON_EXISTS({_ROW}.bad, '$.c{place}') THEN {insert} END IF;"


def waiting(journal: str) -> str:
    """Return the question how many rows of a journal wait to be carried out."""
    return f"SELECT COUNT(*) FROM {quote_identifier(journal)} WHERE done = 0"


def furthest(journal: str, place: int) -> str:
    """Return the question for the highest number that was given, as far as the journal knows."""
    return f"SELECT COALESCE(MAX(n{place}), 0) FROM {quote_identifier(journal)}"


def unmapped(subject: Subject, table: str, column: str, *, has_default: bool) -> str:
    """Return the query of a column that only the new shape has, in rows that were written.

    Which of the values the application wrote and which the migration cannot be told, so what is
    the column's default is left out and everything else is in. `table` is the failed table.
    """
    value = f"l.{quote_identifier(column)}"
    default = f" AND NOT ({value} <=> DEFAULT({value}))" if has_default else ""
    key = list(enumerate(subject.key, start=1))
    same = " AND ".join(f"j.k{place} = {each.taken('l')}" for place, each in key)
    parts = (f"{in_text(each.name)}, {_shown(each, f'l.{each.quoted}')}" for _, each in key)
    return (
        f"SELECT {in_text(subject.checkpoint)}, {subject.number}, JSON_OBJECT({', '.join(parts)}),"
        f" '{NO_COLUMN}', {in_text(column)}, CONVERT({value} USING utf8mb4)"
        f" FROM {quote_identifier(table)} l WHERE {value} IS NOT NULL{default}"
        f" AND EXISTS (SELECT 1 FROM {quote_identifier(subject.journal)} j WHERE {same})"
    )


def record(schema: str, query: str) -> str:
    """Return the statement that records what a query finds: a row for each conflict."""
    table = quote_identifier(f"{schema}_checkpoint_conflict")
    return f"INSERT INTO {table} (checkpoint, number, `key`, kind, column_name, value) {query}"


def count(query: str) -> str:
    """Return the question how much a query of `unmapped` finds."""
    return f"SELECT COUNT(*) FROM ({query}) u"


FORGET_UNMAPPED: Final = (
    f"DELETE FROM {{s}}.checkpoint_conflict WHERE checkpoint = $1 AND kind = '{NO_COLUMN}'"
)
