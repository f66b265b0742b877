"""A checkpoint asks a person: what it restores is disputed, or it restores nothing any more."""

from pathlib import Path

import pytest

from tests.checkpoint_shop import (
    USERS,
    admin,
    end_the_look_at_the_journal,
    migrator,
    no_further_session,
)
from tests.postgres import Postgres
from tests.scenarios.held.asking import (
    GATE,
    await_that,
    await_waiter,
    closed_gate,
    finish,
    held,
    obey,
)
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.terminal import Terminal, await_sleeper

pytestmark = pytest.mark.sampled("what a person is asked")

BY_FILE = {"migrations": {"atomicity": "File"}}
MOOD = {
    "001_mood.up.sql": "ALTER TABLE users ADD COLUMN mood text;",
    "001_mood.down.sql": "ALTER TABLE users DROP COLUMN mood;",
}
MORE = {
    "003_more.up.sql": "ALTER TABLE users ADD COLUMN more int;",
    "003_more.down.sql": "ALTER TABLE users DROP COLUMN more;",
}
OFF = {
    "002_off.up.sql": "ALTER TABLE users DISABLE TRIGGER USER;",
    "002_off.down.sql": "SELECT 1;",
}
RENAMED = {
    "001_renamed.up.sql": "ALTER TABLE users RENAME mail TO email;",
    "001_renamed.down.sql": "ALTER TABLE users RENAME email TO mail;",
}
MAPPED = {"mappings": [{"table": {"name": "users"}, "from": "mail", "to": "email"}]}
COLUMNS = """
SELECT attname::text FROM pg_attribute
WHERE attrelid = 'users'::regclass AND attnum > 4 AND NOT attisdropped ORDER BY attnum
"""
STATES = "SELECT state, reason FROM whimbrel.checkpoint ORDER BY opened_at"


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    """A terminal in a shop with users, with a login that may migrate with a checkpoint."""
    database.run(USERS)
    return Terminal(tmp_path, migrator(database).url, ELSEWHERE)


def manifest(
    terminal: Terminal,
    files: dict[str, str],
    *,
    more: dict[str, object] | None = None,
    **checkpoint: object,
) -> str:
    strategy, more = {"type": "Checkpoint"}, BY_FILE | (more or {})
    return terminal.manifest(files, checkpoint=checkpoint, strategy=strategy, **more)


def damage(database: Postgres) -> None:
    """Change a row of the copy, as somebody with all rights could."""
    ((clone,),) = admin(database).run("SELECT clone FROM whimbrel.checkpoint_table")
    admin(database).run(f"UPDATE whimbrel.{clone} SET name = 'forged' WHERE id = 1")


def test_values_without_a_place(terminal: Terminal, database: Postgres):
    assert terminal.type(f"whimbrel run {manifest(terminal, MOOD, onConflict='Hold')}").code == 0
    admin(database).run("UPDATE users SET mood = 'sad' WHERE id = 3")
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointConflicts")
    listed = terminal.type(said.err.partition("; to list them: ")[2].partition("\n")[0])
    assert "sad" in listed.out, listed
    assert database.run(COLUMNS) == [("mood",)]
    again = obey(terminal, said)
    held(again, "CheckpointConflicts")
    manifest(terminal, MOOD, onConflict="Record")
    done = obey(terminal, again)
    assert done.code == 0, done
    assert "were restored from the checkpoint" in done.out
    assert database.run(COLUMNS) == []


def test_a_renamed_column_that_is_mapped_when_a_person_is_asked(
    terminal: Terminal, database: Postgres
):
    assert terminal.type(f"whimbrel run {manifest(terminal, RENAMED, onConflict='Hold')}").code == 0
    app = admin(database)
    app.run("UPDATE users SET email = 'mine', credits = 7 WHERE id = 3")
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointConflicts")
    assert "mine" in terminal.type("whimbrel conflicts shop").out
    app.run("UPDATE users SET email = 'later' WHERE id = 4")
    manifest(terminal, RENAMED, onConflict="Hold", **MAPPED)
    done = obey(terminal, said)
    assert (done.code, "were restored from the checkpoint" in done.out) == (0, True), done
    rows = "SELECT mail, credits FROM users WHERE id IN (3, 4) ORDER BY id"
    assert database.run(rows) == [("mine", 7), ("later", 4)]
    assert "every write had its place" in terminal.type("whimbrel conflicts shop").out


def test_a_copy_that_somebody_changed(terminal: Terminal, database: Postgres):
    assert terminal.type(f"whimbrel run {manifest(terminal, MOOD)}").code == 0
    damage(database)
    said = terminal.type("whimbrel rollback shop")
    held(said, "CheckpointDamaged")
    assert database.run(COLUMNS) == [("mood",)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert "1 taken back by down migrations" in done.out
    assert database.run(COLUMNS) == []
    assert database.run("SELECT name FROM users WHERE id = 1") == [("first 1",)]


def test_a_copy_is_changed_before_the_run_fails(terminal: Terminal, database: Postgres):
    fails = MOOD | {"002_fails.up.sql": f"{GATE} SELECT 1/0;", "002_fails.down.sql": "SELECT 1;"}
    with closed_gate(database):
        running = terminal.start(f"whimbrel run {manifest(terminal, fails)}")
        await_waiter(admin(database), "advisory")
        damage(database)
    said = finish(running)
    held(said, "CheckpointDamaged")
    assert database.run(COLUMNS) == [("mood",)]
    mended = {"002_fails.up.sql": "ALTER TABLE users ADD COLUMN more int;"}
    manifest(terminal, fails | mended)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run(COLUMNS) == [("mood",), ("more",)]
    assert database.run(STATES)[1:] == [("Ready", "")], "the rest has a checkpoint of its own"


def test_triggers_that_are_off(terminal: Terminal, database: Postgres):
    assert terminal.type(f"whimbrel run {manifest(terminal, MOOD)}").code == 0
    database.run("ALTER TABLE users DISABLE TRIGGER USER")
    admin(database).run("UPDATE users SET name = 'not captured' WHERE id = 1")
    said = terminal.type("whimbrel rollback shop")
    held(said, "CaptureBroken")
    assert database.run(COLUMNS) == [("mood",)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert "1 taken back by down migrations" in done.out
    assert database.run(COLUMNS) == []
    assert database.run("SELECT name FROM users WHERE id = 1") == [("not captured",)]


def test_triggers_that_the_migration_itself_took_off(terminal: Terminal, database: Postgres):
    said = terminal.type(f"whimbrel run {manifest(terminal, MOOD | OFF | MORE)}")
    held(said, "CaptureBroken")
    assert database.run(COLUMNS) == [("mood",)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run(COLUMNS) == [("mood",), ("more",)]
    assert database.run(STATES)[1:] == [("Ready", "")], "the rest has a checkpoint of its own"


def test_a_run_without_its_checkpoint_goes_back_where_a_person_wants_that(
    terminal: Terminal, database: Postgres
):
    said = terminal.type(f"whimbrel run {manifest(terminal, MOOD | OFF | MORE)}")
    assert "Held (CaptureBroken): " in said.err, said
    back = said.err.partition("to go back by down migrations: ")[2].partition("\n")[0]
    assert f"{back}\n" in terminal.type("whimbrel status shop").out
    done = terminal.type(back)
    assert done.code == 0, done
    assert "2 taken back by down migrations" in done.out
    assert database.run(COLUMNS) == []


def test_a_journal_that_is_full(terminal: Terminal, database: Postgres):
    assert terminal.type(f"whimbrel run {manifest(terminal, MOOD, maxJournal='200Ki')}").code == 0
    for _ in range(5):
        admin(database).run("UPDATE users SET credits = credits + 1")
    said = terminal.type("whimbrel rollback shop")
    held(said, "JournalFull")
    assert database.run(COLUMNS) == [("mood",)]
    manifest(terminal, MOOD, maxJournal="1Gi")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert "1 taken back by down migrations" in done.out
    assert database.run(COLUMNS) == []
    assert database.run("SELECT count(*) FROM users WHERE credits = id + 5") == [(500,)]


def test_a_journal_that_nobody_could_look_at(terminal: Terminal, database: Postgres):
    slow = {"002_slow.up.sql": "SELECT pg_sleep(60);", "002_slow.down.sql": "SELECT 1;"}
    manual = {"rollback": {"onFailure": "Manual"}}
    running = terminal.start(f"whimbrel run {manifest(terminal, MOOD | slow, more=manual)}")
    await_sleeper(admin(database))
    with no_further_session(database):
        end_the_look_at_the_journal(database)
        said = finish(running)
    held(said, "JournalUnseen")
    assert database.run(COLUMNS) == [("mood",)]
    done = obey(terminal, said)
    assert (done.code, "were restored from the checkpoint" in done.out) == (0, True), done
    assert database.run(COLUMNS) == []


def test_a_time_that_was_too_short(terminal: Terminal, database: Postgres):
    slow = {"002_slow.up.sql": GATE, "002_slow.down.sql": "SELECT 1;"}
    files = MOOD | slow | MORE
    with closed_gate(database):
        running = terminal.start(f"whimbrel run {manifest(terminal, files, keepFor='4s')}")
        await_waiter(admin(database), "advisory")
        over = "SELECT kept_until < now() FROM whimbrel.checkpoint"
        await_that(lambda: admin(database).run(over) == [(True,)], "the time is over")
    said = finish(running)
    held(said, "CheckpointExpired")
    assert database.run(COLUMNS) == [("mood",)]
    manifest(terminal, files, keepFor="1h")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run(COLUMNS) == [("mood",), ("more",)]
    assert database.run(STATES)[1:] == [("Ready", "")], "the rest has a checkpoint of its own"
