"""A run is refused after it has begun: then the database is not as before, and nobody says so."""

import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres
from tests.runner_process import Answer, Attempt, attempt_on

pytestmark = pytest.mark.sampled("a run that is refused midway")
ONE = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY);",
    "001_users.down.sql": "DROP TABLE users;",
}
SLOW = {"002_slow.up.sql": "CREATE TABLE slow (id int); SELECT pg_sleep(20);"}
FILES = ONE | SLOW | {"002_slow.down.sql": "DROP TABLE slow;"}
BY_FILE = (("migrations.atomicity", "File"),)
MANUAL = (*BY_FILE, ("rollback.onFailure", "Manual"))


def killed_in(attempt: Attempt, database: Postgres, statement: str) -> Attempt:
    """Kill a runner once the server carries out a statement; return the next attempt."""
    running = attempt.start()
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE %s AND pid <> pg_backend_pid()"
    while database.run(query, statement) == [(0,)]:
        assert running.process.poll() is None, running.finish()
    running.process.send_signal(signal.SIGKILL)
    running.finish()
    return attempt.next()


def begun(database: Postgres, folder: Path, spec: Any = BY_FILE, **more: Any) -> Attempt:
    """Apply 001, die in 002, and return the next attempt of the run."""
    attempt = attempt_on(database, folder, FILES, spec=spec, **more)
    return killed_in(attempt, database, "%pg_sleep(20)%")


def with_files(attempt: Attempt, files: dict[str, str], **more: Any) -> Answer:
    return replace(attempt, files=tuple(files.items()), **more).run_to_end()


def state_of(database: Postgres) -> list:
    return database.run("SELECT state FROM whimbrel.run")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        pytest.param({"002_slow.up.sql": "SELEC 1"}, "002_slow.up.sql", id="syntax error"),
        pytest.param({"001_users.up.sql": "SELECT 1"}, "001_users.up.sql", id="edited"),
        pytest.param({"002_more.up.sql": "SELECT 1"}, "002", id="same number"),
        pytest.param({"002_slow.up.sql": "SELECT 2"}, "not those any more", id="other text"),
        pytest.param({"003_more.up.sql": "SELECT 3"}, "not those any more", id="another file"),
    ],
)
def test_what_the_run_applied_is_taken_back(
    files: dict[str, str], told: str, database: Postgres, tmp_path: Path
):
    answer = with_files(begun(database, tmp_path), FILES | files)
    assert (answer.code, answer.result["outcome"]) == (1, "Failed"), answer
    assert told in answer.result["message"]
    assert "were taken back" in answer.result["message"]
    assert database.run("SELECT to_regclass('users'), to_regclass('slow')") == [(None, None)]
    assert state_of(database) == [("failed",)]


def test_or_stays_and_is_said(database: Postgres, tmp_path: Path):
    attempt = begun(database, tmp_path, MANUAL)
    answer = with_files(attempt, FILES | {"002_slow.up.sql": "SELEC 1"})
    assert (answer.code, answer.result["outcome"]) == (3, "Held"), answer
    assert "001 of this run stay applied" in answer.result["message"]
    assert (answer.result["revision"], state_of(database)) == ("001", [("held",)])


def test_a_look_leaves_the_end_to_the_next_attempt(database: Postgres, tmp_path: Path):
    broken = FILES | {"002_slow.up.sql": "SELEC 1"}
    attempt = begun(database, tmp_path)
    looked = with_files(attempt, broken, segment="Look")
    assert (looked.code, looked.result["direction"]) == (0, "down"), looked
    assert (looked.result["revision"], state_of(database)) == ("001", [("open",)])
    answer = with_files(attempt.next(), broken)
    assert (answer.code, answer.result["outcome"]) == (1, "Failed"), answer


def test_files_that_cannot_even_be_read(database: Postgres, tmp_path: Path):
    migrations = {"tool": "sql", "atomicity": "File", "configMapRef": {"name": "files"}}
    attempt = attempt_on(database, tmp_path, {}, spec=(("migrations", migrations),))

    def mounted(each: Attempt, files: dict[str, bytes]) -> Attempt:
        (each.root / "files").mkdir(parents=True)
        for name, text in files.items():
            (each.root / "files" / name).write_bytes(text)
        return each

    files = {name: text.encode() for name, text in FILES.items()}
    following = killed_in(mounted(attempt, files), database, "%pg_sleep(20)%")
    broken = files | {"002_slow.up.sql": b"\xff"}
    answer = mounted(following, broken).run_to_end()
    assert (answer.code, answer.result["reason"]) == (1, "NotText"), answer
    assert database.run("SELECT to_regclass('users')") == [(None,)]


def test_a_lock_that_a_file_gave_away(database: Postgres, tmp_path: Path):
    files = FILES | {"001_users.up.sql": "CREATE TABLE users (); SELECT pg_advisory_unlock_all();"}
    answer = attempt_on(database, tmp_path, files, spec=BY_FILE).run_to_end()
    there = database.run("SELECT to_regclass('users') IS NOT NULL")[0][0]
    assert (answer.code, there) in {(1, False), (3, True)}, answer
    assert "nothing was run" not in answer.result["message"]


def test_a_statement_whose_end_nobody_knows(database: Postgres, tmp_path: Path):
    database.run("CREATE TABLE old (id int)")
    index = "-- whimbrel: no-transaction\nCREATE INDEX CONCURRENTLY by_id ON old (id);"
    files = {"001_index.up.sql": index}
    attempt = attempt_on(database, tmp_path, files)
    with database.connect() as writer, writer.transaction():
        writer.execute("INSERT INTO old VALUES (1)")
        following = killed_in(attempt, database, "CREATE INDEX CONCURRENTLY%")
    answer = with_files(following, {"001_index.up.sql": index[:-2]})
    assert (answer.code, answer.result["reason"]) == (3, "SyntaxError"), answer
    assert "stays" in answer.result["message"]


def test_the_schema_is_not_taken_from_under_a_release(database: Postgres, tmp_path: Path):
    attempt = begun(database, tmp_path)
    broken = FILES | {"002_slow.up.sql": "SELEC 1"}
    answer = with_files(attempt, broken, order=(("since", 1.0),))
    assert (answer.code, answer.result["outcome"]) == (3, "Held"), answer
    assert database.run("SELECT count(*) FROM users") == [(0,)]


def test_without_a_work_done_another_plan_is_begun(database: Postgres, tmp_path: Path):
    only = {"001_slow.up.sql": "SELECT pg_sleep(20);"}
    following = killed_in(attempt_on(database, tmp_path, only), database, "SELECT pg_sleep(20)%")
    refused = with_files(following, {"001_slow.up.sql": "SELEC 1"})
    assert (refused.code, refused.result["reason"]) == (2, "SyntaxError"), refused
    assert state_of(database) == [("failed",)]


def test_a_plan_that_replaces_one_of_which_nothing_was_done_is_recorded(
    database: Postgres, tmp_path: Path
):
    only = {"001_slow.up.sql": "SELECT pg_sleep(20);"}
    following = killed_in(attempt_on(database, tmp_path, only), database, "SELECT pg_sleep(20)%")
    before = database.run("SELECT plan_digest, steps FROM whimbrel.run")
    answer = with_files(following, ONE)
    assert (answer.code, answer.result["revision"]) == (0, "001"), answer
    ((digest, steps),) = database.run("SELECT plan_digest, steps FROM whimbrel.run")
    assert digest == answer.result["planDigest"]
    assert steps != before[0][1]
