"""Takes covered tables on MariaDB back to what they were, with everything written since."""

import time
from collections.abc import Callable
from functools import partial

from whimbrel.model.errors import HeldError
from whimbrel.planning.dialects import mariadb_checkpoint as words, mariadb_checkpoint_replay
from whimbrel.planning.dialects.mariadb_catalog import show_create
from whimbrel.runner.checkpoint.conflicts import (
    count_conflicts,
    expect_no_conflicts,
    held_by_conflicts,
)
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    Covered,
    State,
)
from whimbrel.runner.checkpoint.mariadb.discard import drop_triggers
from whimbrel.runner.checkpoint.mariadb.exchange import held, rename
from whimbrel.runner.checkpoint.mariadb.hand import first, hand
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.mariadb.open import sum_of
from whimbrel.runner.checkpoint.mariadb.replay import (
    FEW,
    catch_up,
    count_unmapped,
    record_unmapped,
)
from whimbrel.runner.checkpoint.mariadb.tables import refuse_server, subject_of
from whimbrel.runner.checkpoint.mariadb.watch import expect_capture, foreign_keys, live_names
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
                _expect_nothing_slipped(now, session)
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
    session.run(words.drop_tables([names.go, names.gone]))
    catch_up(checkpoint, desk, session, until=FEW)
    _expect_shapes(checkpoint, session)
    live = live_names(checkpoint, desk.session)
    expect_no_conflicts(checkpoint, desk)
    drop = partial(_drop_foreign_keys, checkpoint, live, session)
    until_unlocked(desk, "taking away the foreign keys of the migration", drop)
    if checkpoint.on_conflict == "Hold" and (found := count_unmapped(checkpoint, live, session)):
        raise held_by_conflicts(found)
    _exchange(checkpoint, live, desk)


def _drop_foreign_keys(
    checkpoint: Checkpoint, live: dict[int, str | None], session: Session
) -> None:
    """Drop what the migration added: who holds a parent alone would hold its children too."""
    for covered in checkpoint.tables:
        for name, child, _, _ in foreign_keys(covered, live[covered.number], session):
            session.run(words.drop_foreign_key(str(child), str(name)))


def _exchange(checkpoint: Checkpoint, live: dict[int, str | None], desk: Desk) -> None:
    """Hold the tables, replay the rest, look at everything again, and exchange them."""
    names = names_of(checkpoint.schema, checkpoint.id)
    tables = [name for name in live.values() if name is not None]
    # Another session than before: that one may have been idle for too long meanwhile.
    with held(tables, desk) as sessions, hand(desk) as session:
        start = time.monotonic()
        catch_up(checkpoint, desk, session, until=0)
        expect_capture(checkpoint, desk.session)
        if live_names(checkpoint, desk.session) != live:
            raise HeldError(
                "CaptureBroken", "a covered table was renamed while it was being restored"
            )
        expect_no_conflicts(checkpoint, desk)
        _expect_shapes(checkpoint, session)
        for covered in checkpoint.tables:
            _count_on(checkpoint, covered, live[covered.number], session)
        pairs = [(each.number, each.table, live[each.number]) for each in checkpoint.tables]
        with desk.session.transaction():
            desk.guard(desk.session)
            rename(names, words.exchange(names, pairs), sessions, desk, session)
    desk.tell(f"tables exchanged: held for {(time.monotonic() - start) * 1000:.0f} ms")


def _count_on(checkpoint: Checkpoint, covered: Covered, live: str | None, session: Session) -> None:
    """Let numbers go on where they were: none is given twice."""
    subject = subject_of(checkpoint, covered)
    for place, column in enumerate(subject.columns, start=1):
        if not column.is_counted:
            continue
        furthest = first(session, mariadb_checkpoint_replay.furthest(subject.journal, place))[0]
        values = [int(covered.manifest["counter"]), int(str(furthest)) + 1]
        for table in filter(None, (subject.clone, live)):
            values += [int(row[0]) for row in own(session, words.AUTO_INCREMENT, table)]
        session.run(words.count_on(subject.clone, max(values)))


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
        told = str(own(session, show_create("TABLE", clone))[0][1])
        if words.definition(told, clone) != covered.manifest["definition"]:
            raise HeldError(
                "RestoreDiffers",
                f"{covered} would not be what it was: its copy has another definition; nothing has "
                "changed and the application goes on with the migrated tables",
            )


def _expect_nothing_slipped(checkpoint: Checkpoint, session: Session) -> None:
    """Look once more, after the exchange, whether a write came that was not replayed."""
    names = names_of(checkpoint.schema, checkpoint.id)
    for covered in checkpoint.tables:
        question = mariadb_checkpoint_replay.waiting(names.journal(covered.number))
        if count := int(str(first(session, question)[0])):
            raise HeldError(
                "RestoreDiffers",
                f"the tables are exchanged, but {count} write(s) to {covered} came in between and "
                f"stand in {names.journal(covered.number)} and {names.kept(covered.number)} "
                "alone: carry them over by hand",
            )


def _finish(checkpoint: Checkpoint, desk: Desk, session: Session) -> None:
    """Do what needs no haste: the failed tables need no triggers, the others statistics."""
    until_unlocked(desk, "finishing the restore", lambda: drop_triggers(checkpoint, desk, session))
    names = names_of(checkpoint.schema, checkpoint.id)
    session.run(words.drop_tables([names.gone]))
    for covered in checkpoint.tables:
        own(session, words.analyze(covered.table))
        told = str(own(session, show_create("TABLE", covered.table))[0][1])
        if words.definition(told, covered.table) != covered.manifest["definition"]:
            raise HeldError("NotAsBefore", f"{covered} is not defined as it was before")
