"""A checkpoint on MariaDB asks a person."""

from pathlib import Path

import pytest

from tests.db.mariadb_checkpoint_desk import application
from tests.mariadb import MariaDB
from tests.scenarios.held.asking import held, obey
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.terminal import Terminal

USERS = "CREATE TABLE users (id int PRIMARY KEY, mail varchar(40), UNIQUE KEY by_mail (mail))"
ROWS = "SELECT * FROM users ORDER BY id"


@pytest.fixture
def app(mariadb: MariaDB) -> MariaDB:
    """The login of an application, in a shop with users."""
    mariadb.run(USERS)
    mariadb.run("INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    return application(mariadb)


@pytest.fixture
def terminal(tmp_path: Path, mariadb: MariaDB) -> Terminal:
    return Terminal(tmp_path, mariadb.url, ELSEWHERE)


def manifest(terminal: Terminal, up: str, down: str = "SELECT 1;", **checkpoint: object) -> str:
    files = {"001_it.up.sql": up, "001_it.down.sql": down}
    return terminal.manifest(files, checkpoint=checkpoint, strategy={"type": "Checkpoint"})


def keys(mariadb: MariaDB) -> list[str]:
    return [row[2] for row in mariadb.run("SHOW KEYS FROM users")]


def test_a_write_that_the_old_table_refuses(terminal: Terminal, mariadb: MariaDB, app: MariaDB):
    up = "ALTER TABLE users DROP KEY by_mail;"
    assert terminal.type(f"whimbrel run {manifest(terminal, up, onConflict='Hold')}").code == 0
    app.run("UPDATE users SET mail = 'same' WHERE id IN (1, 2)")
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointConflicts")
    listed = terminal.type(said.err.partition("; to list them: ")[2].partition("\n")[0])
    assert "same" in listed.out, listed
    assert keys(mariadb) == ["PRIMARY"]
    manifest(terminal, up, onConflict="Record")
    done = obey(terminal, said)
    assert (done.code, "were restored from the checkpoint" in done.out) == (0, True), done
    assert keys(mariadb) == ["PRIMARY", "by_mail"]
    assert mariadb.run(ROWS) == [(1, "same"), (2, "b"), (3, "c")]


def test_a_row_that_moved_to_a_key_that_the_migration_freed(
    terminal: Terminal, mariadb: MariaDB, app: MariaDB
):
    down = "INSERT INTO users VALUES (20, 'b');"
    files = manifest(terminal, "DELETE FROM users WHERE id = 2;", down)
    assert terminal.type(f"whimbrel run {files}").code == 0
    app.run("UPDATE users SET id = 2 WHERE id = 1")
    said = terminal.type("whimbrel rollback shop")
    held(said, "RestoreImpossible")
    assert "; to go back without it: whimbrel rollback shop" in said.err
    assert mariadb.run(ROWS) == [(2, "a"), (3, "c")], "nothing was changed back"
    done = obey(terminal, said)
    assert (done.code, "1 taken back by down migrations" in done.out) == (0, True), done
    assert mariadb.run(ROWS) == [(2, "a"), (3, "c"), (20, "b")]
