"""Foreign keys of covered tables on MariaDB as text: what they are, where they go, who breaks them.

Names of constraints are unique in a database, a key cannot leave and come back under its name in
one statement, and whoever makes a key may rename an index that the server made for one.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from itertools import count
from typing import Any, Final

from whimbrel.planning.dialects.mariadb import quote_identifier
from whimbrel.planning.dialects.mariadb_checkpoint import Subject
from whimbrel.planning.dialects.mariadb_checkpoint_replay import in_text, record, whole_row

NO_PARENT: Final = "NoParent"
# The server takes over keys without a look at rows, and without a copy of the table.
UNCHECKED: Final = "SET SESSION foreign_key_checks = 0"

# Columns of the foreign keys of a table ($2, in $1) and of those that point at it, in order. A
# unique index may have the name of a key, and another table that of this one in capitals.
READ_KEYS: Final = (
    "SELECT f.CONSTRAINT_NAME, f.TABLE_NAME, f.REFERENCED_TABLE_NAME, f.DELETE_RULE, f.UPDATE_RULE,"
    " u.COLUMN_NAME, u.REFERENCED_COLUMN_NAME"
    " FROM information_schema.REFERENTIAL_CONSTRAINTS f"
    " JOIN information_schema.KEY_COLUMN_USAGE u ON u.CONSTRAINT_SCHEMA = f.CONSTRAINT_SCHEMA"
    " AND u.TABLE_SCHEMA = $1 AND u.TABLE_NAME = f.TABLE_NAME"
    " AND u.CONSTRAINT_NAME = f.CONSTRAINT_NAME AND u.REFERENCED_COLUMN_NAME IS NOT NULL"
    " WHERE f.CONSTRAINT_SCHEMA = $1 AND BINARY $2 IN (f.TABLE_NAME, f.REFERENCED_TABLE_NAME)"
    " AND f.UNIQUE_CONSTRAINT_SCHEMA = $1 ORDER BY 2, 1, u.ORDINAL_POSITION"
)
# Tables with a foreign key of a name ($1).
WHO_HAS: Final = (
    "SELECT f.TABLE_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS f"
    " WHERE f.CONSTRAINT_SCHEMA = DATABASE() AND f.CONSTRAINT_NAME = $1"
)
# Columns of the indexes of a table ($1), in order.
READ_INDEXES: Final = (
    "SELECT s.INDEX_NAME, s.COLUMN_NAME FROM information_schema.STATISTICS s"
    " WHERE s.TABLE_SCHEMA = DATABASE() AND s.TABLE_NAME = $1 ORDER BY 1, s.SEQ_IN_INDEX"
)
_FOREIGN: Final = re.compile(r"^  CONSTRAINT `(?:[^`]|``)+` FOREIGN KEY ")
_INDEX: Final = re.compile(r"^  KEY (`(?:[^`]|``)+`) .*?(?=,?$)", re.MULTILINE)


@dataclass(frozen=True)
class Key:
    """A foreign key; `index` is the child's index of just these columns, or ""."""

    name: str
    child: str
    parent: str
    columns: tuple[str, ...]
    refs: tuple[str, ...]
    on_delete: str
    on_update: str
    index: str = ""

    def manifest(self) -> list[Any]:
        """Return it as a manifest keeps it; `kept_key` reads it."""
        listed = (list(e) if isinstance(e, tuple) else e for e in astuple(self))
        return list(listed)

    def is_like(self, other: "Key") -> bool:
        """Tell whether another one is the same but for its name."""
        return replace(self, name="", index="") == replace(other, name="", index="")

    @property
    def added(self) -> str:
        """Return the part of an ALTER that adds it."""
        columns, refs = (", ".join(map(quote_identifier, e)) for e in (self.columns, self.refs))
        rules = (("DELETE", self.on_delete), ("UPDATE", self.on_update))
        told = "".join(f" ON {event} NO ACTION" for event, rule in rules if rule == "NO ACTION")
        return (
            f"ADD CONSTRAINT {quote_identifier(self.name)} FOREIGN KEY ({columns})"
            f" REFERENCES {quote_identifier(self.parent)} ({refs}){told}"
        )

    @property
    def dropped(self) -> str:
        """Return the part of an ALTER that drops it."""
        return f"DROP FOREIGN KEY {quote_identifier(self.name)}"


def kept_key(kept: list[Any]) -> Key:
    """Return a key of a manifest."""
    name, child, parent, columns, refs, *rest = kept
    return Key(name, child, parent, tuple(columns), tuple(refs), *rest)


def alter(table: str, drop: Iterable[Key], add: Iterable[Key]) -> str:
    """Return the statement that exchanges keys of a table, without a copy; "" if there are none."""
    parts = [*(each.dropped for each in drop), *(each.added for each in add)]
    if not parts:
        return ""
    listed = ", ".join([*parts, "ALGORITHM = NOCOPY", "LOCK = EXCLUSIVE"])
    return f"ALTER TABLE {quote_identifier(table)} {listed}"


def towards(table: str, present: Sequence[Key], wanted: Sequence[Key], passing: str) -> str:
    """Return the next statement on the way to the keys that a table is to have; "" at its end.

    First each key is what it is to be, under a name that is free; then it gets its own name. So
    there is no moment without it.

    Args:
        table: Whose keys they are.
        present: Those that it has.
        wanted: Those that it is to have.
        passing: What the names begin with that keys have in between.
    """
    done = [(was, e) for was in present for e in wanted if was.name == e.name and was.is_like(e)]
    free = [was for was in present if was not in [each for each, _ in done]]
    renamed, lacking = list[tuple[Key, Key]](), list[Key]()
    for each in wanted:
        if each in [key for _, key in done]:
            continue
        if was := next((other for other in free if other.is_like(each)), None):
            free.remove(was)
            renamed.append((was, each))
        else:
            lacking.append(each)
    if free or lacking:
        taken = {each.name for each in present}
        names = (name for n in count() if (name := f"{passing}{n}") not in taken)
        return alter(table, free, [replace(e, name=next(names)) for e in lacking])
    return alter(table, [was for was, _ in renamed], [each for _, each in renamed])


def rename_index(table: str, was: str, name: str) -> str:
    """Return the statement that gives an index its name back."""
    names = f"{quote_identifier(was)} TO {quote_identifier(name)}"
    return f"ALTER TABLE {quote_identifier(table)} RENAME INDEX {names}, ALGORITHM = INSTANT"


def without_keys(definition: str) -> list[str]:
    """Return the lines of a definition but for its foreign keys."""
    return [e.removesuffix(",") for e in definition.splitlines() if not _FOREIGN.match(e)]


def own_indexes(definition: str, clone: str) -> str:
    """Return the statement that makes an empty copy's indexes its own; "" if it has none.

    The server gives an index that it made for a foreign key another name with the next one.
    """
    found = list(_INDEX.finditer(definition))
    parts = [f"DROP KEY {each[1]}" for each in found] + [f"ADD {each[0].strip()}" for each in found]
    return f"ALTER TABLE {quote_identifier(clone)} {', '.join(parts)}" if found else ""


def _is_orphan(key: Key) -> str:
    """Return the condition that a row `c` of the child refers to none."""
    given = " AND ".join(f"c.{quote_identifier(each)} IS NOT NULL" for each in key.columns)
    pairs = zip(key.refs, key.columns, strict=True)
    same = " AND ".join(f"p.{quote_identifier(a)} = c.{quote_identifier(b)}" for a, b in pairs)
    return f"{given} AND NOT EXISTS (SELECT 1 FROM {quote_identifier(key.parent)} p WHERE {same})"


def count_orphans(key: Key) -> str:
    """Return the question how many rows of the child refer to none."""
    return f"SELECT COUNT(*) FROM {quote_identifier(key.child)} c WHERE {_is_orphan(key)}"


def end_orphans(key: Key) -> str:
    """Return the statement that deletes rows of the child that refer to none."""
    return f"DELETE c FROM {quote_identifier(key.child)} c WHERE {_is_orphan(key)}"


def take_out_orphans(subject: Subject, key: Key) -> str:
    """Return the statement that records rows of a restored child that refer to none, and ends them.

    Each row is looked at again when it is locked: its parent may have come meanwhile.
    """
    child, row = quote_identifier(key.child), "`whimbrel row`"
    names = ", ".join(f"c.{each.quoted} AS k{n}" for n, each in enumerate(subject.key))
    same = " AND ".join(f"c.{each.quoted} = {row}.k{n}" for n, each in enumerate(subject.key))
    told = f"{whole_row(subject.key, 'c.')}, '{NO_PARENT}', '', {whole_row(subject.columns, 'c.')}"
    query = (
        f"SELECT {in_text(subject.checkpoint)}, {subject.number}, {told} FROM {child} c"
        f" WHERE {same} AND {_is_orphan(key)} FOR UPDATE"
    )
    return (
        f"BEGIN NOT ATOMIC FOR {row} IN (SELECT {names} FROM {child} c WHERE {_is_orphan(key)}) DO"
        f" {record(subject.names.schema, query)};"
        f" IF ROW_COUNT() > 0 THEN DELETE c FROM {child} c WHERE {same}; END IF; END FOR; END"
    )
