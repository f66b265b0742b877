"""Takes a checkpoint away: triggers first, then everything that they needed."""

from functools import partial

from whimbrel.planning.dialects import postgresql_capture as words
from whimbrel.planning.dialects.postgresql_catalog import drop_table
from whimbrel.planning.dialects.postgresql_checkpoint import LEFT_OF
from whimbrel.runner.checkpoint.capture import drop_capture
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, State, set_state
from whimbrel.runner.checkpoint.owner_login import forget_owner_login
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
    close = partial(desk.set_state, checkpoint, State.CLOSING, reason=checkpoint.reason)
    until_unlocked(desk, "discarding the checkpoint", close)
    names = checkpoint.names
    for schema, table in own(desk.session, words.FIND_TRIGGERS, names.triggers):
        what = f"discarding the checkpoint of {schema}.{table}"
        until_unlocked(desk, what, partial(_detach, checkpoint, desk, (schema, table)))
    forget_owner_login(checkpoint, desk)
    until_unlocked(desk, "discarding the checkpoint", partial(_drop, checkpoint, desk))


def left_of(checkpoint: Checkpoint, session: Session) -> list[str]:
    """Return the names of what there is of a checkpoint."""
    names = checkpoint.names
    return [name for (name,) in own(session, LEFT_OF, names.schema, names.short)]


def _detach(checkpoint: Checkpoint, desk: Desk, table: tuple[str, str]) -> None:
    with desk.session.transaction():
        desk.guard(desk.session)
        for statement in words.drop_triggers(checkpoint.names, *table):
            own(desk.session, statement)


def _drop(checkpoint: Checkpoint, desk: Desk) -> None:
    """Drop functions, their owner, and all tables in one transaction."""
    names, session = checkpoint.names, desk.session
    with session.transaction():
        desk.guard(session)
        drop_capture(session, names, checkpoint.capture_role)
        for covered in checkpoint.tables:
            for name in (covered.clone, covered.kept):
                own(session, drop_table(names.schema, name))
        set_state(desk.ledger, checkpoint.id, State.CLOSED, reason=checkpoint.reason)
