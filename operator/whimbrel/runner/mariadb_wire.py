"""The connection to MariaDB: socket, TLS, login, and what a failure of these says."""

import math
import socket
import ssl
from typing import Any, Final

import pymysql

from whimbrel.model.errors import TransientError
from whimbrel.runner.connecting import Cause, cannot_connect, error_of
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


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


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
    if given.get("sslmode", "prefer") == "prefer":
        # TLS where it is offered. Told so, the driver reads the list of authorities, which it does
        # not ask then, for each connection: that costs more than all else that it does.
        vars(wire).update(ssl=True, _ssl_required=False, ctx=_unverified())
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
    """Return the driver's words for `sslmode`."""
    mode = given.get("sslmode", "prefer")
    if mode in ("disable", "prefer"):
        return {"ssl_disabled": True}
    if mode == "require":
        return {"ssl": _unverified()}
    context = ssl.create_default_context(cafile=given.get("sslrootcert"))
    context.check_hostname = mode == "verify-full"
    return {"ssl": context}


_BAD_LOGIN: Final = "login or password is wrong; mend the Secret, every try reads it again"
_CERTIFICATE: Final = "the server's certificate is not accepted (authority, name or date)"
# What an error number of a login means.
_CAUSES: Final = {
    **dict.fromkeys((1045, 1698), ("WrongPassword", _BAD_LOGIN)),
    **dict.fromkeys((1040, 1203, 1226), ("TooManyConnections", "it has no connection left for us")),
    1044: ("LoginRefused", "the login may not use that database"),
    1130: ("LoginRefused", "the server does not let this host in"),
    1049: ("DatabaseMissing", "there is no such database yet"),
    1053: ("DatabaseStarting", "it is shutting down"),
    2026: ("TLSFailed", "the server has no TLS, and sslmode asks for it"),
    1251: ("LoginRefused", "the server's way to log in is not known to this client"),
}


_TEXTS: Final = (
    Cause("certificate", "TLSFailed", _CERTIFICATE),
    Cause("hostname", "TLSFailed", _CERTIFICATE),
    Cause("refused", "DatabaseUnreachable", "nothing listens there"),
    Cause("timed out", "DatabaseUnreachable", "it does not answer"),
    Cause("not known", "DatabaseUnreachable", "the host name is not known"),
    Cause("resolution", "DatabaseUnreachable", "the host name is not known"),
)


def connect_error(target: Target, error: Exception) -> TransientError:
    """Return why a session cannot be had."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    if isinstance(error, pymysql.MySQLError) and number in _CAUSES:
        return cannot_connect(target, *_CAUSES[number])
    return error_of(target, str(error), _TEXTS)
