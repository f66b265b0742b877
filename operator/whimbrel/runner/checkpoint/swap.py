"""Exchanges failed tables and clones in one transaction that proves itself before it commits."""

import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import HeldError
from whimbrel.planning.checkpoint.exchange import Side, exchange
from whimbrel.planning.checkpoint.facts import (
    Facts,
    by_name,
    foreign_keys,
    is_checked,
    is_late,
    merged_views,
    place_of,
)
from whimbrel.planning.checkpoint.locks import lock, stand_for
from whimbrel.planning.dialects import postgresql_dependents as words
from whimbrel.planning.dialects.fates import Fate, Trouble
from whimbrel.planning.dialects.postgresql_journal import furthest_written
from whimbrel.planning.dialects.postgresql_replay import PIN_FORMATS, Replayed
from whimbrel.runner.checkpoint import transplant
from whimbrel.runner.checkpoint.conflicts import expect_no_conflicts
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered, State, set_state
from whimbrel.runner.checkpoint.prepare import find_sequence
from whimbrel.runner.checkpoint.replay import Progress, begin_round, come_close, ended, replay_rest
from whimbrel.runner.checkpoint.watch import expect_capture
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble, read_error
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own, sorted_error

_PATIENCE: Final = 120.0  # seconds of tries to get the lock, each as long as the session waits
_PAUSE: Final = (0.05, 0.5)  # seconds between two tries: the application goes on meanwhile

_WHOLE: Final = {"smallint", "integer", "bigint"}


@dataclass(frozen=True)
class Known:
    """A covered table before the exchange, and what is known of its sequences without a lock.

    Attributes:
        furthest: For each column with a sequence the furthest value in clone and failed table.
    """

    covered: Covered
    side: Side
    furthest: dict[str, int]


def look(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> tuple[Known, ...]:
    """Return what there is on both sides.

    Raises:
        HeldError: Another table has taken a covered table's name.
    """
    found = []
    for covered, replayed in zip(checkpoint.tables, progress.tables, strict=True):
        known = _known(covered, desk)
        written = _written(desk.session, known, replayed, 0)
        for each in covered.manifest["sequences"]:
            _note(known.furthest, each, written.get(each["column"]))
        found.append(known)
    return tuple(found)


def _note(furthest: dict[str, int], sequence: Facts, value: int | None) -> None:
    """Note a value of a sequence's column, if it is further than those before."""
    if value is not None:
        column, further = sequence["column"], max if sequence["increment"] > 0 else min
        furthest[column] = further(furthest.get(column, value), value)


def _known(covered: Covered, desk: Desk) -> Known:
    session, then, schema = desk.session, covered.manifest, desk.ledger.schema
    found = own(session, words.FIND_BY_OID, covered.oid)
    named = own(session, words.FIND_BY_NAME, covered.schema, covered.table)
    if named and named != [(covered.oid,)]:
        raise HeldError(
            "CaptureBroken",
            f"another table is called {covered} now: what was written to it was not captured; the "
            "way back cannot be proven",
        )
    live = transplant.describe_again(session, *found[0]) if found else None
    sequences: dict[int, tuple[str, str]] = {}
    for each in then["sequences"]:
        for row in find_sequence(each, session):
            sequences[each["oid"]] = (row[0], row[1])
    clone, views = (
        transplant.describe_again(session, schema, covered.clone),
        _views(session, then, live),
    )
    who = default_grantees(session)
    side = Side(then, live, clone, (schema, covered.kept), sequences, views, who)
    return Known(covered, side, _furthest(session, then, (clone, live)))


def default_grantees(session: Session) -> tuple[str, ...]:
    """Return who gets rights on whatever is made."""
    return tuple(name for (name,) in own(session, words.DEFAULT_GRANTEES))


def _views(session: Session, then: Facts, live: Facts | None) -> tuple[Facts, ...]:
    views: list[Facts] = [*live["views"]] if live else []
    known = {place_of(each) for each in views}
    for each in then["views"]:
        if place_of(each) not in known and own(session, words.FIND_BY_NAME, *place_of(each)):
            other = transplant.describe_again(session, *place_of(each))
            views.append({**other, "table": other["table"] | {"is_other": True}})
    return tuple(views)


def _furthest(
    session: Session, then: Facts, relations: tuple[Facts | None, Facts | None]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for each in then["sequences"]:
        column, up = each["column"], each["increment"] > 0
        for relation in filter(None, relations):
            fact = by_name(relation["columns"]).get(column)
            if fact is None or fact["base"] not in _WHOLE:
                continue
            question = words.furthest_value(place_of(relation), column, up=up)
            ((value,),) = own(session, question)
            _note(found, each, value)
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
        known = look(checkpoint, desk, progress)
        progress = come_close(checkpoint, desk, progress)
        try:
            _exchange(known, checkpoint, desk, progress, extra)
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
    known: tuple[Known, ...],
    checkpoint: Checkpoint,
    desk: Desk,
    progress: Progress,
    extra: Callable[[Session], None],
) -> None:
    session, sides = desk.session, tuple(each.side for each in known)
    statements, locks = exchange(sides, checkpoint.names.triggers), lock(sides)
    with session.transaction(), postgres(session).pinned():
        desk.guard(session)
        own(session, PIN_FORMATS)
        for each in sides:
            transplant.describe_planned(session, *place_of(each.clone))  # plans it
        begin_round(session, progress)
        if locks:  # else the migration has dropped them all
            own(session, words.SHORTEN_LOCK_TIMEOUT, len(locks))
            session.run(";\n".join(locks))
        locked = time.monotonic()
        expect_capture(checkpoint, session)
        replay_rest(checkpoint, desk, progress)
        expect_no_conflicts(checkpoint, desk)
        settings = _settings(session, known, progress)
        session.run(";\n".join([*ended(progress), *statements, *settings]))
        extra(session)
        expect_equal(session, checkpoint, pending(checkpoint))
        set_state(desk.ledger, checkpoint.id, State.RESTORED)
    desk.tell(f"tables exchanged: locked for {(time.monotonic() - locked) * 1000:.0f} ms")


def _settings(session: Session, known: Iterable[Known], progress: Progress) -> list[str]:
    """Return the statements by which sequences go on: never with a value that was given before.

    They are locked: what is read now, nobody draws until the commit.
    """
    found = []
    for table, replayed in zip(known, progress.tables, strict=True):
        written = _written(session, table, replayed, progress.above)
        found += _go_on(session, table, written)
    return found


def _go_on(session: Session, table: Known, written: Mapping[str, int]) -> list[str]:
    found = []
    for each in table.side.then["sequences"]:
        step, place = each["increment"], (each["schema"], each["name"])
        questions = [(words.next_value(there, step), ()) for there in stand_for(each, table.side)]
        values = [rows[0][0] for rows in postgres(session).ask_all(*questions)]
        seen = (table.furthest.get(each["column"]), each["last"], written.get(each["column"]))
        values += [value + step for value in seen if value is not None]
        value = (max if step > 0 else min)(values, default=each["start"])
        used_up = not each["min"] <= value <= each["max"]
        last = (each["max"] if step > 0 else each["min"]) if used_up else value
        found.append(words.set_next(place, last, used_up=used_up))
    return found


def _written(session: Session, table: Known, replayed: Replayed, above: int) -> dict[str, int]:
    """Return the furthest values in the journal, of columns whose sequence is not what it was.

    What was given and is in no row any more is there alone.
    """
    found = {}
    for each in table.side.then["sequences"]:
        step, there = each["increment"], table.side.sequences.get(each["oid"])
        now = own(session, words.next_value(there, step)) if there else []
        if now and (now[0][0] - (each["last"] or each["start"])) * step >= 0:
            continue
        question = furthest_written(replayed, each["column"], up=step > 0)
        ((value,),) = own(session, question, above)
        if value is not None:
            found[each["column"]] = value
    return found


def pending(checkpoint: Checkpoint) -> frozenset[str]:
    """Return the beginnings of lines that become equal only after the exchange.

    Foreign keys that are not looked at yet, and views that are made again while nobody waits.
    """
    found: set[str] = set()
    views = merged_views(each.manifest["views"] for each in checkpoint.tables)
    for covered in checkpoint.tables:
        for each in filter(is_checked, foreign_keys([covered.manifest])):
            is_own = (each["schema"], each["table"]) == (covered.schema, covered.table)
            kind = "constraint" if is_own else "inbound"
            found.add(f"{kind} {covered}.{each['name']} ")
    return frozenset(found.union(*(lines_about(each) for each in views if is_late(each, views))))


def lines_about(view: Facts) -> set[str]:
    """Return how the lines about a view begin."""
    label = ".".join(place_of(view))
    kinds = ("column", "index", "trigger", "rule")
    return {f"relation {label} ", *(f"{kind} {label}." for kind in kinds)}


def expect_equal(session: Session, checkpoint: Checkpoint, later: frozenset[str]) -> None:
    """Compare what the covered tables are with what they were, in a transaction that is pinned.

    Raises:
        HeldError: They differ; the sentence says in what.
    """
    for covered in checkpoint.tables:
        now = transplant.describe_planned(session, covered.schema, covered.table)
        if found := transplant.differences(covered.manifest, now, later):
            shown = "; ".join(found[:3])
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise HeldError(
                "RestoreDiffers",
                f"{covered} would not be what it was ({shown}{more}), so everything was rolled "
                "back: the application goes on with the migrated table; stop what makes that so, "
                "such as an event trigger, then retry",
            )
