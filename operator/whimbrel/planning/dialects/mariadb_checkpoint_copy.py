"""The copy of a covered table on MariaDB as text, and the proof that it has every row."""

from typing import Final

from whimbrel.planning.dialects.mariadb import quote_identifier
from whimbrel.planning.dialects.mariadb_checkpoint import Subject

_SEEN: Final = "@whimbrel_seen"


def make_clone(clone: str, table: str) -> str:
    """Return the statement that makes an empty copy with indexes, defaults and checks."""
    return f"CREATE TABLE {quote_identifier(clone)} LIKE {quote_identifier(table)}"


def copy_rows(subject: Subject) -> str:
    """Return the statement that copies all rows, without a lock on any.

    It also keeps which rows of the journal it sees, in the same moment: what they tell is in the
    copy, and telling it again could meet a later owner of the same key or unique value.
    """
    listed = ", ".join(each.quoted for each in subject.columns)
    taken = ", ".join(f"a.{each.quoted}" for each in subject.columns)
    seen = (
        f"SELECT {_SEEN} := COALESCE(GROUP_CONCAT(seq), '') AS seqs"
        f" FROM {quote_identifier(subject.journal)} WHERE done = 0"
    )
    return (
        f"INSERT INTO {quote_identifier(subject.clone)} ({listed}) SELECT STRAIGHT_JOIN {taken}"
        f" FROM ({seen}) seen JOIN {quote_identifier(subject.table)} a"
    )


def pass_over(subject: Subject, *, seen: bool) -> str:
    """Return the statement after which the replay passes over rows of the journal.

    Args:
        subject: The table.
        seen: Those that the copy saw; else all that are visible, before a copy.
    """
    journal = quote_identifier(subject.journal)
    those = f" AND FIND_IN_SET(seq, {_SEEN})" if seen else ""
    return (
        f"BEGIN NOT ATOMIC FOR j IN (SELECT seq FROM {journal} WHERE done = 0{those}) DO"
        f" UPDATE {journal} SET done = 1 WHERE seq = j.seq; END FOR; END"
    )


def differing(subject: Subject) -> str:
    """Return the question in how many rows a copy and its table differ.

    Rows that the application has written meanwhile are left out: the replay makes them equal.
    """
    equal = (_equal(f"a.{each.quoted}", f"b.{each.quoted}") for each in subject.columns)
    joined = " AND ".join(f"a.{each.quoted} = b.{each.quoted}" for each in subject.key)
    a, b = quote_identifier(subject.table), quote_identifier(subject.clone)
    unwritten, first = _unwritten(subject), subject.key[0].quoted
    return (
        f"SELECT (SELECT COUNT(*) FROM {a} a LEFT JOIN {b} b ON {joined}"
        f" WHERE (b.{first} IS NULL OR NOT ({' AND '.join(equal)})){unwritten})"
        f" + (SELECT COUNT(*) FROM {b} a WHERE NOT EXISTS"
        f" (SELECT 1 FROM {a} b WHERE {joined}){unwritten})"
    )


def _unwritten(subject: Subject) -> str:
    parts = []
    for letter in "ok":
        same = " AND ".join(
            f"j.{letter}{place} = {each.taken('a')}"
            for place, each in enumerate(subject.key, start=1)
        )
        journal = quote_identifier(subject.journal)
        parts.append(f" AND NOT EXISTS (SELECT 1 FROM {journal} j WHERE {same})")
    return "".join(parts)


def _equal(left: str, right: str) -> str:
    return f"({left} <=> {right} AND BINARY {left} <=> BINARY {right})"
