"""Sessions that a tool may have opened under another name than the one we gave it."""

import time
from typing import Final

from whimbrel.planning.dialects.postgresql import BUSY_STRANGERS, SESSION_FACTS
from whimbrel.runner.sessions import Session, is_pooled, own
from whimbrel.runner.watchdog import other_of

PATIENCE: Final = 10.0
_POLL_SECONDS: Final = 0.02


def busy_strangers(session: Session, login: str, since: str) -> str:
    """Return the sessions that may still write for a tool whose processes are gone; "" for none.

    An `env.py` may name its sessions as it likes, and some drivers take no name at all, so with
    the application's own login the name alone proves nothing. Nor may these be terminated: they
    may be the application's. But a tool that is dead begins nothing new. So each of them is
    harmless once it was seen idle, or is gone; sessions that come later are not the tool's.

    Args:
        session: A session of ours.
        login: The login that the tool shared with others.
        since: The tool started after that, by the server's clock.
    """
    # A pooler may have given the tool a session of the server that is older than the attempt.
    since = "-infinity" if is_pooled(session) else since
    end = time.monotonic() + PATIENCE
    left = _busy(session, login, since)
    while left and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)  # between two looks at pg_stat_activity
        left &= _busy(session, login, since)
    facts = own(session, SESSION_FACTS, sorted(left)) if left else []
    return ", ".join(str(other_of(row)) for row in facts)


def _busy(session: Session, login: str, since: str) -> set[int]:
    return {pid for (pid,) in own(session, BUSY_STRANGERS, login, since)}
