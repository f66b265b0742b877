"""Facts of relations, as `describe_table` gives them, and what follows from them."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Facts = Mapping[str, Any]
NOTHING: Final[Facts] = {}
UNCHECKED: Final = (" NOT VALID", " NOT ENFORCED")


def place_of(relation: Facts) -> tuple[str, str]:
    """Return schema and name of a relation."""
    return relation["table"]["schema"], relation["table"]["name"]


def by_name(items: Iterable[Facts]) -> dict[str, Facts]:
    """Return items by their names."""
    return {each["name"]: each for each in items}


def foreign_keys(relations: Iterable[Facts]) -> list[Facts]:
    """Return the foreign keys of tables and on them, each once."""
    found = {}
    for relation in relations:
        outbound = [each for each in relation["constraints"] if each["kind"] == "f"]
        for each in (*outbound, *relation["inbound"]):
            found[each["schema"], each["table"], each["name"]] = each
    return list(found.values())


def is_checked(foreign: Facts) -> bool:
    """Tell whether every row obeys a foreign key, and not only the new ones."""
    return not foreign["definition"].endswith(UNCHECKED)


def merged_views(lists: Iterable[Iterable[Facts]]) -> list[Facts]:
    """Return the views of several tables, each once, those that others read first."""
    found: dict[tuple[str, str], Facts] = {}
    for each in (view for views in lists for view in views):
        other = found.get(place_of(each), each)
        depth = max(other["table"]["depth"], each["table"]["depth"])
        reads = [*(other["table"]["reads"] or ()), *(each["table"]["reads"] or ())]
        found[place_of(each)] = {**each, "table": each["table"] | {"depth": depth, "reads": reads}}
    return sorted(found.values(), key=lambda each: int(each["table"]["depth"]))


def reads_of(view: Facts) -> set[tuple[str, str]]:
    """Return the places of what a view reads."""
    return {(schema, name) for schema, name in view["table"]["reads"] or ()}


def is_late(view: Facts, views: Iterable[Facts]) -> bool:
    """Tell whether a view is made again after the exchange: materialised, or reads such a one."""
    known = {place_of(each): each for each in views}
    if view["table"]["kind"] == "m":
        return True
    return any(is_late(known[each], known.values()) for each in reads_of(view) & known.keys())


def same_columns(then: Facts, now: Facts) -> bool:
    """Return whether a plain view could be replaced without being dropped."""

    def shape(relation: Facts) -> list[tuple[str, str, str]]:
        return [(each["name"], each["type"], each["collation"]) for each in relation["columns"]]

    kinds = {relation["table"]["kind"] for relation in (then, now)}
    return kinds == {"v"} and shape(then) == shape(now)


def stale_views(then: Iterable[Facts], live: Iterable[Facts]) -> list[Facts]:
    """Return the views that must go before others can be made, those that read others first.

    A view that the migration made or changed, and whatever reads it.
    """
    wanted = {place_of(each): each for each in then}
    stale: dict[tuple[str, str], Facts] = {}
    for each in live:
        was, is_other = wanted.get(place_of(each)), each["table"].get("is_other")
        if was is None or is_other or reads_of(each) & stale.keys() or not _may_stay(was, each):
            stale[place_of(each)] = each
    return list(reversed(stale.values()))


def _may_stay(then: Facts, live: Facts) -> bool:
    """Tell whether a view can be replaced, or can be read until it is made again."""
    both_keep_rows = then["table"]["kind"] == live["table"]["kind"] == "m"
    return both_keep_rows or same_columns(then, live)
