"""What the catalogue says, as digests: of all of it and of each relation; what differs."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Parts = Mapping[str, Mapping[str, str]]  # short digests by name of a relation and kind of line
Orders = Mapping[str, str]  # short digests of the order of columns, by name of a relation

_MOST_NAMES: Final = 5_000  # above that only the whole is kept: the ledger must stay small
_SHORT: Final = 8  # hex digits
_NAMED: Final = 5  # relations in a sentence
# The order of columns: a column that was dropped and added again is the last one afterwards, and on
# PostgreSQL no way back can help that. It counts for one start of a tool; of a way back it is said.
_ORDER: Final = "order"


@dataclass(frozen=True)
class Shape:
    """The catalogue at one moment.

    Attributes:
        version: Of the question and the server; only shapes of one version can be compared.
        whole: sha256 (hex) of all lines, with the order of columns.
        parts: Digests without that order; empty where there are too many relations to keep them.
        orders: Of the order alone; empty with `parts`, and where a note did not keep them.
    """

    version: str
    whole: str
    parts: Parts
    orders: Orders = field(default_factory=dict, compare=False)

    @property
    def fingerprint(self) -> str:
        """Return version and digest of the whole, as the ledger keeps them."""
        return f"{self.version}:{self.whole}"


def shape_of(version: str, lines: Iterable[tuple[str, str, str]], besides: frozenset[str]) -> Shape:
    """Return the shape of lines of (kind, relation, text), without relations `besides`."""
    whole = hashlib.sha256()
    digests: dict[str, dict[str, hashlib._Hash]] = {}
    for kind, name, text in sorted(lines):
        if name.rpartition(".")[2] in besides:
            continue
        whole.update(f"{kind}\0{name}\0{text}\0".encode())
        of_kind = digests.setdefault(name, {}).setdefault(kind, hashlib.sha256())
        of_kind.update(text.encode() + b"\0")
    parts = {
        name: {kind: each.hexdigest()[:_SHORT] for kind, each in kinds.items()}
        for name, kinds in digests.items()
    }
    if len(parts) > _MOST_NAMES:
        return Shape(version, whole.hexdigest(), {})
    orders = {name: kinds.pop(_ORDER) for name, kinds in parts.items() if _ORDER in kinds}
    return Shape(version, whole.hexdigest(), parts, orders)


def differ(before: str, after: str) -> bool:
    """Tell whether two fingerprints say that something changed; of two versions it is not known."""
    same_version = before.rpartition(":")[0] == after.rpartition(":")[0]
    return bool(before and after) and same_version and before != after


def touched(before: Parts, after: Parts) -> Parts:
    """Return what the relations that differ were like before; nothing for one that is new."""
    names = before.keys() | after.keys()
    return {
        name: before.get(name, {}) for name in names if before.get(name, {}) != after.get(name, {})
    }


def reordered(before: Orders, after: Orders) -> Orders:
    """Return the orders of relations that have another one, or none, afterwards."""
    return {name: order for name, order in before.items() if after.get(name) != order}


def changed(before: Shape, after: Shape) -> str:
    """Return what has changed, named; "" for nothing, or where it is not known."""
    if before.version != after.version:
        return ""
    if before.parts and after.parts:
        return named(touched(before.parts, after.parts), after.parts)
    return "" if before.whole == after.whole else "the catalogue, of more relations than are kept"


def not_as_before(were: Iterable[Parts], now: Parts) -> Parts:
    """Return what differs now from what the relations were like, of several times the first."""
    first: dict[str, Mapping[str, str]] = {}
    for parts in were:
        first = {**parts, **first}
    return {name: kinds for name, kinds in first.items() if now.get(name, {}) != kinds}


def left_behind(were: Iterable[tuple[Parts, Orders]], now: Shape) -> tuple[str, str]:
    """Return what differs now, and where the order of columns alone does; named, or ""."""
    times = list(were)
    left = not_as_before([parts for parts, _ in times], now.parts)
    first: dict[str, str] = {}
    for _, orders in times:
        first = {**orders, **first}
    # What is new is in no way back's order, and gone with it.
    moved = now.orders.keys() & reordered(first, now.orders).keys() - left.keys()
    return named(left, now.parts), _listed(sorted(moved))


def named(were: Parts, now: Parts) -> str:
    """Return names and kinds of relations that were like this and are not any more."""
    return _listed([f"{name} ({_kinds(were[name], now.get(name, {}))})" for name in sorted(were)])


def _listed(told: Sequence[str]) -> str:
    more = f" and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return ", ".join(told[:_NAMED]) + more


def _kinds(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    kinds = before.keys() | after.keys()
    # A comment is described beside what it is on, which may be neither new nor gone.
    if kinds != {"comment"} and not (before and after):
        return "gone" if before else "new"
    return ", ".join(sorted(each for each in kinds if before.get(each) != after.get(each)))
