"""Captures what applications write: a journal, the function that fills it, triggers on tables."""

import hashlib
import secrets
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.planning.dialects import postgresql_capture as words
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.planning.dialects.postgresql import WHO_AM_I
from whimbrel.planning.dialects.postgresql_checkpoint import PREPARED_ROLE, Names
from whimbrel.planning.dialects.postgresql_roles import NO_ROLE, ROLE_EXISTS
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered
from whimbrel.runner.checkpoint.retrying import until_unlocked
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

FUNCTION: Final = 0  # as whose the digest of the function is told (`read_capture`)


def make_capture(session: Session, names: Names, max_journal: int, oids: Collection[int]) -> str:
    """Make journal and functions in the transaction that is open; return the function's owner.

    `oids` are those of the tables.

    Raises:
        RefusedError: No role can be had that may do nothing but write the journal.
    """
    own(session, words.create_journal(names))
    keep_private(session, names.journal)
    ((toast,),) = own(session, words.FIND_TOAST, names.journal)
    ((settings,),) = own(session, words.NEEDS_SETTINGS, list(oids))
    function = words.create_capture(names, toast=toast, max_journal=max_journal, settings=settings)
    own(session, function)
    own(session, words.create_refusal(names))
    for function in (names.function, names.truncate_function):
        _keep_private_function(session, function)
    return _give_away(session, names)


def keep_private(session: Session, table: str) -> None:
    """Take from everybody else what default privileges gave him on a new table of ours."""
    for (grantee,) in own(session, words.GRANTEES_OF_TABLE, table):
        own(session, words.revoke("TABLE", table, grantee))


def _keep_private_function(session: Session, function: str) -> None:
    for (grantee,) in own(session, words.GRANTEES_OF_FUNCTION, function):
        own(session, words.revoke("FUNCTION", function, grantee))


def _give_away(session: Session, names: Names) -> str:
    """Give the capture function to a role that can do nothing else."""
    login, owner, _ = own(session, WHO_AM_I)[0]
    try:
        with session.transaction():
            return _to_role_of_ours(session, names, owner)
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.PRIVILEGE):
            raise
    try:
        with session.transaction():
            _refuse_unprepared(session, names, login, owner)
            _hand_over(session, names, PREPARED_ROLE, owner)
            return PREPARED_ROLE
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.PRIVILEGE):
            raise
        raise _unprepared(names, login, owner) from error


def _to_role_of_ours(session: Session, names: Names, owner: str) -> str:
    # Other databases of the server have the same roles, and may be copies of this one.
    role = f"{PREPARED_ROLE}_{secrets.token_hex(8)}"
    with as_login(session):
        own(session, words.create_role(role))
        own(session, words.lend_role(role, owner))
    _hand_over(session, names, role, owner)
    with as_login(session):
        own(session, words.take_back_role(role, owner))
    return role


def _hand_over(session: Session, names: Names, role: str, owner: str) -> None:
    for statement in words.own_capture(names, role):
        own(session, statement)
    with acting_as(session, role):
        own(session, words.let_attach(names, owner))


def _refuse_unprepared(session: Session, names: Names, login: str, owner: str) -> None:
    found = own(session, words.MAY_OWN, PREPARED_ROLE)
    if found != [(True, False)]:
        raise _unprepared(names, login, owner)


def _unprepared(names: Names, login: str, owner: str) -> RefusedError:
    first, second = words.prepare_role(names.schema, login, owner)
    return RefusedError(
        "CaptureRoleMissing",
        "a checkpoint needs a role that may do nothing but write its journal, and our login may "
        f"not make one: a database administrator runs either: {first} or: {second}",
    )


@contextmanager
def as_login(session: Session) -> Iterator[None]:
    """Be the login itself, which may make roles, and not the owner role that it takes on."""
    with _changing_role(session):
        own(session, NO_ROLE)
        yield


@contextmanager
def acting_as(session: Session, role: str) -> Iterator[None]:
    """Be a role of which we are a member, in the transaction that is open."""
    with _changing_role(session):
        own(session, words.SET_ROLE, role)
        yield


@contextmanager
def _changing_role(session: Session) -> Iterator[None]:
    ((_, before),) = own(session, words.CURRENT_ROLE)
    yield
    own(session, words.SET_ROLE, before)


def attach(desk: Desk, checkpoint: Checkpoint, covered: Covered, name: str = "") -> dict[int, str]:
    """Make the triggers of a table; from then on no write of an application is missed.

    CREATE TRIGGER waits for those who are writing, so that nothing slips between. `name` as for
    `condition`.

    Returns:
        Digests of function and triggers (`read_capture`).

    Raises:
        TransientError: Its lock is not to be had.
        FailedError: The server refuses it.
    """
    until, own_login = checkpoint.kept_until.isoformat(), checkpoint.own_login
    when = words.condition(checkpoint.login, until, is_prefix=own_login, name=name)
    table = (covered.schema, covered.table)
    statements = words.create_triggers(checkpoint.names, table, number=covered.number, when=when)

    def once() -> dict[int, str]:
        with desk.session.transaction():
            desk.guard(desk.session)
            for statement in statements:
                own(desk.session, statement)
            made = read_capture(desk.session, checkpoint)
        return {each: made[each] for each in (FUNCTION, covered.oid)}

    return until_unlocked(desk, f"the checkpoint of {covered}", once)


def read_capture(session: Session, checkpoint: Checkpoint) -> dict[int, str]:
    """Return a digest of the function (0) and of the triggers of each table that there is (oid)."""
    oids, names = [each.oid for each in checkpoint.tables], checkpoint.names
    found = own(session, words.CAPTURE_LINES, names.function, oids, names.triggers)
    return {oid: hashlib.sha256(line.encode()).hexdigest()[:16] for oid, line in found}


def drop_capture(session: Session, names: Names, role: str) -> None:
    """Drop journal, functions, and their owner where it was ours, in the transaction that is open.

    Whatever a row may have made the owner of the function run goes with it.
    """
    _, owner, _ = own(session, WHO_AM_I)[0]
    is_ours, is_there = role != PREPARED_ROLE, own(session, ROLE_EXISTS, role)[0][0]
    if is_there:
        if is_ours:
            with as_login(session):
                own(session, words.lend_role(role, owner))
        with acting_as(session, role):
            own(session, words.drop_owned(role) if is_ours else words.drop_functions(names)[0])
        own(session, words.forget_schema(names, role))
    for statement in (*words.drop_functions(names), words.drop_journal(names)):
        own(session, statement)
    if is_there and is_ours:
        used = own(session, words.IS_USED_ELSEWHERE, role)[0][0]
        with as_login(session):
            own(session, words.take_back_role(role, owner) if used else words.drop_role(role))
