"""A checkpoint is not what the ledger said, or the last look after a restore finds something."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.checkpoint_shop import USERS, admin, migrator
from tests.forked import Process
from tests.postgres import Postgres
from tests.scenarios.held.asking import GATE, await_waiter, closed_gate, finish, held, obey
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.held.test_checkpoint import COLUMNS, MOOD, MORE, STATES, manifest
from tests.scenarios.terminal import Said, Terminal

pytestmark = pytest.mark.sampled("what a person is asked")

SLOW = {"002_slow.up.sql": GATE, "002_slow.down.sql": "SELECT 1;"}
FAILS = {"002_fails.up.sql": "SELECT 1/0;", "002_fails.down.sql": "SELECT 1;"}
ORGS = "CREATE TABLE orgs (id int PRIMARY KEY)"
BESIDES = "DO $$ BEGIN COMMENT ON TABLE orgs IS 'migrated'; END $$;"
LISTED = {"scope": "Tables", "tables": [{"name": "users"}]}
AS_IT_WAS = "COMMENT ON TABLE orgs IS NULL"


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    """A terminal in a shop with users, with a login that may migrate with a checkpoint."""
    database.run(USERS)
    return Terminal(tmp_path, migrator(database).url, ELSEWHERE)


@contextmanager
def exchanging(terminal: Terminal, database: Postgres) -> Iterator[Process]:
    """Give a restore that waits for the lock of its exchange."""
    assert terminal.type(f"whimbrel run {manifest(terminal, MOOD)}").code == 0
    with database.connect() as reader, reader.transaction():
        reader.execute("SELECT FROM users")
        running = terminal.start("whimbrel rollback shop")
        await_waiter(admin(database), "relation")
        yield running


def interrupted(terminal: Terminal, database: Postgres) -> None:
    """Leave a restore whose runner was killed."""
    with exchanging(terminal, database) as running:
        running.kill()
        running.communicate(timeout=10)


def obey_and_go_down(terminal: Terminal, database: Postgres, said: Said) -> None:
    """Obey, and see that the down migration leads back."""
    assert database.run(COLUMNS) == [("mood",)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert "1 taken back by down migrations" in done.out
    assert database.run(COLUMNS) == []


def test_the_ledger_has_lost_the_checkpoint_of_a_restore(terminal: Terminal, database: Postgres):
    interrupted(terminal, database)
    admin(database).run("DELETE FROM whimbrel.checkpoint_table")
    admin(database).run("DELETE FROM whimbrel.checkpoint")
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointGone")
    obey_and_go_down(terminal, database, said)


def test_a_checkpoint_went_before_its_restore_went_on(terminal: Terminal, database: Postgres):
    interrupted(terminal, database)
    admin(database).run("UPDATE whimbrel.checkpoint SET kept_until = now()")
    gone = terminal.type("whimbrel gc shop --yes")
    assert "checkpoint of run" in gone.out, gone
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointNotReady")
    obey_and_go_down(terminal, database, said)


def test_somebody_works_on_the_checkpoint_that_is_restored(terminal: Terminal, database: Postgres):
    with exchanging(terminal, database) as running:
        admin(database).run("UPDATE whimbrel.checkpoint SET state = 'Closing'")
    said = finish(running)
    held(said, "CheckpointMoved")
    obey_and_go_down(terminal, database, said)


def test_the_checkpoint_of_a_run_that_goes_on_was_closed(terminal: Terminal, database: Postgres):
    file = manifest(terminal, MOOD | SLOW | MORE)
    with closed_gate(database):
        running = terminal.start(f"whimbrel run {file}")
        await_waiter(admin(database), "advisory")
        running.kill()
        running.communicate(timeout=10)
    admin(database).run("UPDATE whimbrel.checkpoint SET state = 'Closed'")
    said = terminal.type(f"whimbrel run {file}")
    held(said, "CheckpointUsed")
    assert database.run(COLUMNS) == [("mood",)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run(COLUMNS) == [("mood",), ("more",)]
    assert database.run(STATES)[1:] == [("Ready", "")], "the rest has a checkpoint of its own"


def with_comment(terminal: Terminal, database: Postgres, more: dict[str, str]) -> Said:
    """Run a migration that changes what no restore brings back, in such a way that it goes on."""
    database.run(ORGS)
    files = MOOD | {"001_mood.up.sql": MOOD["001_mood.up.sql"] + BESIDES} | more
    return terminal.type(f"whimbrel run {manifest(terminal, files, **LISTED)}")


def test_rows_refer_to_none_after_a_restore(terminal: Terminal, database: Postgres):
    database.run("CREATE TABLE notes (who bigint CONSTRAINT told REFERENCES users)")
    assert with_comment(terminal, database, {}).code == 0
    again = terminal.type("whimbrel rollback shop")
    held(again, "NotAsBefore")
    told = "ADD CONSTRAINT told FOREIGN KEY (who) REFERENCES users NOT VALID"
    database.run("ALTER TABLE notes DROP CONSTRAINT told")
    database.run("INSERT INTO notes VALUES (7000), (1)")
    database.run(f"ALTER TABLE notes {told}")
    database.run(AS_IT_WAS)
    said = obey(terminal, again)
    held(said, "RestoreUnchecked")
    assert "1 rows of public.notes refer to rows of public.users" in said.err
    database.run("DELETE FROM notes WHERE who = 7000")
    done = obey(terminal, said)
    assert (done.code, "1 table(s) were restored" in done.out) == (0, True), done
    assert database.run("SELECT convalidated FROM pg_constraint WHERE conname = 'told'") == [
        (True,)
    ]


def test_a_failed_run_is_taken_back_to_its_end_by_what_is_printed(
    terminal: Terminal, database: Postgres
):
    """A retry would begin with another migration, and close what there is to finish."""
    said = with_comment(terminal, database, FAILS)
    held(said, "NotAsBefore")
    assert (said.command.split()[:3], database.run(COLUMNS)) == (
        ["whimbrel", "rollback", "shop"],
        [],
    )
    held(obey(terminal, said), "NotAsBefore")
    database.run(AS_IT_WAS)
    done = obey(terminal, said)
    assert (done.code, "1 table(s) were restored" in done.out) == (0, True), done
    assert database.run(STATES) == [("Restored", "")]


def test_a_failed_run_that_conflicts_goes_back_by_what_is_printed(
    terminal: Terminal, database: Postgres
):
    slow = FAILS | {"002_fails.up.sql": f"{GATE} SELECT 1/0;"}
    with closed_gate(database):
        running = terminal.start(
            f"whimbrel run {manifest(terminal, MOOD | slow, onConflict='Hold')}"
        )
        await_waiter(admin(database), "advisory")
        admin(database).run("UPDATE users SET mood = 'sad' WHERE id = 3")
    said = finish(running)
    held(said, "CheckpointConflicts")
    assert database.run(COLUMNS) == [("mood",)]
    manifest(terminal, MOOD | slow, onConflict="Record")
    done = obey(terminal, said)
    assert (done.code, "1 table(s) were restored" in done.out) == (0, True), done
    assert database.run(COLUMNS) == []
