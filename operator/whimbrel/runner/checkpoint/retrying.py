"""Short transactions that wait for locks: tried again, with pauses, until they pass."""

import secrets
import time
from collections.abc import Callable
from typing import Final, TypeVar

from whimbrel.model.errors import TransientError
from whimbrel.planning.dialects.fates import Fate
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.server_errors import SERVER_ERRORS, ServerError, read_error
from whimbrel.runner.sessions import sorted_error

_PATIENCE: Final = 60.0  # seconds to go on trying
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 2.0
_RANDOM: Final = secrets.SystemRandom()
T = TypeVar("T")


def until_unlocked(desk: Desk, what: str, effect: Callable[[], T]) -> T:
    """Carry out a transaction that gives way to others, as often as it takes.

    Between two tries everybody who waited behind us goes first.

    Args:
        desk: Where the work is done.
        what: What it does, as the start of a sentence.
        effect: A transaction of the desk's session; another try after an error must be right.

    Raises:
        TransientError: The lock was not to be had, we are to stop, or the connection broke.
        FailedError: The server refuses it.
    """
    end, pause = time.monotonic() + _PATIENCE, _FIRST_PAUSE
    while True:
        try:
            return effect()
        except SERVER_ERRORS as error:
            _raise_others(desk, what, error, is_late=time.monotonic() > end)
        desk.stopping.wait(pause * _RANDOM.uniform(0.5, 1.5))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _raise_others(desk: Desk, what: str, error: ServerError, *, is_late: bool) -> None:
    """Raise unless another try may pass."""
    if desk.stopping.is_set():
        raise TransientError("Stopped", f"{what}: told to stop; nothing is half done") from error
    if is_late or read_error(error).fate is not Fate.HEALS:
        raise sorted_error(error, what) from error
