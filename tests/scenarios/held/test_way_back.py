"""The way back needs a person: it would lose data, does not fit, or did not come to its end."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from tests.postgres import Postgres
from tests.scenarios.held.asking import FILES, LOSSY, MORE, await_waiter, held, obey
from tests.scenarios.terminal import Terminal

pytestmark = pytest.mark.sampled("what a person is asked")

BY_FILE = {"migrations": {"atomicity": "File"}}
NO_DOWN = {"001_users.down.sql": "SELECT nonsense();"}
NO_UP = {"003_bad.up.sql": "SELECT nothing_like_it;", "003_bad.down.sql": "SELECT 1;"}
MANUAL = {"rollback": {"onFailure": "Manual"}}


def test_would_lose_data(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    terminal.type(f"whimbrel run {terminal.manifest(LOSSY)}")
    said = terminal.type("whimbrel rollback shop")
    held(said, "WouldLoseData")
    assert "002_more.down.sql" in said.err
    assert said.command in terminal.type("whimbrel status shop").out
    assert database.run("SELECT count(*) FROM users") == [(1,)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*), to_regclass('more') FROM users") == [(0, None)]


def test_a_file_that_was_broken_while_nobody_knows_what_its_run_left(
    terminal: Terminal, database: Postgres
):
    database.run("CREATE TABLE old (id int)")
    (terminal.home / "files").mkdir()
    path = terminal.home / "files/001_index.up.sql"
    good = "-- whimbrel: no-transaction\nCREATE INDEX CONCURRENTLY by_id ON old (id);"
    path.write_text(good)
    file = terminal.manifest({}, migrations={"configMapRef": {"name": "files"}})
    with database.connect() as writer, writer.transaction():
        writer.execute("INSERT INTO old VALUES (1)")
        running = terminal.start(f"whimbrel run {file} --project files")
        await_waiter(database, "virtualxid")
        running.kill()
        running.communicate(timeout=30)
    path.write_text(good[:-2])
    said = terminal.type(f"whimbrel run {file} --project files --wait 30s")
    held(said, "SyntaxError")
    assert "what they did stays" in said.err
    path.write_text(good)
    done = obey(terminal, said)
    assert done.code == 0, done
    valid = "SELECT indisvalid FROM pg_index WHERE indrelid = 'old'::regclass"
    assert database.run(valid) == [(True,)]


@contextmanager
def readers(database: Postgres, table: str) -> Iterator[None]:
    """Be the application: read a table without a pause."""
    over = threading.Event()

    def read() -> None:
        with database.connect() as session:
            while not over.is_set():
                session.execute(f"SELECT FROM {table} LIMIT 1")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        over.set()
        reader.join(timeout=30)


def test_salvage_keeps_readers_waiting_for_too_long(terminal: Terminal, database: Postgres):
    files = MORE | {
        "002_more.up.sql": "ALTER TABLE users ADD COLUMN email text;",
        "002_more.down.sql": "ALTER TABLE users DROP COLUMN email;",
    }
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    done = terminal.type(f"whimbrel run {terminal.manifest(files, limits={'lockHold': '50ms'})}")
    assert done.code == 0, done
    database.run("INSERT INTO users SELECT n, md5(n::text) FROM generate_series(1, 600000) AS n")
    with readers(database, "users"):
        said = terminal.type("whimbrel rollback shop")
        held(said, "SalvageDoesNotFit")
        assert database.run("SELECT count(email) FROM users") == [(600_000,)]
        done = obey(terminal, said)
    assert (done.code, "warning: DataLossAllowed" in done.err) == (0, True), done
    with pytest.raises(psycopg.errors.UndefinedColumn):
        database.run("SELECT email FROM users")
    assert database.run("SELECT count(*) FROM whimbrel.salvage") == [(0,)]


def test_a_later_transaction_of_the_way_back_fails(terminal: Terminal, database: Postgres):
    wrong = terminal.manifest(MORE | NO_DOWN, **BY_FILE)
    assert terminal.type(f"whimbrel run {wrong}").code == 0
    said = terminal.type("whimbrel rollback shop")
    held(said, "RollbackFailed")
    assert database.run("SELECT count(*), to_regclass('more') FROM users") == [(1, None)]
    terminal.manifest(MORE, **BY_FILE)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('users'), to_regclass('more')") == [(None, None)]


def test_a_run_that_failed_cannot_be_taken_back(terminal: Terminal, database: Postgres):
    wrong = terminal.manifest(MORE | NO_UP | NO_DOWN, **BY_FILE)
    said = terminal.type(f"whimbrel run {wrong}")
    held(said, "RollbackFailed")
    assert database.run("SELECT count(*), to_regclass('more') FROM users") == [(1, None)]
    # The up stays as wrong as it was: what goes on is the way back.
    terminal.manifest(MORE | NO_UP, **BY_FILE)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('users'), to_regclass('more')") == [(None, None)]


def test_a_run_that_failed_would_lose_data_on_its_way_back(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    said = terminal.type(f"whimbrel run {terminal.manifest(LOSSY | NO_UP, **BY_FILE)}")
    held(said, "RollbackFailed")
    assert database.run("SELECT count(*), to_regclass('more') IS NULL FROM users") == [(1, False)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*), to_regclass('more') FROM users") == [(0, None)]


def test_a_failed_run_stays_where_a_person_takes_back(terminal: Terminal, database: Postgres):
    said = terminal.type(f"whimbrel run {terminal.manifest(MORE | NO_UP, **BY_FILE, **MANUAL)}")
    held(said, "StatementFailed")
    assert database.run("SELECT count(*), to_regclass('more') IS NULL FROM users") == [(1, False)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('users'), to_regclass('more')") == [(None, None)]


def test_a_run_that_kept_readers_waiting_stays_where_a_person_takes_back(
    terminal: Terminal, database: Postgres
):
    database.run("CREATE TABLE shown (id int)")
    files = {
        "001_a.up.sql": "CREATE TABLE a (n int);",
        "001_a.down.sql": "DROP TABLE a;",
        "002_b.up.sql": "LOCK TABLE shown; SELECT pg_sleep(30);",
    }
    file = terminal.manifest(files, limits={"lockHold": "300ms"}, **BY_FILE, **MANUAL)
    with readers(database, "shown"), readers(database, "shown"), readers(database, "shown"):
        said = terminal.type(f"whimbrel run {file}")
    held(said, "LockHeldTooLong")
    assert database.run("SELECT to_regclass('a') IS NULL") == [(False,)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('a')") == [(None,)]
