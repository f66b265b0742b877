"""The kinds of servers, chosen by what the URL begins with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from whimbrel.planning.dialects import mariadb as words
from whimbrel.runner import (
    mariadb_preflight,
    mariadb_session,
    postgresql_session,
    preflight,
)
from whimbrel.runner.mariadb_target import render_mariadb
from whimbrel.runner.preflight import Server
from whimbrel.runner.session import Manners, Session
from whimbrel.runner.target import Login, Target, render_url


class Render(Protocol):
    """Renders the URL of a database for a tool."""

    def __call__(
        self,
        target: Target,
        scheme: str,
        *,
        login: Login | None = None,
        options: str = "",
        application_name: str = "",
    ) -> str:
        """Return the URL, everything percent-encoded."""


@dataclass(frozen=True)
class Kind:
    """How one kind of server is reached.

    Attributes:
        connect: Opens an autocommit session that has no setting of ours but its name.
        open_session: Opens one that gives way to others.
        check: Says what answers, after asking whether it can carry migrations.
        check_place: Refuses a place for the ledger that cannot be its place.
        render: The URL as a tool wants it: target, scheme, login, options, name of its sessions.
        options: What the sessions of a tool are to be like, as `render` takes it.
        read_only: The same for sessions that must not write.
        in_environment: Whether options also travel in the environment (libpq).
    """

    connect: Callable[[Target, str], Session]
    open_session: Callable[[Target, Manners], Session]
    check: Callable[[Target, str], Server]
    check_place: Callable[[Session, str], None]
    render: Render
    options: Callable[[Manners], str]
    read_only: str
    in_environment: bool = False


KINDS: Final[dict[str, Kind]] = {
    "postgresql": Kind(
        postgresql_session.connect,
        postgresql_session.open_session,
        preflight.check_server,
        preflight.refuse_ledger_as_home,
        render_url,
        postgresql_session.tool_options,
        "-c default_transaction_read_only=on",
        in_environment=True,
    ),
    "mariadb": Kind(
        mariadb_session.connect,
        mariadb_session.open_session,
        mariadb_preflight.check_server,
        mariadb_preflight.check_place,
        render_mariadb,
        mariadb_session.tool_options,
        words.READ_ONLY,
    ),
}


def server_of(target: Target) -> Kind:
    """Return the kind of server that a target names."""
    return KINDS[target.server]
