"""The engines of checkpoints, one for each kind of server that can have them."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.checkpoint.removal import DROPPABLE
from whimbrel.planning.checkpoint.touches import Known
from whimbrel.runner.checkpoint import (
    added,
    closure,
    discard as discarding,
    named,
    open as opening,
    restore as restoring,
    watch,
)
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.checkpoint.mariadb import (
    added as mariadb_added,
    discard as mariadb_discard,
    names as mariadb_names,
    open as mariadb_open,
    restore as mariadb_restore,
    tables as mariadb_tables,
    watch as mariadb_watch,
)
from whimbrel.runner.checkpoint.open import Wanted
from whimbrel.runner.checkpoint.restore import Restored
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Session


class Named(Protocol):
    """A table that is covered."""

    @property
    def schema(self) -> str:
        """Return its schema, or its database."""

    @property
    def name(self) -> str:
        """Return its name."""


class Closed(Protocol):
    """Tables that are covered together, and notes about what could not be told."""

    @property
    def tables(self) -> Sequence[Named]:
        """Return the tables."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return sentences."""


class Expect(Protocol):
    """Checks that a checkpoint can still be restored, or raises what it must be held for."""

    def __call__(
        self, checkpoint: Checkpoint, session: Session, *, our_pids: Collection[int] = ()
    ) -> None:
        """Check it."""


Extra = Callable[[Session], None]


@dataclass(frozen=True)
class Engine:
    """What takes checkpoints on one kind of server.

    Attributes:
        find_closure: Which tables must be covered together, or why they cannot be.
        open: Takes a checkpoint; it is ready when the function returns.
        expect_capture: Raises unless it can still be restored.
        journal_bytes: How much of `max_journal` is written; None where nothing can be any more.
        others_of: The sessions of a login that are not ours, whose numbers are given.
        restore: Goes back to it.
        discard: Takes it away.
        left_of: What there is of it, besides its rows in the ledger.
        known_names: What names in a plan's statements mean.
        labels: The relations that a restore brings back, as the catalogue's shape calls them.
        kinds: Kinds of things that a restore can take away, in the order in which they may go.
        label: What the catalogue's shape calls the relation that one is, or is of.
        take_away: Takes them away, but no rows.
    """

    find_closure: Callable[[Session, Iterable[tuple[str, str]], str], Closed]
    open: Callable[[Wanted, Desk], Checkpoint]
    expect_capture: Expect
    journal_bytes: Callable[[Checkpoint, Session], int | None]
    others_of: Callable[[Session, str, Collection[int]], set[int]]
    restore: Callable[[Checkpoint, Desk, Extra], Restored]
    discard: Callable[[Checkpoint, Desk], None]
    left_of: Callable[[Checkpoint, Session], list[str]]
    known_names: Callable[[Session, Iterable[CatalogObject]], Known]
    labels: Callable[[Session, Checkpoint], set[str]]
    kinds: tuple[str, ...]
    label: Callable[[CatalogObject], str]
    take_away: Callable[[Ledger, Checkpoint, tuple[CatalogObject, ...]], None]


ENGINES: Final[dict[str, Engine]] = {
    "postgresql": Engine(
        closure.find_closure,
        opening.open_checkpoint,
        watch.expect_capture,
        watch.journal_bytes,
        watch.others_of,
        restoring.restore,
        discarding.discard,
        discarding.left_of,
        named.known_names,
        named.labels,
        tuple(DROPPABLE),
        added.label,
        added.take_away,
    ),
    "mariadb": Engine(
        mariadb_tables.find_closure,
        mariadb_open.open_checkpoint,
        mariadb_watch.expect_capture,
        mariadb_watch.journal_bytes,
        mariadb_watch.others_of,
        mariadb_restore.restore,
        mariadb_discard.discard,
        mariadb_discard.left_of,
        mariadb_names.known_names,
        mariadb_names.labels,
        mariadb_added.KINDS,
        mariadb_added.label,
        mariadb_added.take_away,
    ),
}


def engine_of(session: Session) -> Engine:
    """Return the engine for the server that a session is with."""
    return ENGINES[session.dialect.name]
