"""Takes covered tables on MariaDB back to what they were, with everything written since."""

import contextlib
import time
from collections.abc import Callable
from functools import partial

from whimbrel.model.errors import HeldError
from whimbrel.planning.dialects import mariadb_checkpoint as words, mariadb_checkpoint_replay
from whimbrel.planning.dialects.mariadb_catalog import show_create
from whimbrel.planning.dialects.mariadb_checkpoint_keys import alter, without_keys
from whimbrel.runner.checkpoint.conflicts import count_conflicts, held_by_conflicts
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered, State
from whimbrel.runner.checkpoint.mariadb.counters import Counters, count_on, read_counters
from whimbrel.runner.checkpoint.mariadb.discard import drop_triggers
from whimbrel.runner.checkpoint.mariadb.exchange import Exchange, Taken, refused, taken
from whimbrel.runner.checkpoint.mariadb.hand import first, hand
from whimbrel.runner.checkpoint.mariadb.keys import (
    Linked,
    free_children,
    free_kept,
    link_children,
    link_copies,
    read_linked,
    settle,
    unlink_children,
    unlink_copies,
    unsettled,
)
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.mariadb.open import sum_of
from whimbrel.runner.checkpoint.mariadb.orphans import expect_no_orphans, take_orphans_out
from whimbrel.runner.checkpoint.mariadb.replay import (
    FEW,
    catch_up,
    count_unmapped,
    record_unmapped,
)
from whimbrel.runner.checkpoint.mariadb.tables import refuse_server
from whimbrel.runner.checkpoint.mariadb.watch import (
    expect_capture,
    expect_journal,
    live_names,
    read_triggers,
    trigger_numbers,
)
from whimbrel.runner.checkpoint.restore import Restored, expect_restorable
from whimbrel.runner.checkpoint.retrying import until_unlocked
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own, sorted_error


def restore(checkpoint: Checkpoint, desk: Desk, extra: Callable[[Session], None]) -> Restored:
    """Restore a checkpoint, or finish a restore that was interrupted, wherever that was.

    The run is fenced: nothing of the migration works any more. The application goes on; it waits
    for the exchange alone. `extra` is called after the exchange, again if it was cut off.

    Raises:
        HeldError: A human decides; the sentence says what has changed, if anything.
        TransientError: Try again later.
    """
    now = expect_restorable(checkpoint, desk)
    try:
        with hand(desk) as session:
            is_back = now.state is State.RESTORED or _is_exchanged(now, session)
            if not is_back:
                _bring_back(now, desk, session)
        # Another session: the server ends one that was idle while the tables were waited for.
        with hand(desk) as session:
            if now.state is not State.RESTORED:
                settle(now, desk, session)
                _expect_nothing_slipped(now, session)
                take_orphans_out(now, session)
                record_unmapped(now, session)
                with desk.session.transaction():
                    desk.guard(desk.session)
                extra(desk.session)
                desk.set_state(now, State.RESTORED)
            _finish(now, desk, session)
    except SERVER_ERRORS as error:
        raise sorted_error(error, "the restore of the checkpoint") from error
    return Restored(count_conflicts(now, desk), tuple(each.kept for each in now.tables))


def _copy_of(checkpoint: Checkpoint, covered: Covered) -> str:
    return names_of(checkpoint.schema, checkpoint.id).clone(covered.number)


def _is_exchanged(checkpoint: Checkpoint, session: Session) -> bool:
    """Tell whether the tables are back: all are, or none is."""
    clones = [
        each for each in checkpoint.tables if own(session, words.SIZE, _copy_of(checkpoint, each))
    ]
    if checkpoint.state is State.RESTORING and not clones:
        return True
    if len(clones) != len(checkpoint.tables):
        raise HeldError(
            "CheckpointDamaged",
            "a copy of the checkpoint is gone: somebody has dropped it, and nothing is restored; "
            "the tables stay as the migration left them",
        )
    return False


def _bring_back(checkpoint: Checkpoint, desk: Desk, session: Session) -> None:
    refuse_server(session)
    expect_capture(checkpoint, desk.session)
    if checkpoint.state is State.READY:
        _expect_copies(checkpoint, session)
        desk.set_state(checkpoint, State.RESTORING)
    names = names_of(checkpoint.schema, checkpoint.id)
    session.run(words.drop_tables([names.wait, names.go, *names.gone]))
    session.run(words.make_name(names.wait))
    for unlink in (unlink_copies, unlink_children):
        until_unlocked(desk, "the restore", partial(unlink, checkpoint, session))
    catch_up(checkpoint, desk, session, until=FEW)
    _expect_shapes(checkpoint, session)
    live = live_names(checkpoint, desk.session)
    linked = read_linked(checkpoint, live, session)
    _expect_no_conflicts(checkpoint, desk)
    if checkpoint.on_conflict == "Hold" and (found := count_unmapped(checkpoint, live, session)):
        raise held_by_conflicts(found)
    if linked.going:
        expect_no_orphans(checkpoint, linked.wanted, session)  # what holds it is to hold it here
    for key in linked.going:
        drop = partial(session.run, alter(key.child, [key], ()))
        until_unlocked(desk, "taking away a foreign key of the migration", drop)
    _exchange(checkpoint, live, linked, desk)


def _exchange(
    checkpoint: Checkpoint, live: dict[int, str | None], linked: Linked, desk: Desk
) -> None:
    """Take the tables, replay the rest, look at everything again, and exchange them."""
    names = names_of(checkpoint.schema, checkpoint.id)
    pairs = [(each.number, each.table, live[each.number]) for each in checkpoint.tables]
    tables = tuple(name for name in live.values() if name is not None)
    if odd := next((e for e in tables if e.encode() > names.wait.encode()), ""):
        raise HeldError(
            "RestoreBlocked",
            f"the name {odd} sorts behind every other, so the tables cannot be taken in order; "
            "nothing has been changed back: rename it, then retry",
        )
    told = Exchange(names, words.exchange(names, pairs), tables, linked.others, linked.children)
    counters: dict[int, Counters] = {}
    alone = partial(_look, checkpoint, live, counters, desk)
    # The rename waits for us, and not for the application: its sessions have limits of their own.
    with desk.patiently(), taken(told, alone, desk) as all_tables:
        start = time.monotonic()
        try:
            _complete(checkpoint, counters, linked, desk, all_tables)
            with desk.session.transaction():
                desk.guard(desk.session)
                all_tables.let_through()
        except BaseException as error:
            _undo(checkpoint, all_tables)
            if isinstance(error, SERVER_ERRORS):
                raise refused(error) from error
            raise
        if linked.others:
            free_kept(checkpoint, all_tables.work)
            free_children(checkpoint, linked, all_tables.owner)
    desk.tell(f"tables exchanged: held for {(time.monotonic() - start) * 1000:.0f} ms")


def _look(
    checkpoint: Checkpoint, live: dict[int, str | None], counters: dict[int, Counters], desk: Desk
) -> None:
    """Look at the live tables while nobody else has one, and note their numbers."""
    expect_capture(checkpoint, desk.session)
    if live_names(checkpoint, desk.session) != live:
        raise HeldError("CaptureBroken", "a covered table was renamed while it was being restored")
    counters.update(read_counters(checkpoint, live, desk.session))


def _undo(checkpoint: Checkpoint, all_tables: Taken) -> None:
    """Leave all as it was, if the tables are not exchanged yet."""
    all_tables.cancel()
    with contextlib.suppress(*SERVER_ERRORS):
        unlink_children(checkpoint, all_tables.owner)
        unlink_copies(checkpoint, all_tables.work)


def _complete(
    checkpoint: Checkpoint,
    counters: dict[int, Counters],
    linked: Linked,
    desk: Desk,
    all_tables: Taken,
) -> None:
    """Make the copies what is to be, while the application waits."""
    session = all_tables.work
    catch_up(checkpoint, desk, session, until=0)
    for covered in checkpoint.tables:
        expect_journal(checkpoint, covered, session)
    _expect_no_conflicts(checkpoint, desk)
    _expect_shapes(checkpoint, session)
    expect_no_orphans(checkpoint, linked.wanted, session)
    for covered in checkpoint.tables:
        count_on(checkpoint, covered, counters[covered.number], session)
    link_copies(checkpoint, linked.wanted, session)
    all_tables.own_children()
    link_children(checkpoint, linked, all_tables.owner)


def _expect_no_conflicts(checkpoint: Checkpoint, desk: Desk) -> None:
    if checkpoint.on_conflict == "Hold" and (count := count_conflicts(checkpoint, desk)):
        raise held_by_conflicts(count)


def _expect_copies(checkpoint: Checkpoint, session: Session) -> None:
    for covered in checkpoint.tables:
        clone = _copy_of(checkpoint, covered)
        if sum_of(session, clone) != (covered.rows, covered.checksum):
            raise HeldError(
                "CheckpointDamaged",
                f"the copy of {covered} ({clone}) is not what it was when the checkpoint "
                "was taken: somebody has changed it, and nothing is restored from it; the tables "
                "stay as the migration left them",
            )


def _expect_shapes(checkpoint: Checkpoint, session: Session) -> None:
    for covered in checkpoint.tables:
        clone = _copy_of(checkpoint, covered)
        told = words.definition(str(own(session, show_create("TABLE", clone))[0][1]), clone)
        if without_keys(told) != without_keys(covered.manifest["definition"]):
            raise HeldError(
                "CheckpointDamaged",
                f"the copy of {covered} ({clone}) has another definition than the table had: "
                "somebody has changed it, and nothing is restored from it; the tables stay as the "
                "migration left them",
            )


def _expect_nothing_slipped(checkpoint: Checkpoint, session: Session) -> None:
    """Look once more, after the exchange, whether a write came that was not replayed.

    A person answers by what the sentence says, and what has another name then goes with the rest.
    """
    names = names_of(checkpoint.schema, checkpoint.id)
    triggers = read_triggers(checkpoint, session)
    for covered in checkpoint.tables:
        kept, journal = names.kept(covered.number), names.journal(covered.number)
        ours = {number: (kept, checkpoint.capture[number]) for number in trigger_numbers(covered)}
        if not ours.items() <= triggers.items() and own(session, words.SIZE, kept):
            raise HeldError(
                "RestoreDiffers",
                f"the tables are exchanged, but {covered} lost its triggers while that was done: "
                f"look whether {kept} has rows or values that it lacks, carry them over by hand, "
                f"say so by this statement, then retry: {words.rename(kept, f'{kept}_seen')}",
            )
        question = mariadb_checkpoint_replay.waiting(journal)
        if count := int(str(first(session, question)[0])):
            raise HeldError(
                "RestoreDiffers",
                f"the tables are exchanged, but {count} write(s) to {covered} came in between and "
                f"stand in {journal} and {kept} alone: carry them over by hand, say so by this "
                f"statement, then retry: {mariadb_checkpoint_replay.forget_waiting(journal)}",
            )


def _finish(checkpoint: Checkpoint, desk: Desk, session: Session) -> None:
    """Do what needs no haste: the failed tables need no triggers, the others statistics."""
    until_unlocked(desk, "finishing the restore", lambda: drop_triggers(checkpoint, desk, session))
    names = names_of(checkpoint.schema, checkpoint.id)
    session.run(words.drop_tables(names.gone))
    for covered in checkpoint.tables:
        own(session, words.analyze(covered.table))
        told = str(own(session, show_create("TABLE", covered.table))[0][1])
        if words.definition(told, covered.table) != covered.manifest["definition"]:
            raise HeldError("NotAsBefore", f"{covered} is not defined as it was before")
    if table := unsettled(checkpoint, session):
        raise HeldError("NotAsBefore", f"the foreign keys of {table} are not as they were before")
