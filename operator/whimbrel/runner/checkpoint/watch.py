"""Whether a checkpoint that is open can still be restored: asked before and after each step."""

import time
from collections.abc import Callable, Collection
from typing import Final

from whimbrel.model.errors import HeldError, RefusedError, WhimbrelError
from whimbrel.planning.dialects import postgresql_capture as words
from whimbrel.planning.dialects.postgresql import quote_name
from whimbrel.planning.dialects.postgresql_checkpoint import FIND_RELATION
from whimbrel.runner.checkpoint.capture import FUNCTION, as_login, read_capture
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

# A migration may fill so much of its journal: the rest is for what is written on the way back.
_MIGRATIONS_SHARE: Final = 0.5
_PATIENCE: Final = 5.0  # seconds for a server's process to see that its client is gone
_POLL_SECONDS: Final = 0.02


def expect_capture(
    checkpoint: Checkpoint, session: Session, *, our_pids: Collection[int] = ()
) -> None:
    """Check that no write of an application can have been missed, nor one of the migration taken.

    Args:
        checkpoint: As it was read when it became ready, or later.
        session: Any session to its database.
        our_pids: Sessions of the migration's login that are ours; those that carry the same
            application_name as `session` need not be named.

    Raises:
        HeldError: A rollback by this checkpoint is not provable any more.
    """
    if own(session, words.IS_OVER, checkpoint.kept_until.isoformat())[0][0]:
        raise expired(checkpoint)
    _expect_triggers(checkpoint, session)
    _expect_room(checkpoint, session)
    if not checkpoint.own_login:
        expect_login(session, checkpoint.login, our_pids, while_open=True)


def _expect_triggers(checkpoint: Checkpoint, session: Session) -> None:
    now = read_capture(session, checkpoint)
    if now.get(FUNCTION) != checkpoint.capture.get(FUNCTION):
        raise capture_broken("its capture function is not as it was made")
    for covered in checkpoint.tables:
        expected = checkpoint.capture.get(covered.oid)
        if covered.oid in now and now[covered.oid] != expected:
            raise capture_broken(
                f"the triggers on {covered} are not as they were made, or were disabled"
            )
        if covered.oid not in now and _is_there(covered, session):
            raise capture_broken(f"{covered} is another table now, without its triggers")


def _is_there(covered: Covered, session: Session) -> bool:
    """Tell whether there is anything under a table's name that an application could write to."""
    name = quote_name(covered.schema, covered.table)
    return own(session, FIND_RELATION, name)[0][0] is not None


def capture_broken(what: str) -> HeldError:
    """Return the sentence for a checkpoint that may have missed a write."""
    return HeldError(
        "CaptureBroken",
        f"the checkpoint cannot be relied on: {what}, so writes of applications may be missing in "
        "it; going back by it is not provable and is left to a person",
    )


def _expect_room(checkpoint: Checkpoint, session: Session) -> None:
    size = journal_bytes(checkpoint, session)
    if size is None:
        raise capture_broken("its journal is gone")
    if size >= checkpoint.max_journal:
        raise journal_full(checkpoint)


def expired(checkpoint: Checkpoint) -> HeldError:
    """Return the sentence for a checkpoint whose time is over."""
    return HeldError(
        "CheckpointExpired",
        f"the checkpoint of run {checkpoint.id} was kept until {checkpoint.kept_until:%F %T %Z}"
        " and captures nothing since then: going back by it would lose writes; for the "
        "next one, write a longer spec.checkpoint.keepFor",
    )


def journal_full(checkpoint: Checkpoint) -> HeldError:
    """Return the sentence for a journal that has no room for what is written."""
    return HeldError(
        "JournalFull",
        f"the journal of the checkpoint reached its {checkpoint.max_journal} bytes, and what "
        "applications have written since is not in it: going back by it would lose writes; "
        "for the next one, write a larger spec.checkpoint.maxJournal",
    )


def journal_bytes(checkpoint: Checkpoint, session: Session) -> int | None:
    """Return the size of the journal; None where there is none."""
    found = own(session, words.JOURNAL_BYTES, checkpoint.names.journal)
    return int(found[0][0]) if found else None


def is_used_up(checkpoint: Checkpoint, size: int | None) -> bool:
    """Tell whether it is time to stop the migration, while its way back has room."""
    return size is None or size >= _MIGRATIONS_SHARE * checkpoint.max_journal


def expect_login(
    session: Session, login: str, our_pids: Collection[int], *, while_open: bool = False
) -> None:
    """Check that nobody else has a session of the migration's login.

    Raises:
        RefusedError: Somebody has, and no checkpoint is open.
        HeldError: Somebody has, `while_open`.
    """
    if others := others_of(session, login, our_pids):
        raise login_shared(login, len(others), while_open=while_open)


def others_of(session: Session, login: str, our_pids: Collection[int]) -> set[int]:
    """Return the sessions of a login that are not ours."""
    with session.transaction(), as_login(session):
        return {pid for (pid,) in own(session, words.SHARED_LOGIN, login, sorted(our_pids))}


def await_tool_sessions(look: Callable[[], set[int]]) -> None:
    """Wait for the sessions of a tool that has ended, which are gone in a moment.

    Nobody else was there before its start. Who stays, or comes now, is found by the next look.
    """
    end, left = time.monotonic() + _PATIENCE, look()
    while left and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)  # between two looks at the list of sessions
        left &= look()


def login_shared(login: str, others: int, *, while_open: bool) -> WhimbrelError:
    """Return the sentence for a login whose writes are not the migration's alone."""
    what = f"{others} other session(s) use the login {login} of the migration"
    if while_open:
        return HeldError(
            "LoginShared",
            f"{what}: what they wrote since the checkpoint was taken cannot be told from the "
            "migration's own writes, so going back by it is left to a person; give them a login of "
            "their own, then retry",
        )
    return RefusedError(
        "LoginShared",
        f"{what}, and a checkpoint could not tell their writes from the migration's: give the "
        "migration a login of its own, in spec.database or spec.database.runRole",
    )
