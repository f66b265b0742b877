"""The application: some writers at once, each with rows of its own, that never stop to ask."""

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import psycopg

from tests.loss.history import Effect, Fate, History, Key
from tests.loss.shop import MADE_BY_MIGRATION, ROWS, Shop, Table
from tests.loss.statements import NewShape, Pen, Statement

WRITERS = 4
PAUSE = 0.02  # seconds between two statements: other tests use this machine too
_OWN = 10_000  # how many keys each writer has of its own
_MADE = 40  # rows of a migration that the application writes to


@dataclass
class Application:
    """All writers; a phase is a word for the counts."""

    shop: Shop
    seed: int
    writers: int = WRITERS
    phase: str = "before"
    base: dict[str, dict[Key, dict[str, str | None]]] = field(default_factory=dict)
    pens: list[Pen] = field(default_factory=list)
    histories: list[History] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        self.base = read_rows(self.shop)
        for number in range(self.writers):
            writer = Writer(self, number, _share(self.base, number, self.writers))
            self.histories.append(writer.history)
            self.pens.append(writer.pen)
            self._threads.append(threading.Thread(target=self._guarded, args=[writer.work]))
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()
        if self.failures:
            raise self.failures[0]

    def _guarded(self, work: Callable[[threading.Event], None]) -> None:
        try:
            work(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            self.failures.append(error)

    def told(self, phase: str, end: str) -> int:
        """Return how many statements of a phase had an end: ok, refused or lost."""
        return sum(each.told[phase, end] for each in self.histories)

    def learn(self, new: NewShape) -> None:
        """From now on the application knows another shape."""
        for each in self.pens:
            each.new = new

    def wait_for(self, phase: str, count: int, seconds: float = 5.0) -> None:
        """Begin a phase; wait until so many of its statements were acknowledged, or too long."""
        self.phase = phase
        end = time.monotonic() + seconds
        while self.told(phase, "ok") < count and not self.failures and time.monotonic() < end:
            self._stop.wait(0.01)


def read_rows(shop: Shop) -> dict[str, dict[Key, dict[str, str | None]]]:
    """Return all rows of the covered tables, by role and key, as the server writes them."""
    found: dict[str, dict[Key, dict[str, str | None]]] = {}
    with shop.superuser() as session:
        for table in shop.covered:
            rows = found.setdefault(table.role, {})
            result = session.execute(f"SELECT * FROM {table.qualified}".encode()).pgresult
            assert result is not None
            names = [(result.fname(at) or b"").decode() for at in range(result.nfields)]
            for at in range(result.ntuples):
                values = (result.get_value(at, column) for column in range(len(names)))
                texts = [None if value is None else value.decode() for value in values]
                row = dict(zip(names, texts, strict=True))
                rows[tuple(row[name] or "" for name in table.key)] = row
    return found


def _share(base: dict[str, dict[Key, dict]], number: int, of: int) -> dict[tuple[str, Key], Fate]:
    """Return what one writer owns: its accounts, and what refers to them."""
    found = {}
    for role, column in (("account", "id"), ("position", "konto"), ("note", "account")):
        for key, row in base[role].items():
            if int(row[column]) % of == number and row.get("hidden") != "t":
                found[role, key] = Fate([row])
    hidden = {key[0] for key, row in base["account"].items() if row["hidden"] == "t"}
    return {at: fate for at, fate in found.items() if not _refers(at, fate, hidden)}


def _refers(at: tuple[str, Key], fate: Fate, hidden: set[str]) -> bool:
    row = fate.possible[0] or {}
    return at[1][0] in hidden if at[0] == "position" else row.get("account") in hidden


class Writer:
    """One client: it knows its rows, and reconnects when its connection is lost."""

    def __init__(self, application: Application, number: int, fates: dict) -> None:
        self.application = application
        self.shop = application.shop
        self.number = number
        self.history = History(fates)
        self.draw = random.Random(f"{application.seed} {number}")
        self.pen = Pen(self.shop, NewShape(), self.history, self.draw, number)
        self.fresh = itertools.count(1)
        self.session: psycopg.Connection | None = None

    def work(self, stop: threading.Event) -> None:
        """Write until told to stop."""
        try:
            while not stop.wait(PAUSE * self.draw.uniform(0.2, 1.8)):
                works = self._next()
                phase = self.application.phase
                self.history.told[phase, self._attempt(works)] += 1
        finally:
            if self.session is not None:
                self.session.close()

    def _attempt(self, works: list[Statement]) -> str:
        """Run statements in one transaction; return how it ended."""
        if not works:
            return "idle"
        try:
            if self.session is None or self.session.closed:
                self.session = self.shop.connect(self.shop.logins.application)
        except psycopg.Error:
            return "away"
        if len(works) == 1:
            return self._alone(works[0], self.session)
        return self._together(works, self.session)

    def _alone(self, work: Statement, session: psycopg.Connection) -> str:
        try:
            effects = work.run(session)
        except psycopg.Error as error:
            if not _is_lost(session, error):
                return "refused"
            self.history.doubt(list(work.planned))
            if work.loose is not None:
                self.history.loose[work.loose[0]] = work.loose[1]
            return "lost"
        self._acknowledge(work, effects)
        return "ok" if effects else "nothing"

    def _together(self, works: list[Statement], session: psycopg.Connection) -> str:
        effects: list[Effect] = []
        takes_back = self.draw.random() < 0.2
        try:
            session.execute("BEGIN")
            for each in works:
                effects += each.run(session)
        except psycopg.Error as error:
            # Without a COMMIT nothing of it can be there.
            if not _is_lost(session, error):
                with contextlib.suppress(psycopg.Error):
                    session.execute("ROLLBACK")
            return "refused"
        try:
            session.execute("ROLLBACK" if takes_back else "COMMIT")
        except psycopg.Error as error:
            if takes_back or not _is_lost(session, error):
                return "refused"
            self.history.doubt(effects)
            return "lost"
        if takes_back:
            return "refused"
        self.history.acknowledge(effects)
        return "ok"

    def _acknowledge(self, work: Statement, effects: list[Effect]) -> None:
        self.history.acknowledge(effects)
        # A broken table gives no key at all.
        if work.loose is not None and effects[0].key[0]:
            self.history.ids.setdefault(effects[0].role, []).append(int(effects[0].key[0]))

    def _next(self) -> list[Statement]:
        choices: tuple[tuple[int, Callable[[], list[Statement]]], ...] = (
            (34, self._update), (12, self._insert), (8, self._delete), (10, self._position),
            (8, self._note), (8, self._to_the_migrations), (6, self._several), (4, self._move),
            (3, self._again), (5, self._order),
        )  # fmt: skip
        weights = [weight for weight, _ in choices]
        return self.draw.choices([each for _, each in choices], weights)[0]()

    def _known(self, *roles: str, lost: bool = False) -> tuple[Table, Key] | None:
        """Return a row of ours that is certainly there (or certainly not), if there is one."""
        found = [
            (role, key)
            for (role, key), fate in self.history.fates.items()
            if role in roles and len(fate.possible) == 1 and (fate.possible[0] is None) == lost
        ]
        if not found:
            return None
        role, key = self.draw.choice(found)
        return getattr(self.shop, role), key

    def _update(self) -> list[Statement]:
        known = self._known("account", "account", "position", "note")
        return [self.pen.update(*known)] if known else []

    def _insert(self) -> list[Statement]:
        if self.draw.random() < 0.4:
            return [self.pen.insert(self.shop.account, ())]
        return [self.pen.insert(self.shop.account, self._fresh_key())]

    def _fresh_key(self) -> Key:
        return (str(-_OWN * (self.number + 1) - next(self.fresh)),)

    def _again(self) -> list[Statement]:
        """Insert a row again that was deleted."""
        known = self._known("account", lost=True)
        # Without children: what the foreign keys would have done to rows that only the old shape
        # has, while their parent was gone for a moment, nobody can tell from the journal.
        if known is None or int(known[1][0]) <= MADE_BY_MIGRATION or self._had_children(known[1]):
            return []
        return [self.pen.insert(*known)]

    def _had_children(self, account: Key) -> bool:
        if -int(account[0]) <= ROWS:
            return True
        return account[0] in self.history.parents

    def _delete(self) -> list[Statement]:
        known = self._known("account", "position", "position", "note")
        return [self.pen.delete(*known)] if known else []

    def _position(self) -> list[Statement]:
        account = self._known("account")
        if account is None:
            return []
        key = (account[1][0], str(next(self.fresh) + 100))
        return [self.pen.insert(self.shop.position, key)]

    def _note(self) -> list[Statement]:
        account = self._known("account")
        more = {"account": account[1][0]} if account and self.draw.random() < 0.8 else {}
        return [self.pen.insert(self.shop.note, (), more)]

    def _to_the_migrations(self) -> list[Statement]:
        """Write to a row that, if it is there, the migration has made."""
        number = self.draw.randrange(_MADE) * self.application.writers + self.number
        key: Key = (str(MADE_BY_MIGRATION - number),)
        kind = self.draw.random()
        if kind < 0.6:
            return [self.pen.update(self.shop.account, key)]
        if kind < 0.75:
            return [self.pen.delete(self.shop.account, key)]
        # Later a row under this key would be the parent of rows that had none when it mattered.
        if kind < 0.9 and self.application.phase not in ("restoring", "restored"):
            return [self.pen.insert(self.shop.account, key)]
        return [self.pen.insert(self.shop.position, (key[0], str(next(self.fresh) + 100)))]

    def _several(self) -> list[Statement]:
        key = self._fresh_key()
        works = [self.pen.insert(self.shop.account, key)]
        works += [self.pen.insert(self.shop.position, (key[0], str(at))) for at in range(2)]
        return works + self._update()

    def _move(self) -> list[Statement]:
        known = self._known("position", "account")
        if known is None:
            return []
        table, key = known
        if table.role == "position":
            return [self.pen.move(table, key, (key[0], str(next(self.fresh) + 5000)))]
        return [] if self.pen.children(key[0]) else [self.pen.move(table, key, self._fresh_key())]

    def _order(self) -> list[Statement]:
        """An order refers to an account from a table that the checkpoint does not cover."""
        known = self._known("account")
        if known is None:
            return []
        text = f"INSERT INTO {self.shop.words()['O']} (account, token) VALUES (%s, %s) RETURNING *"
        return [Statement(text, (known[1][0], self.pen.token()), (), lambda _: [_ORDERED])]


_ORDERED = Effect("order", ("",), lambda _: None)


def _is_lost(session: psycopg.Connection, error: psycopg.Error) -> bool:
    """Whether the connection broke, so that nobody said what became of it."""
    return session.closed or error.sqlstate is None or error.sqlstate[:3] == "57P"
