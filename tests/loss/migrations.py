"""A random migration that goes wrong: what it does to covered tables must be gone afterwards."""

import contextlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from tests.loss.shop import Shop, fill
from tests.loss.statements import NewShape

_TRIES: Final = 5
_HEAD: Final = re.compile(r"-- move: ([^,\n]+)(?:, weight ([\d.]+))?(, alone)?\n")
_TOLD: Final = re.compile(r"^-- (column|renamed|table): (.*)\n", re.MULTILINE)


@dataclass(frozen=True)
class Move:
    """Something that a migration does.

    Attributes:
        label: What, for a report.
        statements: With names as in `shop.fill`.
        columns: Columns of text that only the new shape has: role and name.
        renamed: Renamed columns: role, old and new name.
        table: A new name of a table, with its schema as in `shop.fill`: role and name.
        alone: It cannot run inside a transaction.
        weight: How often it is drawn.
    """

    label: str
    statements: tuple[str, ...]
    columns: tuple[tuple[str, str], ...] = ()
    renamed: tuple[tuple[str, str, str], ...] = ()
    table: tuple[str, str] | None = None
    alone: bool = False
    weight: float = 1.0


def _read(text: str) -> tuple[Move, ...]:
    parts = _HEAD.split(text)[1:]
    rows = zip(*(parts[at::4] for at in range(4)), strict=True)
    return tuple(
        _move(label, float(weight or 1), alone, body) for label, weight, alone, body in rows
    )


def _move(label: str, weight: float, alone: str | None, body: str) -> Move:
    told: dict[str, list[tuple[str, ...]]] = {"column": [], "renamed": [], "table": []}
    for word, rest in _TOLD.findall(body):
        told[word].append(tuple(rest.split(": ")))
    statements = (each.strip() for each in _TOLD.sub("", body).split(";\n"))
    return Move(
        label,
        tuple(each for each in statements if each),
        columns=tuple((role, name) for role, name in told["column"]),
        renamed=tuple((role, old, new) for role, old, new in told["renamed"]),
        table=next(((role, name) for role, name in told["table"]), None),
        alone=bool(alone),
        weight=weight,
    )


MOVES: Final = _read((Path(__file__).parent / "migrations.sql").read_text(encoding="utf-8"))


@dataclass
class Migration:
    """What was drawn, and what of it took place.

    Attributes:
        moves: In the order in which they run.
        together: Whether all that can run in one transaction.
        new: What the application may know of it.
        failed: What the database refused, with its words.
    """

    moves: tuple[Move, ...]
    together: bool
    new: NewShape
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return what it does."""
        return tuple(each.label for each in self.moves)

    def run(self, shop: Shop) -> None:
        """Run it with the login of migrations."""
        with shop.connect(shop.logins.migration, application_name="migration") as session:
            session.execute("SET lock_timeout = '2s'")
            self.run_in(session, shop)

    def run_in(self, session: psycopg.Connection, shop: Shop) -> None:
        """Run it in a session; what fails is left out."""
        alone = [each for each in self.moves if each.alone]
        with session.transaction() if self.together else contextlib.nullcontext():
            for move in self.moves:
                if move not in alone:
                    self._run(move, shop, session)
        for move in alone:
            self._run(move, shop, session)

    def _run(self, move: Move, shop: Shop, session: psycopg.Connection) -> None:
        texts = [fill(each, shop).encode() for each in move.statements]
        for _ in range(_TRIES):
            try:
                if move.alone:
                    for text in texts:
                        session.execute(text)
                else:
                    with session.transaction():
                        for text in texts:
                            session.execute(text)
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
                self.failed[move.label] = str(error)
            except psycopg.Error as error:
                self.failed[move.label] = str(error)
                return
            else:
                self.failed.pop(move.label, None)
                return


Keep = Callable[[Move], bool]


def draw_migration(shop: Shop, draw: random.Random, *, keep: Keep = lambda _: True) -> Migration:
    """Draw some moves; the application knows the shape that they lead to."""
    moves = [each for each in MOVES if keep(each)]
    count = draw.randint(4, 9)
    chosen: list[Move] = []
    while len(chosen) < min(count, len(moves)):
        (move,) = draw.choices(moves, [each.weight for each in moves])
        if move not in chosen:
            chosen.append(move)
    # Names change at the end, where nothing of the migration uses the old ones any more.
    chosen.sort(key=lambda each: (bool(each.renamed), each.table is not None))
    return Migration(
        tuple(chosen), draw.random() < 0.3, shape_of(shop, chosen, draw.random() < 0.5)
    )


def migration_of(shop: Shop, labels: tuple[str, ...], *, mapped: bool) -> Migration:
    """Return the migration that does what labels say, in their order."""
    moves = {each.label: each for each in MOVES}
    chosen = [moves[label] for label in labels]
    return Migration(tuple(chosen), together=False, new=shape_of(shop, chosen, mapped))


def shape_of(shop: Shop, moves: list[Move], mapped: bool) -> NewShape:
    """Return what the application may know of the new shape."""
    columns: dict[str, tuple[str, ...]] = {}
    for role, name in (each for move in moves for each in move.columns):
        columns[role] = (*columns.get(role, ()), name)
    renamed = {(role, old): new for move in moves for role, old, new in move.renamed}
    tables = {move.table[0]: fill(move.table[1], shop) for move in moves if move.table}
    return NewShape(columns, renamed, mapped, tables)
