"""How a transaction ended, asked of the server by the transaction's id."""

import time
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from whimbrel.model.errors import TransientError
from whimbrel.planning.dialects.postgresql_catalog import XACT_STATUS
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

_POLL_SECONDS: Final = 0.05


class End(StrEnum):
    """What became of a transaction."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    RUNNING = "running"
    UNKNOWN = "unknown"


_ANSWERS: Final = {
    "committed": End.COMMITTED,
    "aborted": End.ABORTED,
    "in progress": End.RUNNING,
}


def transaction_ended(session: Session, xid: str) -> End:
    """Return what the server says of a transaction; `session` must not be the one that ran it."""
    ((answer,),) = own(session, XACT_STATUS, xid)
    return _ANSWERS.get(answer, End.UNKNOWN)


def await_end(open_session: Callable[[], Session], xid: str, *, patience: float) -> End:
    """Return how a transaction ended, on a session of its own.

    A server notices a lost client within a second or two (client_connection_check_interval), so
    that a transaction without an owner may be running for a moment.

    Args:
        open_session: Opens another session to the same database.
        xid: Id of the transaction.
        patience: Seconds to wait for its end, and for a server that starts again.
    """
    end = time.monotonic() + patience
    answer = End.UNKNOWN
    while True:
        answer = _asked(open_session, xid)
        if answer in {End.COMMITTED, End.ABORTED} or time.monotonic() > end:
            return answer
        time.sleep(_POLL_SECONDS)


def _asked(open_session: Callable[[], Session], xid: str) -> End:
    try:
        with open_session() as session:
            return transaction_ended(session, xid)
    except (*SERVER_ERRORS, TransientError):
        return End.UNKNOWN
