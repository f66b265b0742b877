"""Somebody writes with the login of the migration, by hand or by a job of his own, and is gone."""

from pathlib import Path

import pytest

from tests.checkpoint_shop import RENAMINGS, USERS, asleep, migrator, until
from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal

ROWS = "SELECT name, credits FROM users WHERE id IN (1, 2) ORDER BY id"


@pytest.fixture
def shop(any_database: Postgres, tmp_path: Path) -> Terminal:
    any_database.run(USERS)
    return Terminal(tmp_path, migrator(any_database).url)


def manifest(shop: Terminal, text: str) -> str:
    files = {"001_x.up.sql": text, "001_x.down.sql": "SELECT 1"}
    return shop.manifest(files, checkpoint={}, strategy={"type": "Checkpoint"})


def test_what_he_writes_between_two_looks_comes_back(any_database: Postgres, shop: Terminal):
    file = manifest(shop, "UPDATE users SET credits = 0 WHERE id = 1; SELECT pg_sleep(3);")
    running = shop.start(f"whimbrel run {file}")
    until(lambda: asleep(any_database))
    migrator(any_database).run("UPDATE users SET name = 'by hand' WHERE id = 2")
    told = running.communicate(timeout=90)
    assert running.returncode == 0, told
    assert any_database.run(ROWS) == [("first 1", 0), ("by hand", 2)]
    back = shop.type(f"whimbrel rollback {file}")
    assert back.code == 0, back
    assert any_database.run(ROWS) == [("first 1", 1), ("by hand", 2)]


@pytest.mark.parametrize("named", RENAMINGS)
def test_what_he_writes_after_the_run_comes_back(
    any_database: Postgres, shop: Terminal, named: str
):
    """And what the migration wrote does not, whatever it calls its session."""
    file = manifest(shop, f"{named} UPDATE users SET credits = 0;")
    done = shop.type(f"whimbrel run {file}")
    assert done.code == 0, done
    migrator(any_database).run("UPDATE users SET name = 'by hand' WHERE id = 2")
    assert any_database.run(ROWS) == [("first 1", 0), ("by hand", 0)]
    back = shop.type(f"whimbrel rollback {file}")
    assert back.code == 0, back
    assert any_database.run(ROWS) == [("first 1", 1), ("by hand", 2)]
    assert "every write had its place" in shop.type(f"whimbrel conflicts {file}").text
