"""A checkpoint on MariaDB asks a person."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.db.mariadb_checkpoint_desk import application
from tests.mariadb import MariaDB
from tests.scenarios.held.asking import await_that, finish, held, obey
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.terminal import Said, Terminal

pytestmark = pytest.mark.sampled("what a person is asked")

USERS = "CREATE TABLE users (id int PRIMARY KEY, mail varchar(40), UNIQUE KEY by_mail (mail))"
DROP_KEY = "ALTER TABLE users DROP KEY by_mail"
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
    up = f"{DROP_KEY};"
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


def test_a_copy_that_somebody_gave_an_index(terminal: Terminal, mariadb: MariaDB, app: MariaDB):
    files = manifest(terminal, f"{DROP_KEY};", "ALTER TABLE users ADD UNIQUE KEY by_mail (mail);")
    assert terminal.type(f"whimbrel run {files}").code == 0
    ((clone,),) = mariadb.run("SHOW TABLES LIKE '%\\_clone\\_%'")
    mariadb.run(f"ALTER TABLE `{clone}` ADD KEY (mail, id)")
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointDamaged")
    assert "has another definition" in said.err
    done = obey(terminal, said)
    assert (done.code, "1 taken back by down migrations" in done.out) == (0, True), done
    assert keys(mariadb) == ["PRIMARY", "by_mail"]


def back_while(terminal: Terminal, mariadb: MariaDB, harm: Callable[[str], None]) -> Said:
    """Go back, and do harm to the failed table between the exchange and the end of the restore.

    The restore waits for a table of the ledger meanwhile, gives up and is tried again.
    """
    root = mariadb.admin()  # the login of the migration is nobody else's

    def kept() -> list[str]:
        return [name for (name,) in root.run("SHOW TABLES LIKE '%\\_kept\\_%'")]

    with root.connect() as session, session.cursor() as cursor:
        cursor.execute("LOCK TABLES whimbrel_checkpoint_conflict READ")
        running = terminal.start("whimbrel rollback shop")
        await_that(lambda: bool(kept()), "the tables are exchanged")
        harm(kept()[0])
        return finish(running)


def statement(said: Said) -> str:
    """Return the statement by which a person says that rows were seen to."""
    return said.err.partition("say so by this statement, then retry: ")[2].partition("\n")[0]


def test_a_write_came_while_the_tables_were_exchanged(
    terminal: Terminal, mariadb: MariaDB, app: MariaDB
):
    files = manifest(terminal, "UPDATE users SET mail = NULL;")
    assert terminal.type(f"whimbrel run {files}").code == 0
    said = back_while(
        terminal, mariadb, lambda kept: app.run(f"UPDATE `{kept}` SET mail = 'late' WHERE id = 1")
    )
    held(said, "RestoreDiffers")
    app.run("UPDATE users SET mail = 'late' WHERE id = 1")
    held(obey(terminal, said), "RestoreDiffers")
    mariadb.run(statement(said))
    done = obey(terminal, said)
    assert (done.code, "were restored from the checkpoint" in done.out) == (0, True), done
    assert mariadb.run(ROWS) == [(1, "late"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("lost", [1, 3])
def test_triggers_went_while_the_tables_were_exchanged(
    terminal: Terminal, mariadb: MariaDB, app: MariaDB, lost: int
):
    files = manifest(terminal, "UPDATE users SET mail = NULL;")
    assert terminal.type(f"whimbrel run {files}").code == 0
    triggers = [row[0] for row in mariadb.run("SHOW TRIGGERS")][:lost]

    def harm(_kept: str) -> None:
        for each in triggers:
            mariadb.admin().run(f"DROP TRIGGER `{each}`")

    said = back_while(terminal, mariadb, harm)
    held(said, "RestoreDiffers")
    held(obey(terminal, said), "RestoreDiffers")
    mariadb.run(statement(said))
    done = obey(terminal, said)
    assert (done.code, "were restored from the checkpoint" in done.out) == (0, True), done
    assert mariadb.run(ROWS) == [(1, "a"), (2, "b"), (3, "c")]
    assert mariadb.run("SHOW TRIGGERS") == []
    assert len(mariadb.run("SHOW TABLES LIKE '%\\_seen'")) == 1
