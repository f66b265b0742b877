"""Takes a checkpoint on MariaDB away: triggers first, then everything that they needed."""

from contextlib import suppress
from functools import partial

from whimbrel.model.errors import HeldError
from whimbrel.planning.dialects import (
    mariadb_checkpoint as words,
    mariadb_checkpoint_capture as capture,
)
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, State
from whimbrel.runner.checkpoint.mariadb.hand import alone_with, hand
from whimbrel.runner.checkpoint.mariadb.keys import copies, settle, unlink_children
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.mariadb.orphans import take_orphans_out
from whimbrel.runner.checkpoint.retrying import until_unlocked
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own


def discard(checkpoint: Checkpoint, desk: Desk) -> None:
    """Drop everything of a checkpoint but its rows in the ledger; again, if it was cut off.

    Raises:
        TransientError: A lock is not to be had, or the connection broke: call it again.
        FailedError: The server refuses it.
    """
    if checkpoint.state is State.CLOSED:
        return
    desk.tell(f"checkpoint of run {checkpoint.id}: discarding it")
    if checkpoint.state is State.RESTORING:
        _end_restore(checkpoint, desk)
    what, become = "discarding the checkpoint", partial(desk.set_state, reason=checkpoint.reason)
    until_unlocked(desk, what, partial(become, checkpoint, State.CLOSING))
    with hand(desk) as session:
        until_unlocked(desk, what, partial(unlink_children, checkpoint, session))
        until_unlocked(desk, what, partial(drop_triggers, checkpoint, desk, session))
        until_unlocked(desk, what, partial(_drop_tables, checkpoint, session))
    until_unlocked(desk, what, partial(become, checkpoint, State.CLOSED))


def left_of(checkpoint: Checkpoint, session: Session) -> list[str]:
    """Return the names of what there is of a checkpoint."""
    names = names_of(checkpoint.schema, checkpoint.id)
    triggers = [str(name) for name, _, _ in own(session, capture.READ_TRIGGERS, names.triggers)]
    return [*triggers, *_our_tables(checkpoint, session)]


def _end_restore(checkpoint: Checkpoint, desk: Desk) -> None:
    """Give keys back, where a restore was cut off after its exchange; as far as they can be had."""
    with desk.session.transaction():
        desk.guard(desk.session)
    with hand(desk) as session, suppress(HeldError):
        if not any(own(session, words.SIZE, each) for each in copies(checkpoint).values()):
            settle(checkpoint, desk, session)
            take_orphans_out(checkpoint, session)


def drop_triggers(checkpoint: Checkpoint, desk: Desk, session: Session) -> None:
    """Drop the triggers of a checkpoint, wherever they are."""
    names = names_of(checkpoint.schema, checkpoint.id)
    for name, _, _ in own(session, capture.READ_TRIGGERS, names.triggers):
        alone_with(session, capture.drop_trigger(name), desk)


def _drop_tables(checkpoint: Checkpoint, session: Session) -> None:
    """Drop copies, failed tables and journals; what a migration added lies among the failed."""
    if found := _our_tables(checkpoint, session):
        session.run("SET SESSION foreign_key_checks = 0")
        session.run(words.drop_tables(found))


def _our_tables(checkpoint: Checkpoint, session: Session) -> list[str]:
    names = names_of(checkpoint.schema, checkpoint.id)
    kinds = ("clone", "kept", "journal")
    begins = [f"{names.schema}_{kind}_{names.short}_" for kind in kinds]
    begins += [names.clone(""), names.wait, names.go]
    return [name for each in begins for (name,) in own(session, words.OUR_TABLES, each)]
