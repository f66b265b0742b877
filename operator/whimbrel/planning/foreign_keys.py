"""What goes or changes with rows that other rows refer to."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from whimbrel.model.facts import ForeignKey
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.touched import Written

_CHANGES: Final = frozenset({"CASCADE", "SET NULL", "SET DEFAULT"})


def taken_along(
    written: Iterable[Written], foreign_keys: Sequence[ForeignKey]
) -> tuple[Written, ...]:
    """Return what foreign keys delete or overwrite with rows, and with what they take along.

    All names are those of the catalogue.
    """
    found: dict[Written, None] = {}
    waiting = list(written)
    while waiting:
        each = waiting.pop(0)
        taken = [_taken(each, key) for key in foreign_keys if key.parent == each.table]
        more = [child for child in taken if child is not None and child not in found]
        found |= dict.fromkeys(more)
        waiting += more
    return tuple(found)


def _taken(written: Written, key: ForeignKey) -> Written | None:
    child = replace(key.constraint, kind="table", part="")
    if written.columns:
        changes = key.on_update in _CHANGES and not set(key.keys).isdisjoint(written.columns)
        return Written(child, key.columns) if changes else None
    if key.on_delete == "CASCADE":
        return Written(child)
    return Written(child, key.columns) if key.on_delete in _CHANGES else None


def parts_of(key: ForeignKey) -> frozenset[CatalogObject]:
    """Return what a foreign key goes with: itself, its table, and each of its columns."""
    table = replace(key.constraint, kind="table", part="")
    columns = (replace(table, kind="column", part=each) for each in key.columns)
    return frozenset({key.constraint, table, *columns})
