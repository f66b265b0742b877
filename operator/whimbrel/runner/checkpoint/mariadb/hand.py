"""Sessions that do a checkpoint's work on MariaDB, with settings that are ours."""

import random
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

from whimbrel.planning.dialects import mariadb_checkpoint as words
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

_GENTLE: Final = 5.0  # seconds of tries that nobody waits behind
_PAUSE: Final = (0.0002, 0.004)  # seconds between two of them
_WAIT: Final = 1  # second that others may wait behind us, once they leave no gap
PATIENT: Final = 10  # seconds to wait for who only looks at a table that we hold already


@contextmanager
def hand(desk: Desk) -> Iterator[Session]:
    """Give a session of our own, beside the worker's, whose settings are ours."""
    with closing(desk.another_session()) as session:
        pin(session)
        yield session


def pin(session: Session) -> None:
    """Give a session the settings that copying and replaying need."""
    for statement in words.PIN:
        session.run(statement)


def hold(
    session: Session, tables: Iterable[str], desk: Desk, *, others: Iterable[str] = ()
) -> None:
    """Keep everybody away from tables, once no transaction that used them is open.

    `others` can be read meanwhile, and not written.

    Raises:
        ServerError: `Trouble.LOCK`: they were not to be had.
    """
    session.run(words.STRICTLY)
    try:
        alone_with(session, words.hold(tables, others), desk)
    finally:
        session.run(words.NOT_STRICTLY)


def alone_with(session: Session, statement: str, desk: Desk) -> None:
    """Run a statement that needs a table for itself, in a gap that others leave if there is one.

    Whoever waits for a table stands in the way of all who come later, and the server ends
    transactions that read it before and write it now. So we wait only where there is no gap.

    Raises:
        ServerError: `Trouble.LOCK`: it was not to be had.
    """
    end = time.monotonic() + _GENTLE
    session.run(words.wait_at_most(0))
    session.run(words.wait_for_rows(0))
    while time.monotonic() < end and not desk.stopping.is_set():
        try:
            session.run(statement)
        except SERVER_ERRORS as error:
            if not is_trouble(error, Trouble.LOCK):
                raise
        else:
            return
        time.sleep(random.uniform(*_PAUSE))  # noqa: S311 - jitter, no secret
    session.run(words.wait_at_most(_WAIT))
    session.run(words.wait_for_rows(_WAIT))
    session.run(statement)


def first(session: Session, question: str) -> tuple[object, ...]:
    """Return the first row of the answer to a question of ours."""
    return own(session, question)[0]
