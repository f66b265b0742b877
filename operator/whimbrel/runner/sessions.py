"""Opens sessions on whichever server a target names, and asks them our own questions."""

import json
from collections.abc import Callable
from typing import Any

from whimbrel.model.errors import FailedError, TransientError, WhimbrelError
from whimbrel.planning.dialects.fates import Fate
from whimbrel.runner.server_errors import ServerError, read_error
from whimbrel.runner.servers import server_of
from whimbrel.runner.session import Manners, Row, Session, Value
from whimbrel.runner.target import Target


def application_name(run: str, owner: str) -> str:
    """Return the name that our sessions and the tool's carry, 63 bytes at most."""
    return f"whimbrel:{run[:12]}:{owner}".encode()[:63].decode(errors="ignore")


def connect(target: Target, name: str) -> Session:
    """Open an autocommit session that has no setting of ours but its name.

    Raises:
        TransientError: It cannot be had now; the sentence says why, without the password.
    """
    return server_of(target).connect(target, name)


def open_session(target: Target, manners: Manners) -> Session:
    """Open an autocommit session that gives way to others as `manners` say.

    Raises:
        TransientError: It cannot be had now.
    """
    return server_of(target).open_session(target, manners)


def own(session: Session, statement: str, *values: Value) -> list[Row]:
    """Run one of our own statements, safe from anything that a file's author set or planted.

    Inside a transaction it takes part in it.

    Raises:
        ServerError: As the server says.
    """
    return session.ask(statement, values)


def as_list(value: object) -> list[Any]:
    """Return a column that holds a list: an array on PostgreSQL, JSON where there is none."""
    found = json.loads(value) if isinstance(value, str) else value
    return list(found) if isinstance(found, list) else []


def as_json(value: object) -> str:
    """Return compact JSON for a column that holds it."""
    return json.dumps(value, separators=(",", ":"))


def sorted_error(error: ServerError, what: str, clean: Callable[[str], str] = str) -> WhimbrelError:
    """Return the error that says what happens next, for an error of the server.

    Args:
        error: What the driver raised.
        what: What was tried, as the start of a sentence.
        clean: Takes secrets out of the server's text (`Redactor.clean`).
    """
    said = read_error(error)
    told = clean(said.message)
    if said.fate is Fate.PERMANENT:
        return FailedError("StatementFailed", f"{what}: {told} ({said.shown})")
    reason = "ConnectionLost" if said.fate is Fate.UNKNOWN else "Busy"
    return TransientError(reason, f"{what}: {told}")
