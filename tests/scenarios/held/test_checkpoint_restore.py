"""The way back by a checkpoint needs a person: something is in its way, or was not covered."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.checkpoint_shop import USERS, admin, migrator
from tests.postgres import Postgres
from tests.scenarios.held.asking import (
    GATE,
    PATIENT,
    await_waiter,
    closed_gate,
    finish,
    held,
    obey,
)
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.terminal import Said, Terminal

pytestmark = pytest.mark.sampled("what a person is asked")

DAMAGE = "UPDATE users SET credits = 0;"
BY_FILE = {"atomicity": "File"}
LISTED = {"scope": "Tables", "tables": [{"name": "users"}]}
CREDITS = "SELECT sum(credits) FROM users"
DAMAGED, AS_BEFORE = [(0,)], [(125_250,)]


@pytest.fixture
def deploy(database: Postgres) -> Postgres:
    """The login of the migration; what the tables' owner writes is the application's."""
    database.run(USERS)
    return migrator(database)


@pytest.fixture
def terminal(tmp_path: Path, deploy: Postgres) -> Terminal:
    return Terminal(tmp_path, deploy.url, ELSEWHERE)


def manifest(terminal: Terminal, *ups: str, checkpoint: object = None, **spec: object) -> str:
    """Write a manifest of ups that only a checkpoint leads back from."""
    files = {f"00{number}_it.up.sql": text for number, text in enumerate(ups, 1)}
    asked = {"checkpoint": checkpoint or {}, "strategy": {"type": "Checkpoint"}}
    return terminal.manifest(files, **asked, **spec)


def damaged(terminal: Terminal, database: Postgres, more: str = "", **spec: object) -> None:
    """Run a migration that damages `users`, and does something more."""
    done = terminal.type(f"whimbrel run {manifest(terminal, DAMAGE + more, **spec)}")
    assert (done.code, database.run(CREDITS)) == (0, DAMAGED), done


def expect_back(said: Said, database: Postgres) -> None:
    assert (said.code, "RolledBack: 1 table(s) were restored" in said.out) == (0, True), said
    assert database.run(CREDITS) == AS_BEFORE


def test_rows_of_another_table_refer_to_what_the_restore_takes_away(
    terminal: Terminal, database: Postgres
):
    database.run("CREATE TABLE notes (who bigint REFERENCES users)")
    damaged(terminal, database, "INSERT INTO users (id, name) VALUES (7000, 'made');")
    database.run("INSERT INTO notes VALUES (7000), (1)")
    said = terminal.type("whimbrel rollback shop")
    held(said, "RestoreBlocked")
    assert "delete them, or let them refer to others, then retry" in said.err
    held(obey(terminal, said), "RestoreBlocked")
    assert database.run(CREDITS) == DAMAGED, "nothing was changed back"
    database.run("DELETE FROM notes WHERE who = 7000")
    expect_back(obey(terminal, said), database)
    assert database.run("SELECT who FROM notes") == [(1,)]


def test_the_migration_changed_what_the_checkpoint_does_not_cover(
    terminal: Terminal, database: Postgres
):
    database.run("CREATE TABLE orgs (id int PRIMARY KEY)")
    besides = "DO $$ BEGIN ALTER TABLE orgs ADD COLUMN x int; END $$;"
    damaged(terminal, database, besides, checkpoint=LISTED)
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointPartial")
    assert "changed public.orgs (column)" in said.err
    held(obey(terminal, said), "CheckpointPartial")
    assert database.run(CREDITS) == DAMAGED, "nothing was restored"
    database.run("ALTER TABLE orgs DROP COLUMN x")
    expect_back(obey(terminal, said), database)


def test_something_is_not_as_before_after_the_restore(terminal: Terminal, database: Postgres):
    database.run("CREATE TABLE orgs (id int PRIMARY KEY)")
    besides = "DO $$ BEGIN COMMENT ON TABLE orgs IS 'migrated'; END $$;"
    damaged(terminal, database, besides, checkpoint=LISTED)
    said = terminal.type("whimbrel rollback shop")
    held(said, "NotAsBefore")
    assert "table public.orgs (comment)" in said.err
    assert database.run(CREDITS) == AS_BEFORE
    database.run("UPDATE users SET credits = credits + 1")
    held(obey(terminal, said), "NotAsBefore")
    database.run("COMMENT ON TABLE orgs IS NULL")
    database.run("UPDATE users SET credits = credits - 1")
    expect_back(obey(terminal, said), database)


EVENT = """
CREATE FUNCTION indexed() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
    IF to_regclass('public.users') IS NOT NULL THEN
        CREATE INDEX IF NOT EXISTS more ON public.users (credits);
    END IF;
END $$;
CREATE EVENT TRIGGER indexes ON ddl_command_end WHEN TAG IN ('ALTER TABLE')
    EXECUTE FUNCTION indexed();
"""


def test_somebody_elses_trigger_makes_the_restored_table_another_one(
    terminal: Terminal, database: Postgres
):
    damaged(terminal, database)
    admin(database).run(EVENT)
    said = terminal.type("whimbrel rollback shop")
    held(said, "RestoreDiffers")
    assert "stop what makes that so" in said.err
    held(obey(terminal, said), "RestoreDiffers")
    assert database.run(CREDITS) == DAMAGED, "everything was rolled back"
    admin(database).run("DROP EVENT TRIGGER indexes")
    expect_back(obey(terminal, said), database)


def test_somebody_comes_with_the_login_of_the_migration(
    terminal: Terminal, database: Postgres, deploy: Postgres
):
    last = "UPDATE users SET name = 'last';"
    files = manifest(terminal, DAMAGE, GATE, last, limits=PATIENT, migrations=BY_FILE)
    with ExitStack() as others:
        with closed_gate(database):
            running = terminal.start(f"whimbrel run {files}")
            await_waiter(admin(database), "advisory")
            others.enter_context(deploy.connect())
        said = finish(running)
        held(said, "LoginShared")
        assert "give them a login of their own, then retry" in said.err
        again = obey(terminal, said)
        assert (again.code, "Refused (LoginShared)" in again.err) == (2, True), again
    done = obey(terminal, said)
    assert (done.code, "at 003" in done.out) == (0, True), done
    assert database.run("SELECT DISTINCT name FROM users") == [("last",)]


def test_somebody_comes_in_the_last_step(terminal: Terminal, database: Postgres, deploy: Postgres):
    """All of the migration is done: what a retry has to say is that it cannot be restored."""
    files = manifest(terminal, DAMAGE + GATE, limits=PATIENT)
    with ExitStack() as others:
        with closed_gate(database):
            running = terminal.start(f"whimbrel run {files}")
            await_waiter(admin(database), "advisory")
            others.enter_context(deploy.connect())
        said = finish(running)
        held(said, "LoginShared")
        done = obey(terminal, said)
    assert (done.code, "NothingToDo: the database is at 001; the last" in done.out) == (0, True)
    assert "cannot be restored: 1 other session(s) use the login" in done.out


FIT = "CREATE FUNCTION fit(text) RETURNS bool IMMUTABLE LANGUAGE sql AS $$SELECT $1 <> 'bad'$$"


def test_what_an_index_of_before_needs_is_gone(terminal: Terminal, database: Postgres):
    database.run(FIT)
    database.run("CREATE INDEX fitting ON users (fit(name))")
    damaged(terminal, database, "DROP INDEX fitting;")
    database.run("DROP FUNCTION fit")
    said = terminal.type("whimbrel rollback shop")
    held(said, "RestoreBlocked")
    assert "function public.fit(text) does not exist" in said.err
    assert "mend that, then retry" in said.err
    assert database.run(CREDITS) == DAMAGED, "nothing was changed back"
    database.run(FIT)
    expect_back(obey(terminal, said), database)


TO_TEXT = """
ALTER TABLE users ALTER id DROP IDENTITY;
ALTER TABLE users ALTER id TYPE text USING 'u' || id;
"""
TO_NUMBERS = "ALTER TABLE users ALTER id TYPE bigint USING substr(id, 2)::bigint;"
KEY_TYPE = "SELECT data_type FROM information_schema.columns WHERE column_name = 'id'"


def with_way_down(terminal: Terminal, **more: str) -> str:
    files = {"001_key.up.sql": TO_TEXT, "001_key.down.sql": TO_NUMBERS, **more}
    strategy = {"type": "Checkpoint"}
    return terminal.manifest(files, checkpoint={}, strategy=strategy, migrations=BY_FILE)


def test_the_migration_changed_the_key_so_that_nothing_is_found_by_it(
    terminal: Terminal, database: Postgres
):
    assert terminal.type(f"whimbrel run {with_way_down(terminal)}").code == 0
    database.run("UPDATE users SET name = 'mine' WHERE id = 'u1'")
    said = terminal.type("whimbrel rollback shop")
    held(said, "RestoreImpossible")
    assert "; to go back without it: whimbrel rollback shop" in said.err
    assert database.run(f"{KEY_TYPE} AND table_name = 'users'") == [("text",)]
    done = obey(terminal, said)
    assert (done.code, "1 taken back by down migrations" in done.out) == (0, True), done
    assert database.run(f"{KEY_TYPE} AND table_name = 'users'") == [("bigint",)]
    assert database.run("SELECT name FROM users WHERE id = 1") == [("mine",)]


@pytest.mark.parametrize("way", ["on", "back"])
def test_a_run_fails_after_it_changed_the_key(terminal: Terminal, database: Postgres, way: str):
    fails = {"002_it.up.sql": f"{GATE} SELECT 1/0;", "002_it.down.sql": "SELECT 1;"}
    with closed_gate(database):
        running = terminal.start(f"whimbrel run {with_way_down(terminal, **fails)}")
        await_waiter(admin(database), "advisory")
        database.run("UPDATE users SET name = 'mine' WHERE id = 'u1'")
    said = finish(running)
    held(said, "RestoreImpossible")
    back = said.err.partition("; to go back without it: ")[2].partition("\n")[0]
    if way == "back":
        done, key = terminal.type(back), "bigint"
    else:
        with_way_down(terminal, **fails | {"002_it.up.sql": "SELECT 1;"})
        done, key = obey(terminal, said), "text"
    assert done.code == 0, done
    assert database.run(f"{KEY_TYPE} AND table_name = 'users'") == [(key,)]
    assert database.run("SELECT count(*) FROM users WHERE name = 'mine'") == [(1,)]
