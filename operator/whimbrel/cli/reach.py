"""Is the database there, and does it let us in? Asked before anything is recorded or touched."""

import threading
import time
from typing import Final

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.runner.sessions import connect
from whimbrel.runner.target import Target

# A person at a terminal types the right password; waiting does not.
NEVER_HEAL_HERE: Final = {
    "WrongPassword": "the login or the password is wrong",
    "LoginRefused": "",
    "TLSFailed": "",
    "DatabaseMissing": "there is no such database",
}
_PAUSE: Final = 0.5


def reach(target: Target, patience: float, stopping: threading.Event) -> None:
    """Connect once and leave; wait `patience` seconds for a server that is starting or away.

    Raises:
        RefusedError: It cannot be had; nothing was touched.
    """
    give_up = time.monotonic() + patience
    while True:
        try:
            connect(target, "whimbrel").close()
        except TransientError as error:
            if error.reason in NEVER_HEAL_HERE:
                raise RefusedError(error.reason, _sentence(target, error)) from None
            if stopping.is_set() or time.monotonic() >= give_up:
                raise RefusedError(error.reason, f"{error.message}; nothing was touched") from None
            stopping.wait(_PAUSE)
        else:
            return


def _sentence(target: Target, error: TransientError) -> str:
    better = NEVER_HEAL_HERE[error.reason]
    return f"cannot connect to {target} as {target.user}: {better}" if better else error.message
