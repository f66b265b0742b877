"""The whole runner with a real Sequelize project, behind the real launcher."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.runner_process import Attempt
from tests.scenarios.tool_runs import SLEEP, first_attempt, kill_in_sleep, to, wait_for_sleep
from tests.sequelize_project import ONE, THREE, TWO, copied, write

pytestmark = pytest.mark.sampled("Sequelize beside its main path")

FOUR, FIVE = "20260104090000-four.js", "20260105090000-five.js"
RETRY = "whimbrel retry shop -n team"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied(tmp_path / "app")


@pytest.fixture
def attempt(database: Postgres, project: Path) -> Iterator[Attempt]:
    with first_attempt(database, project, "sequelize") as attempt:
        yield attempt


def rows(database: Postgres) -> list[str]:
    """Return what Sequelize has written down."""
    return [row[0] for row in database.run('SELECT name FROM "SequelizeMeta" ORDER BY 1')]


def test_rollback_keeps_what_was_written_and_takes_back_the_last_run_only(
    attempt: Attempt, database: Postgres
):
    to(attempt, ONE, 1).run_to_end()
    to(attempt, TWO, 2).run_to_end()
    database.run("UPDATE people SET email = 'by the new version' WHERE id = 1")
    back = replace(to(attempt, TWO, 3), segment="Rollback").run_to_end()
    assert (back.code, back.result["revision"]) == (0, ONE), back
    (table,) = back.result["salvage"]
    assert ("by the new version",) in database.run(f"SELECT email FROM whimbrel.{table}")


def test_a_failing_middle_migration_that_leaves_nothing_is_taken_back_with_its_run(
    attempt: Attempt, project: Path, database: Postgres
):
    to(attempt, ONE, 1).run_to_end()
    write(project, FOUR, "SELECT nonsense()")
    write(project, FIVE, "SELECT 1")
    failed = to(attempt, FIVE, 2).run_to_end()
    assert (failed.code, failed.result["reason"]) == (1, "ToolFailed"), failed
    for part in (f"migrations/{FOUR}, line 2", "42883", "taken back", "as before this run"):
        assert part in failed.result["message"]
    assert rows(database) == [ONE]


@pytest.mark.sampled("Sequelize beside its main path")
def test_the_very_first_migration_fails_and_its_table_of_names_is_no_change(
    attempt: Attempt, project: Path, database: Postgres
):
    first = project / "migrations" / ONE
    first.write_text(
        first.read_text().replace("async up(", "async up() { throw new Error('no'); }, async x(")
    )
    failed = to(attempt, ONE, 1).run_to_end()
    assert (failed.code, failed.result["reason"]) == (1, "ToolFailed"), failed
    assert "as before" in failed.result["message"]
    assert rows(database) == []


HALVES = {
    "schema": ("CREATE TABLE half (n int)", "DROP TABLE half"),
    # The catalogue does not show it: only the tool's wrapper does.
    "rows": ("INSERT INTO people (name, email) VALUES ('half', 'h')", "DELETE FROM people"),
    "in one text": ("BEGIN; INSERT INTO people (name) VALUES ('h'); COMMIT", "DELETE FROM people"),
}


@pytest.mark.parametrize("half", list(HALVES))
@pytest.mark.sampled("Sequelize beside its main path")
def test_half_of_a_migration_is_told_statement_by_statement_and_held(
    attempt: Attempt, project: Path, database: Postgres, half: str
):
    """Sequelize opens no transaction; what came before it stays, as its downs may not fit."""
    to(attempt, TWO, 1).run_to_end()
    statement, undo = HALVES[half]
    write(project, FOUR, statement, "SELECT nonsense()")
    held = to(attempt, FOUR, 2).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert f"[{FOUR}: {statement[:10]}" in held.result["message"]
    assert "as before" not in held.result["message"]
    assert held.result["command"] == RETRY
    assert rows(database) == [ONE, TWO, THREE]
    write(project, FOUR, "SELECT 1")
    # Nobody has looked yet.
    still = to(attempt, FOUR, 3).run_to_end()
    assert (still.code, still.result["reason"]) == (3, "HalfDone"), still
    database.run(undo)
    if half == "schema":
        back = replace(to(attempt, FOUR, 4), segment="Rollback").run_to_end()
        assert (back.code, back.result.get("revision")) == (0, TWO), back
        return
    on = to(attempt, FOUR, 4, retry="now").run_to_end()
    assert (on.code, on.result.get("revision")) == (0, FOUR), on


@pytest.mark.sampled("Sequelize beside its main path")
def test_a_half_migration_is_finished_by_hand_and_recorded_as_the_message_says(
    attempt: Attempt, project: Path, database: Postgres
):
    to(attempt, THREE, 1).run_to_end()
    write(project, FOUR, "CREATE TABLE half (n int)", "SELECT nonsense()")
    held = to(attempt, FOUR, 2).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    database.run(held.result["message"].split("`")[1])
    on = to(attempt, FOUR, 3, retry="now").run_to_end()
    assert (on.code, on.result.get("revision")) == (0, FOUR), on


@pytest.mark.sampled("Sequelize beside its main path")
def test_killed_in_the_middle_a_person_looks_first(
    attempt: Attempt, project: Path, database: Postgres
):
    """What it committed before, rows alone, nobody heard of."""
    to(attempt, THREE, 1).run_to_end()
    write(project, FOUR, "UPDATE people SET name = name || '!'", SLEEP)
    lost = to(attempt, FOUR, 2)
    kill_in_sleep(database, lost)
    held = replace(lost, attempt=2).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert f"may have been at {FOUR}, which commits as it goes" in held.result["message"]
    assert held.result["command"] == RETRY
    database.run("UPDATE people SET name = replace(name, '!', '')")
    write(project, FOUR, "UPDATE people SET name = name || '!'")
    on = replace(to(attempt, FOUR, 2, retry="now"), attempt=3).run_to_end()
    assert (on.code, on.result.get("revision")) == (0, FOUR), on
    assert database.run("SELECT name FROM people WHERE id = 1") == [("Ada Lovelace!",)]


@pytest.mark.sampled("Sequelize beside its main path")
def test_sigterm_stops_between_two_migrations_and_cuts_off_a_long_one(
    attempt: Attempt, project: Path, database: Postgres
):
    to(attempt, THREE, 1).run_to_end()
    write(project, FOUR, "SELECT pg_sleep(2) /* pg_sleep(20) */")
    write(project, FIVE, SLEEP)
    running = to(attempt, FIVE, 2).start()
    wait_for_sleep(database, running)
    running.process.send_signal(signal.SIGTERM)
    answer = running.finish(20)
    assert (answer.code, answer.result.get("reason")) == (75, "Stopped"), answer
    assert rows(database)[-1] == FOUR
    running = to(attempt, FIVE, 2, attempt=2).start()
    wait_for_sleep(database, running)
    running.process.send_signal(signal.SIGTERM)
    cut = running.finish(20)
    assert (cut.code, cut.result.get("reason")) == (3, "HalfDone"), cut
