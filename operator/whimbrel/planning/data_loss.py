"""Finds statements of a way back that are known to destroy what salvage does not cover."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from whimbrel.model.facts import ForeignKey
from whimbrel.model.steps import CatalogObject, Statement
from whimbrel.planning.foreign_keys import parts_of, taken_along
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
_HOLDS_NOTHING: Final = frozenset({"index", "constraint"})


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
    foreign_keys: Sequence[ForeignKey] = (),
) -> tuple[Loss, ...]:
    """Return what statements destroy that is older than the revisions taken back.

    Args:
        statements: One transaction of the way back, in the order in which it runs.
        catalog: What the database holds before the way back.
        covered: What salvage copies in this transaction, and what the revisions had added.
        earlier: Statements of the way back that ran before; their renames are followed.
        foreign_keys: Those by which rows go or change with others, before the way back.
    """
    names = _Names(catalog, covered, statements, foreign_keys)
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
        case Written():
            return _write_loss(touch, names)
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


def _write_loss(written: Written, names: "_Names") -> str:
    table = written.table
    older = tuple(each for each in written.columns if not names.is_safe(_column(table, each)))
    if not names.has_safe_rows(table) and (older or not written.columns):
        return _written_words(replace(written, columns=older))
    if written.cascade:
        # As with DROP ... CASCADE: the text does not say which.
        return f"deletes rows of {table} and, by CASCADE, of whatever refers to it"
    taken = names.older_taken_along(written)
    return f"changes {table} and, by a foreign key, {_written_words(taken)}" if taken else ""


def _written_words(written: Written) -> str:
    if not written.columns:
        return f"deletes rows of {written.table}"
    return f"overwrites {', '.join(written.columns)} of {written.table}"


def _column(table: CatalogObject, name: str) -> CatalogObject:
    return replace(table, kind="column", part=name)


class _Names:
    """Follows names through the renames of one way back."""

    def __init__(
        self,
        catalog: frozenset[CatalogObject],
        covered: frozenset[CatalogObject],
        statements: Sequence[Parsed],
        foreign_keys: Sequence[ForeignKey],
    ) -> None:
        self._catalog = catalog
        self._covered = covered
        self._by_name: dict[str, list[CatalogObject]] = defaultdict(list)
        for known in catalog:
            self._by_name[known.name].append(known)
        self._renames: list[Renamed] = []
        self._redefined = _redefined(statements)
        self._foreign_keys = list(foreign_keys)

    def follow(self, parsed: Parsed) -> None:
        """Take note of what a statement renames, and of foreign keys that go with it."""
        gone = [self._known(touch.object) for touch in parsed.touches if isinstance(touch, Dropped)]
        # A name that may mean several things drops one of them, and nobody knows which.
        certain = {each for known in gone if len(known) == 1 for each in known}
        self._foreign_keys = [
            each for each in self._foreign_keys if certain.isdisjoint(parts_of(each))
        ]
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

    def older_taken_along(self, written: Written) -> Written | None:
        """Return the first older thing that foreign keys delete or overwrite with a write."""
        columns = tuple(
            known.part
            for each in written.columns
            for known in self._known(_column(written.table, each))
        )
        if written.columns and not columns:
            return None
        direct = [Written(known, columns) for known in self._known(written.table)]
        for each in taken_along(direct, self._foreign_keys):
            older = tuple(
                name for name in each.columns if not self._is_covered(_column(each.table, name))
            )
            if not self._is_covered(each.table) and (older or not each.columns):
                return replace(each, columns=older)
        return None

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
