"""The connection to MariaDB: socket, TLS, login, and what a failure of these says."""

import math
import socket
import ssl
from typing import Any, Final

import pymysql

from whimbrel.model.errors import TransientError
from whimbrel.runner.redact import Redactor
from whimbrel.runner.target import Target

CONNECT_SECONDS: Final = 5
# A dead peer is noticed within 5 + 3 * 3 s when idle, and within 15 s with data in flight.
_SOCKET: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 3),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15_000),
)


def wire_to(target: Target, name: str, seconds: float) -> "pymysql.Connection[Any]":
    """Return an open connection; `seconds` bound each read and write."""
    given = dict(target.parameters)
    wire = pymysql.connect(
        host=target.host,
        port=target.port,
        user=target.user,
        password=target.password,
        database=target.dbname,
        charset="utf8mb4",
        autocommit=True,
        read_timeout=max(1, math.ceil(seconds)),
        program_name=name,
        local_infile=False,
        defer_connect=True,
        **_tls(given),
    )
    wire.connect(_socket(target, seconds))
    # Who accepts and says nothing must not hang us; a statement of ours may take hours. The driver
    # has no public way to say both.
    vars(wire)["_read_timeout"] = None
    return wire


def _socket(target: Target, seconds: float) -> socket.socket:
    if target.host.startswith("/"):
        return _local_socket(target.host, seconds)
    remote = socket.create_connection((target.host, target.port), seconds)
    for level, option, value in _SOCKET:
        remote.setsockopt(level, option, value)
    return remote


def _local_socket(path: str, seconds: float) -> socket.socket:
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        local.settimeout(seconds)
        local.connect(path)
    except OSError:
        local.close()
        raise
    return local


def _tls(given: dict[str, str]) -> dict[str, Any]:
    """Return the driver's words for `sslmode`; without any it takes TLS where it is offered."""
    mode = given.get("sslmode", "prefer")
    if mode in ("disable", "prefer"):
        return {"ssl_disabled": True} if mode == "disable" else {}
    context = ssl.create_default_context(cafile=given.get("sslrootcert"))
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
    return {"ssl": context}


_WRONG_PASSWORD: Final = (
    "WrongPassword",
    "login or password is wrong; mend the Secret, every try reads it again",
)
# What an error number of a login means.
_CAUSES: Final = {
    1045: _WRONG_PASSWORD,
    1698: _WRONG_PASSWORD,
    1044: ("LoginRefused", "the login may not use that database"),
    1130: ("LoginRefused", "the server does not let this host in"),
    1049: ("DatabaseMissing", "there is no such database yet"),
    1040: ("TooManyConnections", "it has no connection left for us"),
    1203: ("TooManyConnections", "it has no connection left for us"),
    1226: ("TooManyConnections", "it has no connection left for us"),
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
    return TransientError(
        reason, f"cannot connect to {target} as {target.user}: {sentence}", retry_after=5.0
    )
