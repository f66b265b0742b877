"""Sessions that a tool may have opened under another name than the one we gave it."""

import time
from typing import Final

from whimbrel.runner.session import Session
from whimbrel.runner.watchdog import other_of

PATIENCE: Final = 10.0
_POLL_SECONDS: Final = 0.02


def busy_strangers(session: Session, login: str, since: str, after: int) -> str:
    """Return the sessions that may still write for a tool whose processes are gone; "" for none.

    An `env.py` may name its sessions as it likes, and some drivers take no name at all, so with
    the application's own login the name alone proves nothing. Nor may these be terminated: they
    may be the application's. But a tool that is dead begins nothing new. So each of them is
    harmless once it was seen idle, or is gone; sessions that come later are not the tool's.

    Args:
        session: A session of ours.
        login: The login that the tool shared with others.
        since: The tool started after that, by the server's clock.
        after: Number of the session of the runner that started it.
    """
    end = time.monotonic() + PATIENCE
    left = session.busy_of_login(login, since, after)
    while left and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)  # between two looks at the list of sessions
        left &= session.busy_of_login(login, since, after)
    facts = session.describe(sorted(left)) if left else []
    return ", ".join(str(other_of(row, session.dialect)) for row in facts)
