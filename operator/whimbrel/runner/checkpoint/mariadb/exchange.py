"""Exchanges failed tables and copies so that no write falls between them.

One session holds each table. Another one waits to rename them all; only when the server shows that
it waits for a table that a session holds is that table given back, so nobody else comes between.
The rename needs a name that is made last, when it waits for the last table: whatever dies before
that leaves everything as it was, and whatever dies after it is done.
"""

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from whimbrel.model.errors import HeldError, TransientError
from whimbrel.planning.dialects import mariadb_checkpoint as words
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.planning.dialects.mariadb_checkpoint import Names
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.mariadb.hand import alone_with, hand
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import sorted_error

_PATIENCE: Final = 120.0  # seconds of tries to have all tables at once
_PAUSE: Final = (0.05, 0.5)  # seconds between two tries: the application goes on meanwhile
_QUEUE: Final = 5.0  # seconds for the rename to come to a table that is held
_LOOK_AGAIN: Final = 0.001


@contextmanager
def held(tables: list[str], desk: Desk) -> Iterator[dict[str, Session]]:
    """Hold tables, each in a session of its own, so that nobody else reads or writes them.

    Raises:
        TransientError: They are never free at once.
    """
    end = time.monotonic() + _PATIENCE
    with ExitStack() as stack:
        sessions = {each: stack.enter_context(hand(desk)) for each in tables}
        while not _all_held(sessions, desk):
            if time.monotonic() > end or desk.stopping.is_set():
                raise TransientError("Busy", f"{', '.join(tables)} are never free at once")
            time.sleep(random.uniform(*_PAUSE))  # noqa: S311 - jitter, no secret
        yield sessions


def _all_held(sessions: dict[str, Session], desk: Desk) -> bool:
    try:
        for table, session in sessions.items():
            alone_with(session, words.hold(table), desk)
    except SERVER_ERRORS as error:
        for session in sessions.values():
            session.run(words.GIVE_BACK)
        if not is_trouble(error, Trouble.LOCK):
            raise sorted_error(error, "the exchange of the tables") from error
        return False
    return True


class _Rename(threading.Thread):
    """The statement that waits for the tables; `error` is what the server said."""

    def __init__(self, session: Session, statement: str) -> None:
        super().__init__(name="exchange", daemon=True)
        self._session, self._statement = session, statement
        self.error: BaseException | None = None

    def run(self) -> None:
        """Rename, once nobody holds a table."""
        try:
            self._session.run(self._statement)
        except SERVER_ERRORS as error:
            self.error = error


def rename(
    names: Names, statement: str, sessions: dict[str, Session], desk: Desk, look: Session
) -> None:
    """Let the rename through, and nobody before it.

    Args:
        names: Of the checkpoint.
        statement: Exchanges all tables, if `names.go` is there.
        sessions: Which hold the tables.
        desk: Where the work is done.
        look: A session that holds nothing.

    Raises:
        TransientError: It did not come to the tables; nothing has changed.
        HeldError: The server refuses it; nothing has changed.
    """
    with hand(desk) as session:
        session.run(words.wait_at_most(int(_QUEUE * (len(sessions) + 2))))
        look.run(words.wait_at_most(0))
        renaming = _Rename(session, statement)
        if not sessions:
            look.run(words.make_go(names))
        _expect_alone(sessions, look)
        renaming.start()
        try:
            _hand_over(names, sessions, look, renaming)
        except BaseException:
            # Only what ends the rename before the tables are given back leaves all as it was.
            with contextlib.suppress(*SERVER_ERRORS):
                session.cancel_safe(timeout=1.0)
            renaming.join()
            raise
        renaming.join()
    if renaming.error is not None:
        raise _refused(renaming.error)


def _hand_over(
    names: Names, sessions: dict[str, Session], look: Session, renaming: _Rename
) -> None:
    waiting = dict(sessions)
    while waiting:
        table = _awaited(waiting, look, renaming)
        if len(waiting) == 1:
            look.run(words.make_go(names))
        waiting.pop(table).run(words.GIVE_BACK)


def _awaited(waiting: dict[str, Session], look: Session, renaming: _Rename) -> str:
    """Return the table that the rename waits for."""
    end = time.monotonic() + _QUEUE
    while time.monotonic() < end and renaming.is_alive():
        for table in waiting:
            if _is_awaited(table, look):
                return table
        time.sleep(_LOOK_AGAIN)
    if renaming.error is not None:
        raise _refused(renaming.error)
    raise TransientError("Busy", "the exchange did not come to its tables; nothing has changed")


def _expect_alone(sessions: dict[str, Session], look: Session) -> None:
    """Be sure that whoever is seen to wait from now on is the rename."""
    for table in sessions:
        if _is_awaited(table, look):
            raise TransientError("Busy", f"somebody else changes the definition of {table}")


def _is_awaited(table: str, look: Session) -> bool:
    try:
        look.run(words.is_awaited(table))
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.LOCK):
            raise
        return True
    return False


def _refused(error: BaseException) -> Exception:
    if not isinstance(error, SERVER_ERRORS):
        raise error
    failed = sorted_error(error, "the exchange of the tables")
    if isinstance(failed, TransientError):
        return failed
    return HeldError(
        "RestoreBlocked",
        f"the old tables cannot take their place: {failed.message}; nothing has changed and the "
        "application goes on with the migrated tables: mend that, then retry",
    )
