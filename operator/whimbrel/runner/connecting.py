"""Why a session cannot be had, in one sentence; all of it heals, with the Secret or the server."""

from collections.abc import Iterable
from dataclasses import dataclass

from whimbrel.model.errors import TransientError
from whimbrel.runner.redact import Redactor
from whimbrel.runner.target import Target


@dataclass(frozen=True)
class Cause:
    """What a text of a driver or server means, known by a piece of it."""

    mark: str
    reason: str
    sentence: str


def cannot_connect(target: Target, reason: str, sentence: str) -> TransientError:
    """Return the error that names the database and the login."""
    return TransientError(
        reason, f"cannot connect to {target} as {target.user}: {sentence}", retry_after=5.0
    )


def error_of(target: Target, text: str, causes: Iterable[Cause]) -> TransientError:
    """Return the error that the first fitting cause gives; without one the text's last line."""
    for cause in causes:
        if cause.mark in text:
            return cannot_connect(target, cause.reason, cause.sentence)
    last = text.strip().splitlines()[-1] if text.strip() else ""
    return cannot_connect(target, "DatabaseUnreachable", Redactor([target.password]).clean(last))
