"""A login of its own for a foreign tool: made, ended so that nobody comes back, removed."""

import secrets
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import psycopg

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.planning.dialects import postgresql as common, postgresql_roles as statements
from whimbrel.runner.postgresql_session import PostgresSession, connect, settings
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import own
from whimbrel.runner.target import Login, Target, with_login

OWN_ROLES: Final = "whimbrel_run_"  # how the names of the logins begin that we make
_SEE_NONE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Roles:
    """Who we are.

    Attributes:
        login: Role that logged in.
        owner: Role that our objects belong to (the login's setting `role`, else itself).
    """

    login: str
    owner: str


def role_name(run: str, attempt: int) -> str:
    """Return the name of the login of one attempt."""
    return f"{OWN_ROLES}{run[:24]}_{attempt}"


def read_roles(session: PostgresSession) -> Roles:
    """Return who the session is."""
    login, owner, _ = own(session, common.WHO_AM_I)[0]
    return Roles(login, owner)


def may_make_roles(session: PostgresSession) -> bool:
    """Return whether a login of its own can be made; proven by a try that is rolled back."""
    name = f"whimbrel_try_{secrets.token_hex(8)}"
    owner = read_roles(session).owner
    try:
        with session.transaction(force_rollback=True):
            _create(session, name, owner, _verifier(session, name, secrets.token_hex(16)))
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        return False
    return True


def make_role(session: PostgresSession, name: str, manners: Manners) -> Login:
    """Make a login whose objects belong to our owner role, with the settings of our own login.

    Args:
        session: A session of a login for which `may_make_roles` is true.
        name: `role_name`; recorded in the ledger before (`attempts.record_tool`).
        manners: Become defaults of the role, so they reach every tool.
    """
    password = secrets.token_hex(24)
    owner = read_roles(session).owner
    with session.transaction():
        _create(session, name, owner, _verifier(session, name, password))
        _copy_settings(session, name, manners)
    return Login(name, password)


def _create(session: PostgresSession, name: str, owner: str, verifier: str) -> None:
    session.execute(statements.NO_ROLE)
    for statement in statements.create_role(name, verifier, owner):
        session.execute(statement)


def _copy_settings(session: PostgresSession, name: str, manners: Manners) -> None:
    session.execute(statements.NO_ROLE)
    kept = dict(row[0].split("=", 1) for row in session.execute(statements.SETTINGS_OF_LOGIN))
    ours = {**settings(manners), "application_name": manners.application_name}
    for setting, value in {**kept, **ours}.items():
        if setting != "role":
            _copy_setting(session, name, setting, value)


def _copy_setting(session: PostgresSession, name: str, setting: str, value: str) -> None:
    try:
        with session.transaction():
            session.execute(statements.SET_LOCAL, [setting, value])
            session.execute(statements.keep_setting(name, setting))
    except psycopg.errors.InsufficientPrivilege:
        return  # a superuser set it for our login; it stays with that login


def _verifier(session: PostgresSession, name: str, password: str) -> str:
    # Only the SCRAM verifier travels: the server may log statements.
    hashed = session.pgconn.encrypt_password(password.encode(), name.encode(), b"scram-sha-256")
    return hashed.decode()


def refresh_prepared(session: PostgresSession, schema: str, role: str) -> Login:
    """Give the login that a DBA prepared (`database.runRole`) a new password, and let it in.

    Raises:
        RefusedError: The function is not there; the message prints the exact statements.
    """
    password = secrets.token_hex(24)
    verifier = _verifier(session, role, password)
    if not _call_prepared(session, schema, role, verifier):
        raise RefusedError("RunRoleNotPrepared", describe_ways(session, schema, role))
    return Login(role, password)


def _call_prepared(session: PostgresSession, schema: str, role: str, verifier: str | None) -> bool:
    if not own(session, statements.FUNCTION_EXISTS, schema, role)[0][0]:
        return False
    own(session, statements.call_prepared(schema, role), verifier)
    return True


def describe_ways(session: PostgresSession, schema: str, role: str = "") -> str:
    """Return the sentence with the exact statements for both ways to a login of its own."""
    roles = read_roles(session)
    prepared = role or f"{roles.owner[:58]}_runs"
    first = " ".join(statements.grant_role_making(roles.login, roles.owner))
    second = " ".join(statements.prepare_login(schema, prepared, roles.owner))
    return (
        f"the tool cannot have a login of its own, so its end cannot be proven by the database. "
        f"A database administrator runs either: {first} (and the object uses that login) "
        f"or: {second} (and the object names {prepared} in database.runRole)"
    )


def end_role(session: PostgresSession, target: Target, schema: str, role: str) -> bool:
    """End a tool's login: no new session, the old ones terminated, none seen.

    A new password first, so that only we can log in as the role; then we do, because a role may
    always end its own sessions, while its maker may not (PostgreSQL 16+).

    Returns:
        Whether that is proven; False where we may not do it.

    Raises:
        TransientError: Sessions of the role do not end.
    """
    if not own(session, statements.ROLE_EXISTS, role)[0][0]:
        return bool(own(session, statements.NAMELESS_SESSIONS)[0][0] == 0)
    login = _only_ours(session, schema, role)
    if login is None:
        return False
    try:
        reaper = connect(with_login(target, login), "whimbrel:fence")
    except TransientError:
        return False
    with closing(reaper):
        reaper.execute(statements.SESSION_NO_ROLE)
        _forbid(session, schema, role)
        _terminate_all(reaper, role)
    return True


def _only_ours(session: PostgresSession, schema: str, role: str) -> Login | None:
    password = secrets.token_hex(24)
    verifier = _verifier(session, role, password)
    allowed = _alter(session, statements.allow_login(role, verifier)) or _call_prepared(
        session, schema, role, verifier
    )
    return Login(role, password) if allowed else None


def _forbid(session: PostgresSession, schema: str, role: str) -> None:
    if not _alter(session, statements.forbid_login(role)):
        _call_prepared(session, schema, role, None)


def _alter(session: PostgresSession, statement: str) -> bool:
    try:
        with session.transaction():
            session.execute(statements.NO_ROLE)
            session.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


def _terminate_all(reaper: PostgresSession, role: str) -> None:
    end = time.monotonic() + _SEE_NONE_SECONDS
    own(reaper, common.TERMINATE_LOGIN, role)
    while own(reaper, common.COUNT_LOGIN, role)[0][0]:
        if time.monotonic() > end:
            raise TransientError("FenceNotReached", f"sessions of role {role} do not end")
        time.sleep(_POLL_SECONDS)
        own(reaper, common.TERMINATE_LOGIN, role)


def remove_role(session: PostgresSession, target: Target, schema: str, role: str) -> bool:
    """End and drop a login that `make_role` made; return whether it is gone.

    What it may own in this database (a tool that did RESET ROLE) goes to the owner role first.
    """
    roles = read_roles(session)
    if not own(session, statements.ROLE_EXISTS, role)[0][0]:
        return True
    login = _only_ours(session, schema, role)
    if login is None:
        return False
    with closing(connect(with_login(target, login), "whimbrel:fence")) as heir:
        heir.execute(statements.SESSION_NO_ROLE)
        for statement in statements.hand_over(role, roles.owner):
            heir.execute(statement)
    return end_role(session, target, schema, role) and _alter(session, statements.drop_role(role))
