"""Why a session of MariaDB cannot be had, in a sentence without the password."""

from typing import Final

import pymysql

from whimbrel.model.errors import TransientError
from whimbrel.runner.redact import Redactor
from whimbrel.runner.target import Target

_WRONG_PASSWORD: Final = (
    "WrongPassword",
    "login or password is wrong; mend the Secret, every try reads it again",
)
# What an error number of a login means.
_CAUSES: Final = {
    **dict.fromkeys((1045, 1698), _WRONG_PASSWORD),
    1044: ("LoginRefused", "the login may not use that database"),
    1130: ("LoginRefused", "the server does not let this host in"),
    1049: ("DatabaseMissing", "there is no such database yet"),
    **dict.fromkeys((1040, 1203, 1226), ("TooManyConnections", "it has no connection left for us")),
    1053: ("DatabaseStarting", "it is shutting down"),
    2026: ("TLSFailed", "the server has no TLS, and sslmode asks for it"),
    1251: ("LoginRefused", "the server's way to log in is not known to this client"),
}


def connect_error(target: Target, error: Exception) -> TransientError:
    """Return why a session cannot be had; all of these heal, with the Secret or the server."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if isinstance(error, pymysql.MySQLError) and number in _CAUSES:
        return _cannot_connect(target, *_CAUSES[number])
    text = str(error)
    if "certificate" in text.lower() or "hostname" in text.lower():
        told = "the server's certificate is not accepted (authority, name or date)"
        return _cannot_connect(target, "TLSFailed", told)
    return _cannot_connect(target, "DatabaseUnreachable", _unreachable(target, text))


def _unreachable(target: Target, text: str) -> str:
    for mark, sentence in (
        ("refused", "nothing listens there"),
        ("timed out", "it does not answer"),
        ("not known", "the host name is not known"),
        ("resolution", "the host name is not known"),
    ):
        if mark in text:
            return sentence
    return Redactor([target.password]).clean(text.strip().splitlines()[-1] if text.strip() else "")


def _cannot_connect(target: Target, reason: str, sentence: str) -> TransientError:
    told = f"cannot connect to {target} as {target.user}: {sentence}"
    return TransientError(reason, told, retry_after=5.0)
