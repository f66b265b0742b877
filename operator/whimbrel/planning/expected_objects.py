"""What must exist after files have run, as far as their text tells (for `baseline`)."""

from collections.abc import Iterable
from dataclasses import replace

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.data_loss import same
from whimbrel.planning.syntax import Parsed
from whimbrel.planning.touched import Created, Dropped, Renamed, Touch


def expected(statements: Iterable[Parsed]) -> tuple[CatalogObject, ...]:
    """Return the objects that statements leave behind, in the order of their creation."""
    objects: dict[CatalogObject, None] = {}
    for parsed in statements:
        for touch in parsed.touches:
            if isinstance(touch, Created):
                objects[touch.object] = None
            else:
                objects = dict.fromkeys(_after(touch, objects))
    return tuple(each for each in objects if each.schema != "pg_temp")


def first_missing(
    wanted: Iterable[CatalogObject], catalog: frozenset[CatalogObject]
) -> CatalogObject | None:
    """Return the first object that the catalogue does not hold, or None when all are there."""
    seen = {_key(known, known.schema) for known in catalog} | {_key(known, "") for known in catalog}
    return next((each for each in wanted if _key(each, each.schema) not in seen), None)


def _key(item: CatalogObject, schema: str) -> tuple[str, str, str, str]:
    # Argument types in SQL text and in the catalogue are spelled differently (int, integer).
    part = "" if item.kind == "function" else item.part
    return (item.kind, schema, item.name, part)


def _after(touch: Touch, objects: Iterable[CatalogObject]) -> list[CatalogObject]:
    match touch:
        case Dropped(gone):
            return [each for each in objects if not _belongs(each, gone)]
        case Renamed(old, new):
            return [_renamed(each, old, new) for each in objects]
        case _:
            return list(objects)


def _belongs(item: CatalogObject, owner: CatalogObject) -> bool:
    if owner.kind == "schema":
        return owner.name in {item.schema, item.name if item.kind == "schema" else ""}
    whole = replace(item, part="") if not owner.part else item
    kinds = owner.kind == item.kind or (bool(item.part) and not owner.part)
    return kinds and (same(whole, owner) or same(owner, whole))


def _renamed(item: CatalogObject, old: CatalogObject, new: CatalogObject) -> CatalogObject:
    if not _belongs(item, old):
        return item
    if old.part:
        return replace(item, part=new.part)
    if old.kind == "schema":
        return replace(item, schema=new.name) if item.schema else new
    moved = new.schema != old.schema
    return replace(item, name=new.name, schema=new.schema if moved else item.schema)
