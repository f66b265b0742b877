"""Exchanges failed tables and clones in one transaction that proves itself before it commits."""

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from whimbrel.model.errors import HeldError
from whimbrel.planning.dialects import (
    postgresql_checkpoint as names,
    postgresql_dependents as dependents,
    postgresql_swap as words,
)
from whimbrel.planning.dialects.fates import Fate, Trouble
from whimbrel.runner.checkpoint.conflicts import expect_no_conflicts
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered, State, set_state
from whimbrel.runner.checkpoint.replay import Progress, foreign_keys, replay_journal
from whimbrel.runner.checkpoint.transplant import describe_table, differences
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble, read_error
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own, sorted_error

_PATIENCE: Final = 120.0  # seconds of tries to get the lock, each as long as the session waits
_PAUSE: Final = (0.05, 0.5)  # seconds between two tries: the application goes on meanwhile

Facts = dict[str, Any]


@dataclass(frozen=True)
class Side:
    """A covered table before the exchange: what is known without a lock.

    `views` are those that read the failed table, and those that have taken a name that is needed.

    Attributes:
        live: What the failed table is like, None where the migration has dropped it.
        clone: What the clone is like.
        sequences: Where the sequences are now that its columns owned, by oid.
        furthest: For each column with a sequence the furthest value in clone and failed table.
    """

    covered: Covered
    live: Facts | None
    clone: Facts
    sequences: dict[int, tuple[str, str]]
    furthest: dict[str, int]
    views: list[Facts]


def look(checkpoint: Checkpoint, desk: Desk) -> tuple[Side, ...]:
    """Return what there is on both sides.

    Raises:
        HeldError: Another table has taken a covered table's name.
    """
    return tuple(_side(each, desk) for each in checkpoint.tables)


def _side(covered: Covered, desk: Desk) -> Side:
    session, schema = desk.session, desk.ledger.schema
    found = own(session, words.FIND_RELATION, covered.oid)
    named = own(session, words.HAS_RELATION, covered.schema, covered.table)
    if named and named != [(covered.oid,)]:
        raise HeldError(
            "CaptureBroken",
            f"another table is called {covered} now: what was written to it was not captured; the "
            "way back cannot be proven",
        )
    live = describe_table(session, *found[0]) if found else None
    sequences = {
        each["oid"]: (row[0][0], row[0][1])
        for each in covered.manifest["sequences"]
        if (row := own(session, words.FIND_RELATION, each["oid"]))
    }
    clone = describe_table(session, schema, covered.clone)
    furthest = _furthest(session, covered, live, clone)
    return Side(covered, live, clone, sequences, furthest, _views(session, covered, live))


def _views(session: Session, covered: Covered, live: Facts | None) -> list[Facts]:
    views: list[Facts] = [*live["views"]] if live else []
    known = {dependents.name_of(each) for each in views}
    for each in covered.manifest["views"]:
        place = (each["table"]["schema"], each["table"]["name"])
        if dependents.name_of(each) not in known and own(session, words.HAS_RELATION, *place):
            other = describe_table(session, *place)
            views.append({**other, "table": other["table"] | {"is_other": True}})
    return views


def _furthest(
    session: Session, covered: Covered, live: Facts | None, clone: Facts
) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in covered.manifest["sequences"]:
        up = each["increment"] > 0
        for relation in filter(None, (clone, live)):
            column = dependents.by_name(relation["columns"]).get(each["column"])
            if column is None or column["base"] not in {"integer", "bigint", "smallint"}:
                continue
            place = (relation["table"]["schema"], relation["table"]["name"])
            ((value,),) = own(session, words.furthest_value(place, each["column"], up=up))
            if value is not None:
                known = found.get(each["column"], value)
                found[each["column"]] = max(known, value) if up else min(known, value)
    return found


def swap(
    checkpoint: Checkpoint, desk: Desk, progress: Progress, extra: Callable[[Session], None]
) -> None:
    """Exchange the tables; tried again as long as the application leaves no gap for the lock.

    Raises:
        HeldError: What came of it is not what was; everything was rolled back.
        TransientError: The lock was not to be had.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        sides = look(checkpoint, desk)
        try:
            _exchange(sides, checkpoint, desk, progress, extra)
        except SERVER_ERRORS as error:
            said = read_error(error)
            if said.fate is Fate.PERMANENT:
                raise _blocked(said.message, said.shown) from error
            may_try = is_trouble(error, Trouble.LOCK) and not desk.stopping.is_set()
            if not may_try or time.monotonic() > end:
                raise sorted_error(error, "the exchange of the tables") from error
        else:
            return
        time.sleep(random.uniform(*_PAUSE))  # noqa: S311 - jitter, no secret


def _blocked(message: str, shown: str) -> HeldError:
    return HeldError(
        "RestoreBlocked",
        f"the old tables cannot take their place: {message} ({shown}); everything was rolled back "
        "and the application goes on with the migrated tables: mend that, then retry",
    )


def _exchange(
    sides: tuple[Side, ...],
    checkpoint: Checkpoint,
    desk: Desk,
    progress: Progress,
    extra: Callable[[Session], None],
) -> None:
    session = desk.session
    with session.transaction():
        session.run(words.PIN_TRANSACTION)
        desk.guard(session)
        session.run(words.lock_tables(_locked(sides)))
        replay_journal(checkpoint, desk, progress)
        expect_no_conflicts(checkpoint, desk)
        next_values = [_next_values(session, side) for side in sides]
        session.run(";\n".join(exchange(sides, checkpoint, desk.ledger.schema)))
        for side, values in zip(sides, next_values, strict=True):
            for each in side.covered.manifest["sequences"]:
                if (value := values.get(each["name"])) is not None:
                    own(session, words.set_next(each, value))
        extra(session)
        expect_equal(session, checkpoint, pending(checkpoint))
        set_state(desk.ledger, checkpoint.id, State.RESTORED)


def _locked(sides: Iterable[Side]) -> list[tuple[str, str]]:
    """Return every table of which a lock is needed: the covered ones and their neighbours."""
    found = set()
    for side in sides:
        for relation in filter(None, (side.covered.manifest, side.live)):
            foreign = [each for each in relation["constraints"] if each["kind"] == "f"]
            for each in (*foreign, *relation["inbound"]):
                found |= {(each["schema"], each["table"]), tuple(each["target"])}
        if side.live:
            found.add((side.live["table"]["schema"], side.live["table"]["name"]))
    gone = {(side.covered.schema, side.covered.table) for side in sides}
    there = {(s.live["table"]["schema"], s.live["table"]["name"]) for s in sides if s.live}
    return sorted((found - gone) | there)


def _next_values(session: Session, side: Side) -> dict[str, int]:
    """Return for each sequence the value that it goes on with: never one that was given before."""
    found = {}
    for each in side.covered.manifest["sequences"]:
        step = each["increment"]
        values = [own(session, words.next_value(place, step))[0][0] for place in _now(side, each)]
        known = (side.furthest.get(each["column"]), each["last"])
        values += [value + step for value in known if value is not None]
        if values:
            found[each["name"]] = max(values) if step > 0 else min(values)
    return found


def _now(side: Side, sequence: Facts) -> set[tuple[str, str]]:
    """Return the sequences that stand now where one stood: itself, and what came in its place."""
    live = side.live["sequences"] if side.live else ()
    found = {
        (each["schema"], each["name"]) for each in live if each["column"] == sequence["column"]
    }
    if sequence["oid"] in side.sequences:
        found.add(side.sequences[sequence["oid"]])
    return found


def exchange(sides: Iterable[Side], checkpoint: Checkpoint, ledger_schema: str) -> list[str]:
    """Return the statements of the exchange, in their order."""
    sides = tuple(sides)
    triggers = (names.capture_trigger(checkpoint.short), names.truncate_trigger(checkpoint.short))
    live_views = merged_views([side.views for side in sides])
    views = merged_views([side.covered.manifest["views"] for side in sides])
    stale = words.stale_views(views, live_views)
    found = [dependents.drop_view(each) for each in stale]
    for side in sides:
        if side.live:
            place = (ledger_schema, side.covered.kept)
            found += words.set_aside(side.live, side.covered.manifest, place, triggers)
    for side in sides:
        found += words.put_in_place(side.covered.manifest, side.clone, side.sequences)
    for each in all_foreign_keys(checkpoint):
        found += dependents.foreign_key(each)
    for side in sides:
        found += dependents.publish(side.covered.manifest)
    gone = {dependents.name_of(each) for each in stale}
    there = {dependents.name_of(each): each for each in live_views}
    for each in views:
        name = dependents.name_of(each)
        if not words.is_late(each, views):
            now = there.get(name, {}) if name not in gone else {}
            found.append(dependents.create_view(each, replace=bool(now)))
            found += dependents.dress(each, now)
    return found


def merged_views(lists: Iterable[list[Facts]]) -> list[Facts]:
    """Return the views of several tables, each once, those that others read first."""
    found: dict[tuple[str, str], Facts] = {}
    for each in (view for views in lists for view in views):
        place = (each["table"]["schema"], each["table"]["name"])
        other = found.get(place, each)
        depth = max(other["table"]["depth"], each["table"]["depth"])
        reads = [*(other["table"]["reads"] or ()), *(each["table"]["reads"] or ())]
        found[place] = each | {"table": each["table"] | {"depth": depth, "reads": reads}}
    return sorted(found.values(), key=lambda each: int(each["table"]["depth"]))


def all_foreign_keys(checkpoint: Checkpoint) -> list[Facts]:
    """Return the foreign keys of the covered tables and on them, each once."""
    found = {}
    for covered in checkpoint.tables:
        outbound = [each for each in covered.manifest["constraints"] if each["kind"] == "f"]
        for each in (*outbound, *covered.manifest["inbound"]):
            found[each["schema"], each["table"], each["name"]] = each
    return list(found.values())


def pending(checkpoint: Checkpoint) -> frozenset[str]:
    """Return the beginnings of lines that become equal only after the exchange.

    Foreign keys that are not looked at yet, and views that are made again while nobody waits.
    """
    found = set()
    views = merged_views([each.manifest["views"] for each in checkpoint.tables])
    for covered in checkpoint.tables:
        for each in foreign_keys(covered):
            is_own = (each["schema"], each["table"]) == (covered.schema, covered.table)
            kind = "constraint" if is_own else "inbound"
            found.add(f"{kind} {covered}.{each['name']} ")
    for view in views:
        if words.is_late(view, views):
            found |= lines_about(f"{view['table']['schema']}.{view['table']['name']}")
    return frozenset(found)


def lines_about(label: str) -> set[str]:
    """Return how the lines about a view begin."""
    return {f"relation {label} ", *(f"{kind} {label}." for kind in ("column", "index", "trigger"))}


def expect_equal(session: Session, checkpoint: Checkpoint, later: frozenset[str]) -> None:
    """Compare what the covered tables are with what they were.

    Raises:
        HeldError: They differ; the sentence says in what.
    """
    for covered in checkpoint.tables:
        now = describe_table(session, covered.schema, covered.table)
        if found := differences(covered.manifest, now, later):
            shown = "; ".join(found[:3])
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise HeldError(
                "RestoreDiffers",
                f"{covered} would not be what it was ({shown}{more}), so everything was rolled "
                "back: the application goes on with the migrated table",
            )
