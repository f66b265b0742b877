"""What a statement of MariaDB does to named things, as far as its text tells."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, TypeAlias

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.dialects.mariadb_words import Word
from whimbrel.planning.touched import (
    Created,
    Dropped,
    Opaque,
    Renamed,
    Retyped,
    Touch,
    Written,
)

Node: TypeAlias = Any  # of sqlglot, which is not checked here


def touched(text: str, words: Sequence[Word]) -> tuple[Touch, ...]:
    """Return what a statement does, in order; nothing where its text does not tell."""
    by_words = _by_words(words)
    if by_words is not None:
        return tuple(by_words)
    try:
        tree = sqlglot.parse_one(text, dialect="mysql")
    except (SqlglotError, RecursionError):
        return ()
    reader = _READERS.get(type(tree))
    return tuple(reader(tree) if reader else _unread(words))


def named_tables(words: Sequence[Word], touches: Sequence[Touch]) -> tuple[str, ...]:
    """Return the tables that a statement changes, or whose rows it changes."""
    if words[0].word in {"INSERT", "REPLACE"}:
        return (_target(words).name,)
    objects = [each for touch in touches for each in _objects(touch)]
    if words[0].word == "ALTER" and len(words) > 2 and words[1].word == "TABLE":
        objects.append(_named(words, "TABLE"))
    found = {each.name for each in objects if each.kind not in _STORED and each.name}
    return tuple(sorted(found))


_STORED: Final = frozenset({"function", "event", "schema"})


def _objects(touch: Touch) -> tuple[CatalogObject, ...]:
    match touch:
        case Created(each) | Retyped(each):
            return (each,)
        case Dropped(each) | Written(each):
            return (each,)
        case Renamed(old, new):
            return (old, new)
        case _:
            return ()


def _by_words(words: Sequence[Word]) -> Iterator[Touch] | None:
    """Read the few statements that sqlglot does not, by their fixed order of words."""
    first, *rest = [each.word for each in words[:20]]
    if first == "INSERT" and all(each.word != "DUPLICATE" for each in words):
        return iter(())  # it only adds; and there may be megabytes of it
    if first == "CREATE":
        return _made_for_table(words, rest)
    reader = _FIXED.get(first)
    return reader(words) if reader else None


def _made_for_table(words: Sequence[Word], rest: Sequence[str]) -> Iterator[Touch] | None:
    if "INDEX" in rest[:4]:
        return _made(words, "index")
    return _made(words, "trigger") if "TRIGGER" in rest else None


def _unread(words: Sequence[Word]) -> Iterator[Touch]:
    """Read at least the name of a table whose definition sqlglot does not know."""
    said = [each.word for each in words[:4]]
    if said[0] == "CREATE" and "TABLE" in said and "TEMPORARY" not in said:
        yield Created(_named(words, "TABLE"))


def _made(words: Sequence[Word], kind: str) -> Iterator[Touch]:
    table, part = _named(words, "ON"), _named(words, kind.upper())
    yield Created(replace(table, kind=kind, part=part.name))


def _replaced(words: Sequence[Word]) -> Iterator[Touch]:
    yield Written(_target(words))


def _called(words: Sequence[Word]) -> Iterator[Touch]:
    yield Opaque(f"{words[0].raw} {words[1].raw}")


def _target(words: Sequence[Word]) -> CatalogObject:
    """Return the table that an INSERT or REPLACE names."""
    after = [n for n, each in enumerate(words[:8]) if each.word in _BEFORE_TARGET]
    return _dotted(words[max(after, default=0) + 1 :])


_BEFORE_TARGET: Final = frozenset(
    {"INSERT", "REPLACE", "INTO", "IGNORE", "LOW_PRIORITY", "HIGH_PRIORITY", "DELAYED"}
)


def _renamed_tables(words: Sequence[Word]) -> Iterator[Touch]:
    part: list[Word] = []
    for each in (*words[2:], Word(",", ",")):
        if each.word != ",":
            part.append(each)
            continue
        said = [word.word for word in part]
        if "TO" in said:
            middle = said.index("TO")
            yield Renamed(_dotted(part[:middle]), _dotted(part[middle + 1 :]))
        part = []


_FIXED: Final[dict[str, Callable[[Sequence[Word]], Iterator[Touch]]]] = {
    "RENAME": _renamed_tables,
    "REPLACE": _replaced,
    "CALL": _called,
    "EXECUTE": _called,
}


def _named(words: Sequence[Word], after: str) -> CatalogObject:
    """Return the name that follows a word, and IF EXISTS or IF NOT EXISTS behind it."""
    said = [each.word for each in words[:40]]
    place = said.index(after) + 1 if after in said else 0
    if said[place : place + 1] == ["IF"]:
        place = said.index("EXISTS") + 1
    return _dotted(words[place:])


def _dotted(words: Sequence[Word]) -> CatalogObject:
    """Return the table whose name the words begin with: name, or database.name."""
    if len(words) > 2 and words[1].word == ".":
        return CatalogObject("table", words[0].raw, words[2].raw)
    return CatalogObject("table", "", words[0].raw if words else "")


def _table(tree: Node, kind: str = "table") -> CatalogObject:
    found = tree if isinstance(tree, exp.Table) else tree.find(exp.Table)
    if found is None:
        return CatalogObject(kind, "", "")
    return CatalogObject(kind, found.db, found.name)


def _column(table: CatalogObject, name: str) -> CatalogObject:
    return replace(table, kind="column", part=name)


def _create(tree: Node) -> Iterator[Touch]:
    kind = str(tree.args.get("kind") or "").upper()
    if kind == "TABLE":
        if not tree.find(exp.TemporaryProperty):
            yield from _create_table(tree)
    elif kind in _KINDS and tree.this is not None:
        yield Created(_table(tree.this, _KINDS[kind]))


def _create_table(tree: Node) -> Iterator[Touch]:
    table = _table(tree.this)
    if tree.args.get("replace"):
        yield Dropped(table, cascade=False)
    yield Created(table)
    if isinstance(tree.this, exp.Schema):
        for each in tree.this.expressions:
            if isinstance(each, exp.ColumnDef):
                yield Created(_column(table, each.name))


_KINDS: Final = {
    "VIEW": "view", "PROCEDURE": "function", "FUNCTION": "function", "SEQUENCE": "sequence",
    "DATABASE": "schema", "SCHEMA": "schema", "EVENT": "event",
}  # fmt: skip


def _drop(tree: Node) -> Iterator[Touch]:
    kind = str(tree.args.get("kind") or "").upper()
    tables = [_table(each) for each in tree.find_all(exp.Table)]
    if kind == "INDEX" and len(tables) == 2:
        index, table = tables
        yield Dropped(replace(table, kind="index", part=index.name), cascade=False)
    elif kind == "TRIGGER":
        for each in tables:
            # Its table is not named; the trigger's own name is unique in a database.
            yield Dropped(CatalogObject("trigger", each.schema, "", each.name), cascade=False)
    elif not tree.args.get("temporary"):
        for each in tables:
            yield Dropped(replace(each, kind=_KINDS.get(kind, "table")), cascade=False)


def _alter(tree: Node) -> Iterator[Touch]:
    if str(tree.args.get("kind") or "").upper() != "TABLE":
        return
    table = _table(tree.this)
    for action in tree.args.get("actions") or ():
        yield from _action(table, action)


def _action(table: CatalogObject, action: Node) -> Iterator[Touch]:
    match action:
        case exp.ColumnDef():
            yield Created(_column(table, action.name))
        case exp.RenameColumn():
            yield Renamed(_column(table, action.this.name), _column(table, action.args["to"].name))
        case exp.ModifyColumn():
            yield from _modified(table, action)
        case exp.AlterRename():
            yield Renamed(table, _table(action))
        case exp.RenameIndex():
            yield Renamed(_index(table, action.name), _index(table, action.args["to"].name))
        case exp.Drop():
            yield from _dropped_part(table, action)
        case exp.AddConstraint():
            yield from _added(table, action)
        case _:
            return


def _modified(table: CatalogObject, action: Node) -> Iterator[Touch]:
    new, old = action.this.name, action.args.get("rename_from")
    if old is not None and old.name.lower() != new.lower():
        yield Renamed(_column(table, old.name), _column(table, new))
    yield Retyped(_column(table, new))


def _index(table: CatalogObject, name: str) -> CatalogObject:
    return replace(table, kind="index", part=name)


def _dropped_part(table: CatalogObject, action: Node) -> Iterator[Touch]:
    kind = str(action.args.get("kind") or "COLUMN").upper()
    part = {"COLUMN": "column", "INDEX": "index", "KEY": "index"}.get(kind, "constraint")
    for each in action.args.get("tables") or ():
        yield Dropped(replace(table, kind=part, part=each.name), cascade=False)


def _added(table: CatalogObject, action: Node) -> Iterator[Touch]:
    for each in action.expressions:
        if isinstance(each, exp.Constraint) and each.name:
            yield Created(replace(table, kind="constraint", part=each.name))
        elif isinstance(each, exp.IndexColumnConstraint) and each.name:
            yield Created(_index(table, each.name))


def _insert(tree: Node) -> Iterator[Touch]:
    conflict = tree.args.get("conflict")
    if conflict is not None:
        yield Written(_table(tree.this), _columns(conflict.expressions))


def _update(tree: Node) -> Iterator[Touch]:
    columns = _columns(tree.expressions)
    for each in _joined(tree):
        yield Written(each, columns)


def _delete(tree: Node) -> Iterator[Touch]:
    for each in tree.args.get("tables") or [tree.this]:
        yield Written(_table(each))


def _joined(tree: Node) -> list[CatalogObject]:
    """Return the tables of an UPDATE; which one a column belongs to is not asked."""
    first = tree.this
    joins = first.args.get("joins") or () if isinstance(first, exp.Table) else ()
    return [_table(first), *(_table(join.this) for join in joins)]


def _columns(assignments: Sequence[Any]) -> tuple[str, ...]:
    return tuple(each.this.name for each in assignments if isinstance(each, exp.EQ))


def _truncate(tree: Node) -> Iterator[Touch]:
    for each in tree.expressions:
        yield Written(_table(each))


_READERS: Final[dict[type, Callable[[Node], Iterator[Touch]]]] = {
    exp.Create: _create,
    exp.Drop: _drop,
    exp.Alter: _alter,
    exp.Insert: _insert,
    exp.Update: _update,
    exp.Delete: _delete,
    exp.TruncateTable: _truncate,
}
