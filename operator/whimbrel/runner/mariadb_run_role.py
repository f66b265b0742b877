"""A login that a DBA prepared for a tool alone, on MariaDB: a password for each attempt.

An account may always change its own password, see its own sessions and end them. So nothing more
has to be granted or created. The tool never has the password of the Secret: it gets one that is
made of it and the attempt's epoch, so that whoever has the Secret can take it away again, also
after a runner that was killed.
"""

import hashlib
import hmac
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Final

import pymysql

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.planning.dialects import mariadb as words
from whimbrel.runner.mariadb_session import MariadbSession, connect
from whimbrel.runner.session import Theirs
from whimbrel.runner.target import Login, Target, with_login

_NAME: Final = "whimbrel:login"
_EARLIER: Final = 20  # epochs; an attempt that could not give the password back is among them
_SEE_NONE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


@contextmanager
def lent(target: Target, prepared: Login, epoch: int) -> Iterator[Login]:
    """Give the tool the prepared login with a password of this attempt, and take it back.

    Args:
        target: The database, with the login of our own sessions.
        prepared: As the Secret has it.
        epoch: Of the attempt.

    Raises:
        RefusedError: It is our own login, or may not change its password.
        TransientError: Its password is wrong, or its sessions do not end.
    """
    if prepared.user == target.user:
        raise RefusedError("RunRoleNotPrepared", words.prepare_account(target.dbname))
    login = Login(prepared.user, _password(prepared, epoch))
    earlier = range(epoch - 1, max(0, epoch - _EARLIER), -1)
    with closing(_enter(target, prepared, earlier)) as session:
        _set_password(session, target, login.password)
    try:
        yield login
    finally:
        take_back(target, prepared, epoch)


def take_back(target: Target, prepared: Login, epoch: int) -> None:
    """End the prepared login of an attempt: another password, its sessions ended, none seen.

    Raises:
        TransientError: We cannot log in as it, or its sessions do not end.
    """
    with closing(_enter(target, prepared, [epoch])) as session:
        # Always, also where it is the same: after it nobody comes in with another.
        _set_password(session, target, prepared.password)
        theirs = Theirs("", prepared.user, prepared.user)
        end = time.monotonic() + _SEE_NONE_SECONDS
        session.terminate(theirs)
        while session.count(theirs):
            if time.monotonic() > end:
                told = f"sessions of the login {prepared.user} do not end"
                raise TransientError("FenceNotReached", told, retry_after=15.0)
            time.sleep(_POLL_SECONDS)  # between two looks at the list of sessions
            session.terminate(theirs)


def _enter(target: Target, prepared: Login, epochs: Iterable[int]) -> MariadbSession:
    """Log in with the Secret's password, or with one that an attempt did not give back."""
    try:
        return connect(with_login(target, prepared), _NAME)
    except TransientError as error:
        if error.reason != "WrongPassword":
            raise
        for epoch in epochs:
            try:
                theirs = Login(prepared.user, _password(prepared, epoch))
                return connect(with_login(target, theirs), _NAME)
            except TransientError:
                continue
        raise


def _password(prepared: Login, epoch: int) -> str:
    return hmac.new(prepared.password.encode(), b"whimbrel:%d" % epoch, "sha256").hexdigest()


def _set_password(session: MariadbSession, target: Target, password: str) -> None:
    # Only its hash travels (mysql_native_password): the server may log statements.
    hashed = _sha1(_sha1(password.encode())).hex().upper()
    try:
        session.ask(words.RENEW_LOGIN, (f"*{hashed}",))
    except pymysql.MySQLError as error:
        told = words.prepare_account(target.dbname)
        raise RefusedError("RunRoleNotPrepared", f"{told} ({error.args[0]})") from error


def _sha1(text: bytes) -> bytes:
    # The server's protocol, and no choice of ours; what is hashed is 256 bits of a MAC.
    return hashlib.sha1(text, usedforsecurity=False).digest()
