"""What an error of a server means for the next try, whichever server said it."""

from dataclasses import dataclass
from enum import StrEnum


class Fate(StrEnum):
    """What becomes of a statement that ended with an error.

    `PERMANENT`: the same text fails again. `HEALS`: it had no effect, and another try may pass.
    `UNKNOWN`: the connection is gone; only the database can tell whether it had an effect.
    """

    PERMANENT = "Permanent"
    HEALS = "Heals"
    UNKNOWN = "Unknown"


class Trouble(StrEnum):
    """Errors that somebody answers in a way of their own."""

    OTHER = "Other"
    LOCK = "Lock"
    CANCELLED = "Cancelled"
    PRIVILEGE = "Privilege"
    DUPLICATE = "Duplicate"


@dataclass(frozen=True)
class Said:
    """What a server, or the driver in its place, said of an error.

    Attributes:
        code: SQLSTATE or error number; "" when the connection broke.
        shown: The code for a person, or "".
        message: Its words, without what may hold values.
        position: Place in the statement where it saw the error, characters from 1; 0 if unknown.
    """

    code: str
    shown: str
    message: str
    fate: Fate
    trouble: Trouble = Trouble.OTHER
    position: int = 0
