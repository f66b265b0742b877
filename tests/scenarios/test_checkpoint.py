"""A migration of SQL files with a checkpoint: taken back, and no write of the application lost."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_shop import (
    USERS,
    Writer,
    expect_nothing_lost,
    left_over,
    migrator,
    shape,
    writing,
)
from tests.postgres import Postgres
from tests.runner_process import Answer, Attempt

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
        return self.answer(number, segment, **more).result

    def answer(self, number: int, segment: str, **more: Any) -> Answer:
        spec = (*self.attempt.spec, *more.pop("spec", ()))
        order = (("number", number), *more.pop("order", ()))
        told = replace(
            self.attempt, run=f"run{number}", segment=segment, spec=spec, order=order, **more
        )
        return told.run_to_end()

    def expect_as_before(self) -> None:
        """Check every row and the shape, once the application has stopped."""
        self.writer.stop()
        expect_nothing_lost(self.database, self.writer)
        assert shape(self.database) == self.before


@pytest.fixture
def shop(any_database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    yield from opened(any_database, tmp_path)


def opened(database: Postgres, folder: Path) -> Iterator[Shop]:
    database.run(USERS)
    login = migrator(database)
    with writing(database) as writer:
        attempt = Attempt(folder, login.url, tuple(DAMAGED.items()), spec=CHECKPOINT)
        yield Shop(database, writer, attempt, shape(database))


def files(files: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(files.items())


def test_a_run_that_fails_after_its_first_transaction_is_restored(shop: Shop):
    failed = shop.run(files=files(FAILS), spec=(EACH_FILE,))
    assert (failed["outcome"], failed["reason"]) == ("Failed", "StatementFailed"), failed
    assert "1 table(s) were restored from the checkpoint of run run1" in failed["message"]
    assert failed["checkpoint"]["state"] == "Restored"
    assert shop.writer.errors == []
    shop.expect_as_before()
    assert shop.database.run("SELECT count(*) FROM whimbrel.applied") == [(0,)]


def test_a_person_takes_a_run_back_and_writes_made_since_stay(shop: Shop):
    done = shop.run()
    assert (done["outcome"], done["reason"]) == ("Done", "Applied"), done["message"]
    assert done["checkpoint"]["restorable"] is True
    assert done["checkpoint"]["tables"] == ["public.users"]
    shop.writer.wait(200)
    back = shop.run(2, "Rollback")
    assert (back["outcome"], back["reason"]) == ("RolledBack", "RolledBack"), back
    assert "restored from the checkpoint of run run1" in back["message"]
    assert shop.writer.errors == []
    shop.expect_as_before()
    again = shop.run(3)
    assert (again["outcome"], again["reason"]) == ("Held", "WasRolledBack"), again
