"""The login that a DBA prepared for a tool alone: let in for one attempt, and ended with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from whimbrel.model.errors import TransientError
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.mariadb_run_role import lent, take_back
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.run_role import end_role, refresh_prepared
from whimbrel.runner.target import Login, Target


@dataclass(frozen=True)
class Place:
    """Where logins are.

    Attributes:
        ledger: Seen through a session of ours.
        target: The database and the login of our own sessions.
        prepared: The login that a DBA prepared, as its Secret has it, or None.
    """

    ledger: Ledger
    target: Target
    prepared: Target | None

    def login(self) -> Login | None:
        """Return the prepared login, at our own target whatever address its URL has."""
        return Login(self.prepared.user, self.prepared.password) if self.prepared else None


@contextmanager
def let_in(place: Place, prepared: Login, epoch: int) -> Iterator[Login]:
    """Give the tool the prepared login, with a password of this attempt alone.

    Raises:
        RefusedError: A DBA has not prepared it as it must be; the message prints the statements.
    """
    session = place.ledger.session
    if session.dialect.own_logins:
        yield refresh_prepared(postgres(session), place.ledger.schema, prepared.user)
        return
    with lent(place.target, prepared, epoch) as login:
        yield login


def end_login(place: Place, role: str, epoch: int) -> bool:
    """End the login that a tool had; return whether that is proven."""
    session, prepared = place.ledger.session, place.login()
    if session.dialect.own_logins:
        return end_role(postgres(session), place.target, place.ledger.schema, role)
    if prepared is None or prepared.user != role:
        return False
    try:
        take_back(place.target, prepared, epoch)
    except TransientError as error:
        if error.reason == "FenceNotReached":
            raise
        return False
    return True
