"""Exchanges failed tables and copies so that no write falls between them.

One `RENAME` takes all live tables, whatever foreign keys link them, and then waits for a name of
ours that sorts behind theirs. The application waits with it, and the copies, whose names sort
behind that one, can still be written: what came last is replayed. It also needs a name that is
made last: whatever dies before that leaves everything as it was, and whatever dies after it is
done.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import HeldError, TransientError
from whimbrel.planning.dialects import mariadb_checkpoint as words
from whimbrel.planning.dialects.fates import Fate, Trouble
from whimbrel.planning.dialects.mariadb_checkpoint import Names
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.mariadb.hand import PATIENT, alone_with, hand, hold
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble, read_error
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import sorted_error

_PATIENCE: Final = 120.0  # seconds of tries to have all tables at once
_PAUSE: Final = (0.05, 0.5)  # seconds between two tries: the application goes on meanwhile
_REACH: Final = 1.0  # seconds for the rename to take all tables, once they were free
_LONG: Final = 60  # seconds that it waits for our name: longer than our sessions may be idle
_LOOK_AGAIN: Final = 0.001


@dataclass(frozen=True)
class Exchange:
    """What is exchanged.

    Attributes:
        names: Of the checkpoint.
        statement: Exchanges all tables, if `names.go` is there.
        live: Covered tables as they are called now.
        others: Tables that foreign keys link to them: nobody writes to these meanwhile.
        children: Those of them that refer to covered ones.
    """

    names: Names
    statement: str
    live: tuple[str, ...]
    others: tuple[str, ...]
    children: tuple[str, ...]


class _Waiting(threading.Thread):
    """A statement that waits for tables; `error` is what the server said."""

    def __init__(self, session: Session, statement: str) -> None:
        super().__init__(name="exchange", daemon=True)
        self._session, self._statement = session, statement
        self.error: BaseException | None = None

    def run(self) -> None:
        """Run it, once nobody holds a table."""
        try:
            self._session.run(self._statement)
        except SERVER_ERRORS as error:
            self.error = error

    def cancel(self) -> None:
        """End it, and wait until it has ended."""
        if self.is_alive():
            with contextlib.suppress(*SERVER_ERRORS):
                self._session.cancel_safe(timeout=1.0)
        self.join()


@dataclass
class Taken:
    """All tables, taken by a rename that waits for us.

    Attributes:
        work: A session that holds nothing.
        owner: One that has the children alone, once `own_children` is done.
    """

    work: Session
    owner: Session
    _exchange: Exchange
    _name: Session
    _others: dict[str, Session]
    _renaming: _Waiting
    _desk: Desk

    def take(self, alone: Callable[[], None]) -> bool:
        """Tell whether the rename has all live tables."""
        told = self._exchange
        if told.children:  # who reads them for long is waited for here, not while we hold the rest
            alone_with(self.owner, words.hold(told.children), self._desk)
            self.owner.run(words.GIVE_BACK)
        with _gap(told, self._desk) as is_free:
            if not is_free or self._is_sought():
                return False
            alone()
            self._name.run(words.hold([told.names.wait]))
            for each, session in self._others.items():
                session.run(words.wait_at_most(1))
                session.run(words.hold((), [each]))
            self._renaming.start()
            # All that come from now on come behind it, at this table at least.
            first = min((*told.live, told.names.wait), key=str.encode)
            self._sees(first)
        if not self._sees(told.names.wait):
            return False
        self.work.run(words.wait_at_most(PATIENT))
        return True

    def _is_sought(self) -> bool:
        """Tell whether somebody else changes the definition of a table."""
        self.work.run(words.wait_at_most(0))
        return any(_is_refused(words.is_awaited(e), self.work) for e in self._exchange.live)

    def _sees(self, table: str) -> bool:
        """Tell whether the rename came to wait for a table."""
        end = time.monotonic() + _REACH
        while time.monotonic() < end and self._renaming.is_alive():
            if _is_refused(words.is_awaited(table), self.work):
                return True
            time.sleep(_LOOK_AGAIN)
        if self._renaming.error is not None:
            _raise_unless_busy(self._renaming.error)
        return False

    def let_through(self) -> None:
        """Let the rename exchange the tables.

        Raises:
            TransientError: It was ended; the catalogue tells whether it was done.
            HeldError: The server refuses it; nothing has changed.
        """
        self.work.run(words.make_name(self._exchange.names.go))
        self._name.run(words.GIVE_BACK)
        self._renaming.join()
        if self._renaming.error is not None:
            raise refused(self._renaming.error)

    def own_children(self) -> None:
        """Have the children of others alone, and let nobody write to them in between.

        Who waits to have them alone goes before all who come to read or to write.

        Raises:
            TransientError: They were not to be had; nothing has changed.
        """
        children = sorted(self._exchange.children, key=str.encode)
        if not children:
            return
        # The application waits behind us for who reads them in an open transaction.
        self.owner.run(words.wait_at_most(1))
        self.owner.run(words.wait_for_rows(PATIENT))
        owning = _Waiting(self.owner, words.hold(children))
        owning.start()
        self.work.run(words.wait_at_most(0))
        for each in children:
            end = time.monotonic() + _REACH
            while not _is_refused(words.read_nothing(each), self.work):
                if time.monotonic() > end or not owning.is_alive():
                    owning.cancel()
                    raise TransientError("Busy", f"{each} is not to be had; nothing has changed")
                time.sleep(_LOOK_AGAIN)
            self._others[each].run(words.GIVE_BACK)
        owning.join()
        self.work.run(words.wait_at_most(PATIENT))
        if owning.error is not None:
            raise refused(owning.error)

    def cancel(self) -> None:
        """End the rename: only what ends it before it is let through leaves all as it was."""
        if self._renaming.ident is not None:
            self._renaming.cancel()


@contextmanager
def taken(exchange: Exchange, alone: Callable[[], None], desk: Desk) -> Iterator[Taken]:
    """Take all tables at once, in a gap that the application leaves.

    Args:
        exchange: What is exchanged.
        alone: Looks at the tables while nobody else has one; may be called again.
        desk: Where the work is done.

    Raises:
        TransientError: They are never free at once; nothing has changed.
        HeldError: The server refuses the exchange; nothing has changed.
    """
    end = time.monotonic() + _PATIENCE
    while True:
        with ExitStack() as stack:
            # New ones for each try: the server ends sessions that are idle for long.
            work, owner, name, renaming = (stack.enter_context(hand(desk)) for _ in range(4))
            others = {each: stack.enter_context(hand(desk)) for each in exchange.others}
            renaming.run(words.wait_at_most(_LONG))
            renaming.run(words.wait_for_rows(1))
            name.run(words.wait_at_most(1))
            waiting = _Waiting(renaming, exchange.statement)
            tables = Taken(work, owner, exchange, name, others, waiting, desk)
            stack.callback(tables.cancel)
            try:
                is_taken = tables.take(alone)
            except SERVER_ERRORS as error:
                _raise_unless_busy(error)
                is_taken = False
            if is_taken:
                yield tables
                return
        if time.monotonic() > end or desk.stopping.is_set():
            raise TransientError("Busy", f"{', '.join(exchange.live)} are never free at once")
        time.sleep(random.uniform(*_PAUSE))  # noqa: S311 - jitter, no secret


@contextmanager
def _gap(exchange: Exchange, desk: Desk) -> Iterator[bool]:
    """Hold all tables for a moment in which nobody else has one; tell whether there was any."""
    if not exchange.live:
        yield True
        return
    with hand(desk) as session:
        try:
            hold(session, exchange.live, desk, others=exchange.others)
        except SERVER_ERRORS as error:
            _raise_unless_busy(error)
            yield False
            return
        try:
            yield True
        finally:
            session.run(words.GIVE_BACK)


def _is_refused(statement: str, session: Session) -> bool:
    """Tell whether a table is not to be had for a statement."""
    try:
        session.run(statement)
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.LOCK):
            raise
        return True
    return False


def _raise_unless_busy(error: BaseException) -> None:
    """Raise what the server said, unless a table was not to be had."""
    if not isinstance(error, SERVER_ERRORS) or read_error(error).fate is not Fate.HEALS:
        raise refused(error)


def refused(error: BaseException) -> Exception:
    """Return what an error of the server means while nothing has changed yet."""
    if not isinstance(error, SERVER_ERRORS):
        raise error
    failed = sorted_error(error, "the exchange of the tables")
    if isinstance(failed, TransientError):
        return failed
    return HeldError(
        "RestoreBlocked",
        f"the old tables cannot take their place: {failed.message}; nothing has changed and the "
        "application goes on with the migrated tables: mend that, then retry",
    )
