"""Looks up whether a statement outside a transaction took effect, and clears what is half done."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum
from typing import Final

from whimbrel.model.steps import (
    Effect,
    EnumHasValue,
    IndexesAreRebuilt,
    IndexIsGone,
    IndexIsValid,
    PartitionIsDetached,
    Repeatable,
)
from whimbrel.planning.dialects.postgresql_catalog import (
    LOOK_ENUM,
    LOOK_INDEX,
    LOOK_PARTITION,
    LOOK_TRANSIENT_INDEX,
    drop_index,
    finalize_detach,
    spelled,
)
from whimbrel.runner.postgresql_session import PostgresSession


class Seen(StrEnum):
    """What the catalogue shows of an effect."""

    DONE = "done"
    NOT_DONE = "not done"
    HALF_DONE = "half done"


@dataclass(frozen=True)
class Look:
    """The answer of a look-up.

    Attributes:
        mend: Statement that clears or ends what is half done, or "".
    """

    seen: Seen
    mend: str = ""


_KINDS: Final = {
    each.__name__: each
    for each in (
        EnumHasValue, IndexIsGone, IndexIsValid, IndexesAreRebuilt, PartitionIsDetached, Repeatable
    )
}  # fmt: skip


def effect_words(effect: Effect) -> list[str]:
    """Return an effect as the ledger keeps it."""
    return [type(effect).__name__, *astuple(effect)]


def effect_of(words: Sequence[str]) -> Effect:
    """Return the effect that the ledger has kept."""
    kind, *names = words
    return _KINDS[kind](*names)


def look(session: PostgresSession, effect: Effect) -> Look:
    """Return what the database shows of an effect now, by the author's own search path."""
    match effect:
        case IndexIsValid(schema, name):
            return _index(session, schema, name)
        case IndexIsGone(schema, name):
            return _gone(session, schema, name)
        case EnumHasValue(schema, name, value):
            row = session.execute(LOOK_ENUM, [spelled(schema, name), value]).fetchone()
            return Look(Seen.DONE if row and row[0] else Seen.NOT_DONE)
        case PartitionIsDetached():
            return _partition(session, effect)
        case IndexesAreRebuilt(schema, name):
            return _rebuilt(session, schema, name)
        case Repeatable():
            return Look(Seen.NOT_DONE)


def cleared(session: PostgresSession, effect: Effect) -> Look:
    """Clear what is half done, one thing after the other, until a look shows no difference."""
    half = look(session, effect)
    while half.seen is Seen.HALF_DONE:
        # Unpinned and outside a transaction: CONCURRENTLY runs in none. Names are qualified.
        session.execute(half.mend.encode())
        after = look(session, effect)
        if after == half:
            break
        half = after
    return half


def waits_without_blocking(effect: Effect) -> bool:
    """Return whether the statement waits for old transactions while nobody waits for it.

    CREATE INDEX, DROP INDEX and REINDEX, CONCURRENTLY, take no lock that readers or writers
    conflict with until every older transaction is over (PostgreSQL manual, "Building Indexes
    Concurrently").
    """
    return isinstance(effect, IndexIsValid | IndexIsGone | IndexesAreRebuilt)


def may_repeat(effect: Effect) -> bool:
    """Return whether the statement may run again: no look-up can tell that it has run."""
    return isinstance(effect, Repeatable | IndexesAreRebuilt)


def _index(session: PostgresSession, schema: str, name: str) -> Look:
    row = session.execute(LOOK_INDEX, [spelled(schema, name)]).fetchone()
    if row is None:
        return Look(Seen.NOT_DONE)
    if row[2]:
        return Look(Seen.DONE)
    return Look(Seen.HALF_DONE, drop_index(row[0], row[1]))


def _gone(session: PostgresSession, schema: str, name: str) -> Look:
    row = session.execute(LOOK_INDEX, [spelled(schema, name)]).fetchone()
    if row is None:
        return Look(Seen.DONE)
    if row[2]:
        return Look(Seen.NOT_DONE)
    # An interrupted DROP INDEX CONCURRENTLY leaves an invalid index: the same again ends it.
    return Look(Seen.HALF_DONE, drop_index(row[0], row[1]))


def _rebuilt(session: PostgresSession, schema: str, name: str) -> Look:
    row = session.execute(LOOK_TRANSIENT_INDEX, [spelled(schema, name)]).fetchone()
    return Look(Seen.HALF_DONE, drop_index(row[0], row[1])) if row else Look(Seen.NOT_DONE)


def _partition(session: PostgresSession, effect: PartitionIsDetached) -> Look:
    names = [
        spelled(effect.schema, effect.name),
        spelled(effect.parent_schema, effect.parent),
    ]
    row = session.execute(LOOK_PARTITION, names).fetchone()
    if row is None:
        return Look(Seen.DONE)
    if not row[4]:
        return Look(Seen.NOT_DONE)
    return Look(Seen.HALF_DONE, finalize_detach((row[0], row[1]), (row[2], row[3])))
