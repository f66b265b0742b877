"""Runs of SQL files with a checkpoint, in a shop whose application writes all the while."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.checkpoint_shop import USERS, Writer, expect_nothing_lost, migrator, shape, writing
from tests.postgres import Postgres
from tests.runner_process import Attempt, RunnerProcess
from whimbrel.model.plan import WITHOUT_TOOL

# Data and shape are damaged, and a table, a type and a column of it are added.
DAMAGE = """
CREATE TYPE mood AS ENUM ('fine', 'sad');
ALTER TABLE users DROP COLUMN mail, ADD COLUMN mood mood;
UPDATE users SET credits = credits / 2, name = upper(name);
DELETE FROM users WHERE id % 7 = 0;
INSERT INTO users (name, credits) SELECT 'made by the migration', 1 FROM generate_series(1, 5);
CREATE TABLE moods (mood mood PRIMARY KEY, users bigint);
INSERT INTO moods VALUES ('fine', 3);
"""
DAMAGED = {"001_damage.up.sql": DAMAGE, "001_damage.down.sql": "SELECT 1/0"}
FAILS = DAMAGED | {"002_fails.up.sql": "SELECT 1/0"}
EACH_FILE = ("migrations.atomicity", "File")
CHECKPOINT = (("checkpoint", {}), ("strategy", {"type": "Checkpoint"}))


@dataclass(frozen=True)
class Shop:
    """A database with users, an application that writes to it, and what a run does to it."""

    database: Postgres
    writer: Writer
    attempt: Attempt
    before: list[tuple]

    def run(self, number: int = 1, segment: str = "Migrate", **more: Any) -> dict[str, Any]:
        """Carry out one attempt and return its answer."""
        return self.start(number, segment, **more).finish().result

    def start(self, number: int = 1, segment: str = "Migrate", **more: Any) -> RunnerProcess:
        """Start one attempt."""
        spec = (*self.attempt.spec, *more.pop("spec", ()))
        order = (("number", number), *more.pop("order", ()))
        run = self.id(more.pop("of", number))
        told = replace(self.attempt, run=run, segment=segment, spec=spec, order=order, **more)
        running = told.start()
        if running.tool is not None and segment in WITHOUT_TOOL:
            running.tool.kill()  # there is no container of the tool in such a Job
        return running

    def id(self, number: int) -> str:
        """Return the id of a run: roles of checkpoints belong to the whole server."""
        return f"{self.database.dbname}run{number}"

    def expect_as_before(self) -> None:
        """Check every row and the shape, once the application has stopped."""
        self.writer.stop()
        expect_nothing_lost(self.database, self.writer)
        assert shape(self.database) == self.before


def opened(database: Postgres, folder: Path) -> Iterator[Shop]:
    database.run(USERS)
    login = migrator(database)
    with writing(database) as writer:
        attempt = Attempt(folder, login.url, tuple(DAMAGED.items()), spec=CHECKPOINT)
        yield Shop(database, writer, attempt, shape(database))


def files(texts: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return files as an attempt takes them."""
    return tuple(texts.items())
