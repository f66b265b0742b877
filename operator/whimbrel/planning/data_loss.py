"""Finds statements of a way back that are known to destroy what salvage does not cover."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from whimbrel.model.steps import CatalogObject, Statement
from whimbrel.planning.syntax import Parsed
from whimbrel.planning.touched import (
    Created,
    Dropped,
    Opaque,
    Renamed,
    Retyped,
    Swept,
    Touch,
    Written,
)

_RELATIONS: Final = frozenset({"table", "foreign table", "view", "materialized view"})
# CASCADE on these takes columns of other tables along, and the text does not say which.
_CASCADES_WIDELY: Final = frozenset({"type", "function", "extension", "sequence"})
_HOLDS_NOTHING: Final = frozenset({"index"})


@dataclass(frozen=True)
class Loss:
    """A statement that destroys something, and the words for what."""

    statement: Statement
    what: str


def losses(
    statements: Sequence[Parsed],
    catalog: frozenset[CatalogObject],
    covered: frozenset[CatalogObject],
    *,
    earlier: Sequence[Parsed] = (),
) -> tuple[Loss, ...]:
    """Return what statements destroy that is older than the revisions taken back.

    Args:
        statements: One transaction of the way back, in the order in which it runs.
        catalog: What the database holds before the way back.
        covered: What salvage copies in this transaction, and what the revisions had added.
        earlier: Statements of the way back that ran before; their renames are followed.
    """
    names = _Names(catalog, covered, statements)
    for each in earlier:
        names.follow(each)
    found = []
    for each in statements:
        for touch in each.touches:
            what = _destroyed(touch, names)
            if what:
                found.append(Loss(each.statement, what))
        names.follow(each)
    return tuple(found)


def unknowns(statements: Iterable[Parsed]) -> tuple[str, ...]:
    """Return sentences for statements whose text does not tell what they destroy."""
    return tuple(
        f"{each.statement.file}, line {each.statement.line}: {_doubt(touch)}"
        for each in statements
        for touch in each.touches
        if isinstance(touch, Opaque | Retyped)
    )


def names_before(statements: Sequence[Parsed], wanted: CatalogObject) -> CatalogObject:
    """Return the name that an object has before statements, given its name after their renames."""
    for each in reversed(statements):
        for touch in reversed(each.touches):
            if isinstance(touch, Renamed):
                wanted = _undo(touch, wanted)
    return wanted


def same(known: CatalogObject, wanted: CatalogObject) -> bool:
    """Return whether a name as written in SQL may mean an object of the catalogue."""
    schemas = known.schema == wanted.schema or not wanted.schema
    return schemas and known.name == wanted.name and known.part == wanted.part


def _undo(touch: Renamed, wanted: CatalogObject) -> CatalogObject:
    new, old = touch.new, touch.old
    if new.part and wanted.kind == "column" and same(wanted, new):
        return replace(wanted, part=old.part)
    if not new.part and new.kind == "schema" and wanted.schema == new.name:
        return replace(wanted, schema=old.name)
    if not new.part and new.kind != "schema" and same(replace(wanted, part=""), new):
        moved = new.schema != old.schema
        return replace(wanted, name=old.name, schema=old.schema if moved else wanted.schema)
    return wanted


def _doubt(touch: Touch) -> str:
    if isinstance(touch, Retyped):
        return f"the new type of {touch.column} may not hold every value"
    what = touch.what if isinstance(touch, Opaque) else "this statement"
    return f"what {what} destroys cannot be known from its text"


def _destroyed(touch: Touch, names: "_Names") -> str:
    match touch:
        case Swept(what):
            return f"drops {what}"
        case Dropped(target, cascade):
            return _drop_loss(target, cascade, names)
        case Written(table, columns):
            return _write_loss(table, columns, names)
        case _:
            return ""


def _drop_loss(target: CatalogObject, cascade: bool, names: "_Names") -> str:
    if target.kind in _HOLDS_NOTHING:
        return ""
    if cascade and target.kind in _CASCADES_WIDELY:
        return f"drops {target} and, by CASCADE, whatever depends on it"
    if target.kind == "schema" and cascade:
        return "" if names.whole_schema_is_safe(target) else f"drops {target} with what it holds"
    return "" if names.is_safe(target) else f"drops {target}"


def _write_loss(table: CatalogObject, columns: tuple[str, ...], names: "_Names") -> str:
    if names.has_safe_rows(table):
        return ""
    if not columns:
        return f"deletes rows of {table}"
    older = [name for name in columns if not names.is_safe(_column(table, name))]
    return f"overwrites {', '.join(older)} of {table}" if older else ""


def _column(table: CatalogObject, name: str) -> CatalogObject:
    return replace(table, kind="column", part=name)


class _Names:
    """Follows names through the renames of one way back."""

    def __init__(
        self,
        catalog: frozenset[CatalogObject],
        covered: frozenset[CatalogObject],
        statements: Sequence[Parsed],
    ) -> None:
        self._catalog = catalog
        self._covered = covered
        self._by_name: dict[str, list[CatalogObject]] = defaultdict(list)
        for known in catalog:
            self._by_name[known.name].append(known)
        self._renames: list[Renamed] = []
        self._redefined = _redefined(statements)

    def follow(self, parsed: Parsed) -> None:
        """Take note of what a statement renames."""
        self._renames.extend(touch for touch in parsed.touches if isinstance(touch, Renamed))

    def is_safe(self, target: CatalogObject) -> bool:
        """Return whether nothing older than the revisions goes with this name."""
        redefined = any(made.kind == target.kind and same(made, target) for made in self._redefined)
        # A name that is not there destroys nothing: the statement fails, or says IF EXISTS.
        return redefined or all(self._is_covered(known) for known in self._known(target))

    def has_safe_rows(self, target: CatalogObject) -> bool:
        """Return whether salvage holds the rows; behind a view stands some other table."""
        known = self._known(target)
        return all(each.kind == "table" and self._is_covered(each) for each in known)

    def whole_schema_is_safe(self, schema: CatalogObject) -> bool:
        """Return whether everything in a schema was added by the revisions taken back."""
        inside = [known for known in self._catalog if known.schema == schema.name]
        return self.is_safe(schema) and all(self._is_covered(known) for known in inside)

    def _is_covered(self, known: CatalogObject) -> bool:
        table = replace(known, kind="table", part="")
        return known in self._covered or (bool(known.part) and table in self._covered)

    def _known(self, target: CatalogObject) -> list[CatalogObject]:
        original = target
        for rename in reversed(self._renames):
            original = _undo(rename, original)
        return [each for each in self._by_name[original.name] if _may_be(each, original)]


def _may_be(known: CatalogObject, wanted: CatalogObject) -> bool:
    if wanted.kind == "function":
        # The text of an argument's type and the catalogue's word for it may differ.
        known = replace(known, part="")
    kinds = _RELATIONS if wanted.kind in _RELATIONS else {wanted.kind}
    return known.kind in kinds and same(known, wanted)


def _redefined(statements: Iterable[Parsed]) -> frozenset[CatalogObject]:
    """Return views and the like that are defined anew: they lose nothing but their old text."""
    touches = (touch for each in statements for touch in each.touches)
    return frozenset(
        touch.object
        for touch in touches
        if isinstance(touch, Created) and touch.object.kind in _REDEFINABLE
    )


_REDEFINABLE: Final = frozenset({"view", "materialized view", "function", "trigger"})
