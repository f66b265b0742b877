"""Whether another table takes a table's name: what is written to it, no trigger captures."""

from collections.abc import Iterable, Iterator
from typing import Final

from whimbrel.model.steps import CatalogObject, Statement
from whimbrel.planning.checkpoint.touches import Known, Name
from whimbrel.planning.syntax import parse_sql
from whimbrel.planning.touched import Created, Dropped, Renamed, Touch

_RELATIONS: Final = frozenset({"table", "foreign table", "view", "materialized view"})


def replaced_by(statements: Iterable[Statement], names: Known) -> Iterator[tuple[Name, str]]:
    """Yield tables whose name another relation gets once they are dropped or renamed; and where.

    One that gets its own name back is no other.
    """
    away: set[Name] = set()
    origins: dict[Name, Name] = {}
    for where, touch in _touches(statements):
        old, new = _names(touch)
        first = origins.pop(old, old) if old else None
        for each in names.meant(new) if new else ():
            if first and each in names.meant(first):
                away.discard(each)
            elif each in away:
                yield each, where
        if old:
            away.update(names.meant(old))
        if first and new:
            origins[new] = first


def _touches(statements: Iterable[Statement]) -> Iterator[tuple[str, Touch]]:
    for statement in statements:
        for parsed in parse_sql(statement.file, statement.text):
            where = f"{statement.file}, line {statement.line + parsed.statement.line - 1}"
            yield from ((where, touch) for touch in parsed.touches)


def _names(touch: Touch) -> tuple[Name | None, Name | None]:
    """Return a relation's name before and after a statement, None where it has none."""
    match touch:
        case Created(object=made):
            return None, _name(made)
        case Dropped(object=gone):
            return _name(gone), None
        case Renamed(old=old, new=new):
            return _name(old), _name(new)
        case _:
            return None, None


def _name(found: CatalogObject) -> Name | None:
    return (found.schema, found.name) if found.kind in _RELATIONS else None
