"""A session that can do what the owner of the tables can, and no more, for what runs his code.

CHECK, DEFAULT, generated columns, indexes, domains and casts call functions of his, and from a
session of a login that may do more than he, `set_config('role', 'none')` in one gives him that.
"""

import contextlib
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Final

from whimbrel.model.errors import FailedError, RefusedError, TransientError, WhimbrelError
from whimbrel.planning.dialects import postgresql_owner_login as words
from whimbrel.planning.dialects.postgresql_roles import grant_role_making
from whimbrel.runner.beside import Beside
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, short_id
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.postgresql_session import PostgresSession, open_session, postgres
from whimbrel.runner.run_role import (
    OWN_ROLES,
    make_role,
    may_make_roles,
    read_roles,
    remove_role,
)
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session, Watched
from whimbrel.runner.sessions import own
from whimbrel.runner.target import Target, with_login
from whimbrel.runner.watchdog import Limits, Watchdog

_CANCEL_SECONDS: Final = 0.5


@contextmanager
def as_owner(checkpoint: Checkpoint, desk: Desk) -> Iterator[Desk]:
    """Give a desk at whose session the functions of the tables' owner may run.

    It is a login made for this, a member of the owner alone; or the desk as it is, where its login
    cannot do more than the owner, or where none of his functions would run.

    Raises:
        RefusedError: One would, and could do what only our login can.
        TransientError: We are told to stop.
    """
    session = postgres(desk.session)
    owners = {each.manifest["table"]["owner"] for each in checkpoint.tables}
    if not needs_login(session, owners, [each.oid for each in checkpoint.tables]):
        yield desk
        return
    name = _name(checkpoint, session)
    _remove(desk, name)  # of an attempt that was cut off, whose sessions end with it
    login = make_role(session, name, session.manners)
    target = with_login(session.target, login)
    try:
        with (
            closing(open_session(target, session.manners)) as ours,
            _watched(desk, target, ours) as dog,
        ):
            ledger = Ledger(ours, desk.ledger.schema)
            yield replace(desk, ledger=ledger, patiently=dog.patiently)
    except (FailedError, *SERVER_ERRORS) as error:
        if desk.stopping.is_set():  # `_Stop` may have ended any statement
            raise TransientError("Stopped", "told to stop; nothing is half done") from error
        raise
    finally:
        with contextlib.suppress(WhimbrelError, *SERVER_ERRORS):  # `forget_owner_login` comes again
            _remove(desk, name)


def needs_login(session: Session, owners: Collection[str], oids: Collection[int]) -> bool:
    """Tell whether functions of the owners of tables need a login of their own, which can be made.

    Raises:
        RefusedError: They need one, and there can be none.
    """
    found = own(session, words.IS_NO_MORE_THAN_OWNER, list(owners))
    if found and all(is_safe for is_safe, _ in found):
        return False
    ours, may = postgres(session), all(is_owner for _, is_owner in found)
    if found and may and not ours.is_pooled() and may_make_roles(ours):
        return True
    _refuse_functions(ours, oids)
    return False


def _refuse_functions(session: PostgresSession, oids: Collection[int]) -> None:
    """Refuse tables that call functions of somebody who is no superuser; name the first."""
    roles = read_roles(session)
    for table, owner, function, maker in own(session, words.READ_FUNCTIONS_OF, list(oids)):
        makes = " ".join(grant_role_making(roles.login, owner))
        raise RefusedError(
            "TableNotCovered",
            f"a copy of {table} calls the function {function} of {maker} (in a CHECK, DEFAULT, "
            f"generated column, index, domain or cast), which could do there whatever our login "
            f"{roles.login} can and {owner} cannot; nothing was changed; a database administrator "
            f"gives the function to a superuser, or runs: {makes} ALTER ROLE "
            f'"{roles.login}" SET role = "{owner}"; (and the URL is a direct one), so that it '
            "runs under a login of its own",
        )


def forget_owner_login(checkpoint: Checkpoint, desk: Desk) -> None:
    """Drop the login that an attempt has left which was cut off.

    Raises:
        TransientError: Its sessions do not end.
    """
    _remove(desk, _name(checkpoint, postgres(desk.session)))


def _remove(desk: Desk, name: str) -> None:
    session = postgres(desk.session)
    remove_role(session, session.target, desk.ledger.schema, name)


def _name(checkpoint: Checkpoint, session: PostgresSession) -> str:
    # Other databases of the server have the same roles, and may be copies of this one.
    return f"{OWN_ROLES}{short_id(f'{session.target.dbname} {checkpoint.id}')}_as_owner"


@contextmanager
def _watched(desk: Desk, target: Target, ours: PostgresSession) -> Iterator[Watchdog]:
    """Watch what it does to others, as the login itself: nobody else may cancel it."""
    manners = ours.manners

    def connect() -> PostgresSession:
        session = open_session(target, manners)
        session.without_role()
        return session

    limits = Limits(wait=manners.lock_timeout, hold=desk.lock_hold)
    watched = Watched(manners.application_name, target.user)
    with Watchdog(connect, watched, limits) as dog, _Stop(desk, ours):
        yield dog


class _Stop(Beside):
    """Cancels what a session does once its desk is told to stop."""

    def __init__(self, desk: Desk, session: PostgresSession) -> None:
        super().__init__("owner-login")
        self._desk, self._session = desk, session

    def work(self) -> None:
        """Look until it is over."""
        while not self.over.wait(_CANCEL_SECONDS):
            if self._desk.stopping.is_set():
                with contextlib.suppress(*SERVER_ERRORS):
                    self._session.cancel_safe(timeout=_CANCEL_SECONDS)
