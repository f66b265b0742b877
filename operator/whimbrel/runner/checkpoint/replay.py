"""Replays what the application wrote since the checkpoint, in rounds between two snapshots."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from whimbrel.model.errors import HeldError, TransientError
from whimbrel.planning.checkpoint.facts import Facts, by_name
from whimbrel.planning.dialects import postgresql_replay as words
from whimbrel.planning.dialects.postgresql import quote_name
from whimbrel.planning.dialects.postgresql_capture import HAS_IMAGES
from whimbrel.planning.dialects.postgresql_conflicts import follow_conflicts, key_of_place
from whimbrel.planning.dialects.postgresql_dependents import FIND_BY_OID
from whimbrel.planning.dialects.postgresql_journal import count_journal, take_journal
from whimbrel.planning.dialects.postgresql_references import Reference
from whimbrel.planning.dialects.postgresql_replay import Replayed
from whimbrel.runner.checkpoint.conflicts import expect_no_conflicts
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered, set_snapshot
from whimbrel.runner.checkpoint.prepare import lost_sequences
from whimbrel.runner.checkpoint.references import (
    Suspects,
    Window,
    all_suspects,
    follow,
    new_suspects,
    record_orphans,
    references,
)
from whimbrel.runner.checkpoint.transplant import describe_again
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.server_errors import SERVER_ERRORS, ServerError, read_error
from whimbrel.runner.session import Row, Session
from whimbrel.runner.sessions import own

_FEW: Final = 200  # changes; what is left then is replayed in no time
_LAST: Final = 50  # changes; so many take a few milliseconds under the lock
_LAST_ROUNDS: Final = 5  # to come there; who writes faster than that writes a few more
_LONGEST: Final = (
    1.0  # seconds of a round, where no round brings us nearer: what is left takes less
)
_FEWER: Final = 0.8  # of those of the round before
_STUCK: Final = 4  # rounds that have brought us no nearer
_END: Final = "infinity"  # of the journal
_LAST_PLACE: Final = 2**62  # of a patch
_ROW_ERRORS: Final = ("22", "23")  # SQLSTATE: the value is wrong, a constraint says no


@dataclass(frozen=True)
class Progress:
    """How much of the journal the clones show.

    Attributes:
        tables: The covered tables, as the replay knows them.
        snapshot: All that it shows is in the clones.
        above: Every change with this number or a lower one is in them.
        seen: A number that every later transaction's changes are above of.
        horizon: Transactions from this one on are those later ones.
        references: Foreign keys of the tables and on them.
        suspects: Rows that seem to refer to none.
    """

    tables: tuple[Replayed, ...]
    references: tuple[Reference, ...]
    snapshot: str
    above: int = 0
    seen: int = 0
    horizon: int = 0
    suspects: Suspects = field(default_factory=dict)


def begin_replay(checkpoint: Checkpoint, desk: Desk) -> Progress:
    """Return where a replay begins, or goes on."""
    ((has_images,),) = own(desk.session, HAS_IMAGES, checkpoint.names.journal)
    found = (_replayed(checkpoint, each, desk.session) for each in checkpoint.tables)
    tables = tuple(replace(each, has_images=has_images) for each in found)
    return Progress(tables, references(checkpoint, tables), checkpoint.snapshot)


def _replayed(checkpoint: Checkpoint, covered: Covered, session: Session) -> Replayed:
    found = own(session, FIND_BY_OID, covered.oid)
    now = by_name(describe_again(session, *found[0])["columns"]) if found else {}
    then = covered.manifest["columns"]
    same = {each["name"] for each in then if each["type"] == now.get(each["name"], {}).get("type")}
    renamed = tuple(
        (each.new, each.old) for each in checkpoint.mappings if each.table == str(covered)
    )
    gone = lost_sequences(covered, session)
    lost = {each["column"] for each in covered.manifest["sequences"] if each["oid"] in gone}
    return Replayed(
        ledger=checkpoint.schema,
        checkpoint=checkpoint.id,
        number=covered.number,
        title=str(covered),
        journal=checkpoint.journal,
        clone=covered.clone,
        key=covered.key,
        columns=tuple(then),
        renamed=renamed,
        live=quote_name(*found[0]) if found and same.issuperset(covered.key) else "",
        same=frozenset(same),
        # The default of one whose sequence is gone too cannot be had.
        missing=frozenset({each["name"] for each in then} - now.keys() - lost),
        unlike=frozenset(_unlike(then, now | {o: now[n] for n, o in renamed if n in now})),
    )


def _unlike(then: Iterable[Facts], now: Mapping[str, Facts]) -> Iterator[str]:
    """Yield the columns that have another type now; the text of a json is one of a jsonb too."""
    for each in then:
        found = now.get(each["name"], each)
        is_json = each["base"] in words.JSON and found["base"] in words.JSON
        if found["type"] != each["type"] and not is_json:
            yield each["name"]


def catch_up(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> Progress:
    """Replay until few changes are left, or until they do not get fewer; the application goes on.

    Raises:
        TransientError: It writes faster than we replay, or we are told to stop.
    """
    before, stuck, started = math.inf, 0, time.monotonic()
    while stuck < _STUCK:
        started = time.monotonic()
        progress, changes = replay_round(checkpoint, desk, progress)
        if changes < _FEW:
            return progress
        desk.tell(f"replayed {changes} changes of the application")
        if desk.stopping.is_set():
            raise TransientError("Stopped", "the restore stops between two rounds of its replay")
        stuck = stuck + 1 if changes > _FEWER * before else 0
        before = changes
    if time.monotonic() - started < _LONGEST:
        return progress
    raise TransientError(
        "ApplicationTooFast",
        "the application writes faster than its writes can be replayed: the restore goes on from "
        "here when it is tried again; let the application write less",
        retry_after=60.0,
    )


def replay_round(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> tuple[Progress, int]:
    """Bring the clones to what is there now, in one transaction; return how many changes it took.

    Raises:
        HeldError: The key of a row cannot be read back; or there are conflicts, and they hold.
    """
    session = desk.session
    with session.transaction():
        session.run(words.REPEATABLE_READ)
        with postgres(session).pinned():
            desk.guard(session)
            found = replay_journal(checkpoint, desk, progress)
        expect_no_conflicts(checkpoint, desk)
    return found


def come_close(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> Progress:
    """Replay right before the exchange, so that next to nothing is left for it."""
    for _ in range(_LAST_ROUNDS):
        progress, changes = replay_round(checkpoint, desk, progress)
        if changes < _LAST:
            break
    return progress


def check_references(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> Progress:
    """Replay once more and look at every reference: the clones and all else are of one time then.

    Raises:
        HeldError: Rows refer to none that no conflict can be made of, or that hold.
    """
    session = desk.session
    with session.transaction():
        session.run(words.REPEATABLE_READ)
        with postgres(session).pinned():
            desk.guard(session)
            later, _ = replay_journal(checkpoint, desk, progress)
            later = replace(later, suspects=all_suspects(session, later.references))
            if checkpoint.on_conflict == "Hold" and any(later.suspects.values()):
                begin_round(session, later)
                record_orphans(session, later.references, later.suspects)
        expect_no_conflicts(checkpoint, desk)
    return later


def replay_journal(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> tuple[Progress, int]:
    """Replay what this transaction sees and the clones do not, and record the new snapshot."""
    session, suspects = desk.session, progress.suspects
    own(session, words.PIN_FORMATS)
    snapshot, oldest, horizon = own(session, words.READ_SNAPSHOT)[0]
    question = count_journal(progress.tables[0])
    changes, seen = own(session, question, progress.snapshot, progress.above)[0]
    if changes:
        begin_round(session, progress)
        _replay(session, progress)
        suspects = new_suspects(session, progress.references, suspects)
        session.run("; ".join(ended(progress)))
    set_snapshot(desk.ledger, checkpoint.id, snapshot)
    # Whoever had a number up to `seen` then has ended by now, and what he wrote is in the clones.
    above = progress.seen if oldest >= progress.horizon else progress.above
    bounds = {"snapshot": snapshot, "above": above, "seen": seen, "horizon": horizon}
    return replace(progress, suspects=suspects, **bounds), changes


def replay_rest(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> None:
    """Replay the rest, when nobody writes any more, and take out the rows that refer to none.

    The session is pinned, formats too, and `begin_round` was called: nobody waits for that. What
    it made goes with the statements of `ended`.
    """
    question = count_journal(progress.tables[0])
    changes, _ = own(desk.session, question, progress.snapshot, progress.above)[0]
    if changes or any(progress.suspects.values()):
        _replay(desk.session, progress)
        record_orphans(desk.session, progress.references, progress.suspects)


def begin_round(session: Session, progress: Progress) -> None:
    """Make the tables of a round."""
    session.run("; ".join(map(words.begin_round, progress.tables)))


def ended(progress: Progress) -> list[str]:
    """Return the statements that take them away."""
    return list(map(words.end_round, progress.tables))


def _replay(session: Session, progress: Progress) -> None:
    windows = {table.number: _replay_table(session, table, progress) for table in progress.tables}
    follow(session, progress.references, windows)


def _replay_table(session: Session, table: Replayed, progress: Progress) -> list[Window]:
    """Replay what was written to a table; return the places of each part, in their order."""
    done, found = 0, []
    for first, last in _windows(_take(session, table, progress)):
        made = _replay_window(session, table, (first, last), done)
        if last != _END:
            own(session, follow_conflicts(table), last)
        if made > done:
            found.append((done + 1, made))
        done = made
    return found


def _replay_window(session: Session, table: Replayed, window: tuple[str, str], done: int) -> int:
    """Replay a part of what was taken; return its last place, the first is the one after `done`."""
    first, last = window
    follow_key = [(words.follow_key(table), (last, done))] if last != _END else []
    steps = [
        (words.make_patch(table), (first, last, done)),
        *follow_key,
        (words.remove_rows(table), (done,)),
        (words.last_place(table), ()),
        (words.SAVEPOINT, ()),
        (words.put_rows(table), (done + 1, _LAST_PLACE)),
    ]
    try:
        answers = postgres(session).ask_all(*steps, (words.RELEASE, ()))
    except SERVER_ERRORS as error:
        if not _is_of_row(error):
            raise
        session.run(words.ROLLBACK_TO)
        ((made,),) = own(session, words.last_place(table))
        _put_by_halves(session, table, done + 1, made)
        return int(made)
    return int(answers[-4][0][0])


def _take(session: Session, table: Replayed, progress: Progress) -> list[Row]:
    """Take what was written since, and return the changes of a key in it."""
    take = (take_journal(table), (progress.snapshot, progress.above))
    try:
        return postgres(session).ask_all(take, (words.read_moves(table), ()))[1]
    except SERVER_ERRORS as error:
        if not _is_of_row(error):
            raise
        raise HeldError(
            "RestoreImpossible",
            f"the migration has changed the key ({', '.join(table.key)}) of {table.title} so that "
            "what the application wrote since cannot be found again "
            f"({read_error(error).message}); nothing has been changed back: the application goes "
            "on with the migrated tables",
        ) from error


def _windows(moves: list[Row]) -> Iterator[tuple[str, str]]:
    """Yield bounds of each part of the journal: a change of a key stands alone."""
    first = "0"
    for before, seq in moves:
        if before != first:
            yield first, before
        yield before, seq
        first = seq
    yield first, _END


def _put(session: Session, table: Replayed, first: int, last: int) -> None:
    """Put rows in; those that the old shape refuses, found by halves, are recorded one by one."""
    try:
        with session.transaction():
            own(session, words.put_rows(table), first, last)
    except SERVER_ERRORS as error:
        if not _is_of_row(error):
            raise
        _put_by_halves(session, table, first, last)


def _put_by_halves(session: Session, table: Replayed, first: int, last: int) -> None:
    if first == last:
        _put_what_fits(session, table, first)
        return
    middle = (first + last) // 2
    _put(session, table, first, middle)
    _put(session, table, middle + 1, last)


def _put_what_fits(session: Session, table: Replayed, place: int) -> None:
    """Put a row in without the columns that the old shape refuses; it may refuse all of it."""
    names = [name for (name,) in own(session, words.patched_columns(table), place)]
    # Most often it is one of them; else each is tried with those before that fit.
    for name in names:
        if _would_fit(session, table, place, {name}):
            _put_without(session, table, place, {name})
            return
    out = set(names)
    if not _would_fit(session, table, place, out):
        _put_back(session, table, place)
        own(session, words.record_misfit(table), place, [])
        return
    for name in names:
        if _would_fit(session, table, place, out - {name}):
            out.remove(name)
    _put_without(session, table, place, out)


def _put_back(session: Session, table: Replayed, place: int) -> None:
    """Put a row in as it was before the application's change, which does not fit."""
    ((key,),) = own(session, key_of_place(table), place)
    try:
        own(session, words.put_back(table), place)
    except SERVER_ERRORS as error:
        if not _is_of_row(error):
            raise
        raise HeldError(
            "RestoreBlocked",
            f"the row {key} of {table.title} fits neither as the application has written it nor as "
            f"it was before that ({read_error(error).message}); nothing has been changed back: "
            "change it, or the row that it collides with, then retry",
        ) from error


def _would_fit(session: Session, table: Replayed, place: int, out: set[str]) -> bool:
    """Tell whether a row is accepted without some columns."""
    try:
        with postgres(session).transaction(force_rollback=True):
            _put_without(session, table, place, out)
    except SERVER_ERRORS as error:
        if not _is_of_row(error):
            raise
        return False
    return True


def _put_without(session: Session, table: Replayed, place: int, out: set[str]) -> None:
    """Put a row in without some columns, which are recorded."""
    own(session, words.record_misfit(table), place, sorted(out))
    own(session, words.put_rows(table), place, place)


def _is_of_row(error: ServerError) -> bool:
    return read_error(error).code[:2] in _ROW_ERRORS
