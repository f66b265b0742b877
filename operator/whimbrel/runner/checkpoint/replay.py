"""Replays what the application wrote since the checkpoint, in rounds between two snapshots."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import HeldError, TransientError
from whimbrel.planning.checkpoint.facts import by_name, foreign_keys, is_checked
from whimbrel.planning.dialects import postgresql_replay as words
from whimbrel.planning.dialects.postgresql import quote_name
from whimbrel.planning.dialects.postgresql_dependents import FIND_BY_OID
from whimbrel.planning.dialects.postgresql_replay import Replayed
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered, set_snapshot
from whimbrel.runner.checkpoint.transplant import describe_table
from whimbrel.runner.server_errors import SERVER_ERRORS, ServerError, read_error
from whimbrel.runner.session import Row, Session
from whimbrel.runner.sessions import own

_FEW: Final = 200  # changes; so many take a few milliseconds under the lock
_MANY: Final = 3000  # changes; a busy application makes so many in the time of a round
_FEWER: Final = 0.8  # of those of the round before
_STUCK: Final = 4  # rounds that have brought us no nearer
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
    """

    tables: tuple[Replayed, ...]
    snapshot: str
    above: int = 0
    seen: int = 0
    horizon: int = 0


def begin_replay(checkpoint: Checkpoint, desk: Desk) -> Progress:
    """Return where a replay begins, or goes on."""
    tables = tuple(_replayed(checkpoint, each, desk.session) for each in checkpoint.tables)
    return Progress(tables, checkpoint.snapshot)


def _replayed(checkpoint: Checkpoint, covered: Covered, session: Session) -> Replayed:
    found = own(session, FIND_BY_OID, covered.oid)
    now = by_name(describe_table(session, *found[0])["columns"]) if found else {}
    then = covered.manifest["columns"]
    same = {each["name"] for each in then if each["type"] == now.get(each["name"], {}).get("type")}
    return Replayed(
        ledger=checkpoint.schema,
        checkpoint=checkpoint.id,
        number=covered.number,
        title=str(covered),
        journal=checkpoint.journal,
        clone=covered.clone,
        key=covered.key,
        columns=tuple(then),
        renamed=tuple(
            (each.new, each.old) for each in checkpoint.mappings if each.table == str(covered)
        ),
        live=quote_name(*found[0]) if found and same.issuperset(covered.key) else "",
        same=frozenset(same),
    )


def catch_up(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> Progress:
    """Replay until few changes are left, or until they do not get fewer; the application goes on.

    Raises:
        TransientError: It writes faster than we replay, or we are told to stop.
    """
    before, stuck = math.inf, 0
    while stuck < _STUCK:
        progress, changes = replay_round(checkpoint, desk, progress)
        if changes < _FEW:
            return progress
        desk.tell(f"replayed {changes} changes of the application")
        if desk.stopping.is_set():
            raise TransientError("Stopped", "the restore stops between two rounds of its replay")
        stuck = stuck + 1 if changes > _FEWER * before else 0
        before = changes
    if before < _MANY:
        return progress
    raise TransientError(
        "ApplicationTooFast",
        "the application writes faster than its writes can be replayed: the restore goes on from "
        "here when it is tried again; let the application write less",
        retry_after=60.0,
    )


def replay_round(
    checkpoint: Checkpoint,
    desk: Desk,
    progress: Progress,
    look: Callable[[Checkpoint, Desk], None] = lambda _checkpoint, _desk: None,
) -> tuple[Progress, int]:
    """Bring the clones to what is there now, in one transaction; return how many changes it took.

    `look` is called in that transaction, in which the clones and all other tables are of one time.

    Raises:
        HeldError: The key of a row cannot be read back.
    """
    session = desk.session
    with session.transaction():
        session.run(words.REPEATABLE_READ)
        desk.guard(session)
        later, changes = replay_journal(checkpoint, desk, progress)
        look(checkpoint, desk)
    return later, changes


def replay_journal(checkpoint: Checkpoint, desk: Desk, progress: Progress) -> tuple[Progress, int]:
    """Replay what this transaction sees and the clones do not, and record the new snapshot."""
    session = desk.session
    own(session, words.PIN_FORMATS)
    snapshot, oldest, horizon = own(session, words.READ_SNAPSHOT)[0]
    question = words.count_journal(progress.tables[0])
    changes, seen = own(session, question, progress.snapshot, progress.above)[0]
    if changes:
        for table in progress.tables:
            _replay_table(session, table, progress)
    set_snapshot(desk.ledger, checkpoint.id, snapshot)
    # Whoever had a number up to `seen` then has ended by now, and what he wrote is in the clones.
    above = progress.seen if oldest >= progress.horizon else progress.above
    return Progress(progress.tables, snapshot, above, seen, horizon), changes


def _replay_table(session: Session, table: Replayed, progress: Progress) -> None:
    for statement in words.begin_round(table):
        own(session, statement)
    _take(session, table, progress)
    for first, last in _windows(own(session, words.read_moves(table))):
        own(session, words.make_patch(table), first, last)
        own(session, words.remove_rows(table))
        _put(session, table, 1, own(session, words.last_place(table))[0][0])
        own(session, words.clear_patch(table))
    own(session, words.end_round(table))


def _take(session: Session, table: Replayed, progress: Progress) -> None:
    try:
        own(session, words.take_journal(table), progress.snapshot, progress.above)
    except SERVER_ERRORS as error:
        if not _is_of_row(error):
            raise
        raise HeldError(
            "RestoreBlocked",
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
    yield first, "infinity"


def _put(session: Session, table: Replayed, first: int, last: int) -> None:
    """Put rows in; those that the old shape refuses, found by halves, are recorded one by one."""
    if first > last:
        return
    try:
        with session.transaction():
            own(session, words.put_rows(table), first, last)
    except SERVER_ERRORS as error:
        if not _is_of_row(error):
            raise
        if first < last:
            middle = (first + last) // 2
            _put(session, table, first, middle)
            _put(session, table, middle + 1, last)
            return
        own(session, words.put_back(table), first)
        own(session, words.record_misfit(table), first, read_error(error).code)


def _is_of_row(error: ServerError) -> bool:
    return read_error(error).code[:2] in _ROW_ERRORS


def refuse_orphans(checkpoint: Checkpoint, desk: Desk) -> None:
    """Refuse where a row would refer to none, in the transaction that brought the clones here.

    The foreign keys themselves come with the exchange: on a clone they would stop the application.

    Raises:
        HeldError: The application has written what the old foreign key does not allow.
    """
    clones = {
        (each.schema, each.table): (checkpoint.schema, each.clone) for each in checkpoint.tables
    }
    for each in filter(is_checked, foreign_keys(table.manifest for table in checkpoint.tables)):
        child, parent = (each["schema"], each["table"]), (each["target"][0], each["target"][1])
        names = [quote_name(*clones.get(place, place)) for place in (child, parent)]
        ((count,),) = own(desk.session, words.read_orphans(each, *names))
        if count:
            raise HeldError(
                "RestoreBlocked",
                f"{count} rows of {'.'.join(child)} refer to rows that the restore would take away "
                f"(foreign key {each['name']}); nothing has been changed back: delete them, or let "
                "them refer to others, then retry",
            )
