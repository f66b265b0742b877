"""How long a run waits before it tries again."""

from typing import Final

from whimbrel.machine.names import digest

LONGEST: Final = 30.0  # seconds between two tries before the deadline
AFTER_DEADLINE: Final = 300.0  # seconds between two looks after it


def delay(run: str, failures: int, *, at_least: float = 0.0) -> float:
    """Return seconds: 1, 2, 4 ... 30, each 20 % up or down, the same for the same run.

    The spread keeps many objects that failed together (a database restart) from coming back
    together; taking it from the run's id keeps the decision pure.
    """
    spread = int(digest(run, failures, length=8), 16) / 0xFFFFFFFF
    wanted = min(LONGEST, 2.0 ** min(failures - 1, 10)) * (0.8 + 0.4 * spread)
    return max(wanted, at_least)
