"""Waiting for something to become true, never for time to pass."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .errors import NodeError

_POLL: Final = 0.05  # seconds; short beside every step of a start, long beside one check
_LINES_OF_LOG: Final = 15


def tail(log: Path) -> str:
    """Return the last lines of a log file, for an error message."""
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError as error:
        return f"({error})"
    return "\n".join(f"    {line}" for line in lines[-_LINES_OF_LOG:])


def wait_until(
    condition: Callable[[], bool],
    *,
    seconds: float,
    what: str,
    log: Path,
    still_possible: Callable[[], bool] = lambda: True,
) -> None:
    """Return as soon as the condition holds.

    Raises:
        NodeError: the deadline passed, or ``still_possible`` said that waiting is of no use.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if not still_possible():
            raise NodeError(f"{what}: the process ended; its log {log} closes with:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise NodeError(
                f"{what}: not so after {seconds:.0f} s; the log {log} closes with:\n{tail(log)}"
            )
        time.sleep(_POLL)
