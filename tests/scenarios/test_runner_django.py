"""The whole runner with a real Django project, behind the real launcher."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.django_project import ONE, THREE, TWO, copied, write
from tests.postgres import Postgres
from tests.runner_process import Attempt
from tests.scenarios.tool_runs import first_attempt, to

pytestmark = pytest.mark.sampled("Django beside its main path")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied(tmp_path / "app")


@pytest.fixture
def attempt(database: Postgres, project: Path) -> Iterator[Attempt]:
    with first_attempt(database, project, "django") as attempt:
        yield attempt


def rows(database: Postgres) -> list[str]:
    """Return what Django has written down of the project's own app."""
    query = "SELECT app || ':' || name FROM django_migrations WHERE app = 'people' ORDER BY id"
    return [row[0] for row in database.run(query)]


def shape(database: Postgres) -> list[tuple]:
    """Return every column and constraint that is there, and what each accepts."""
    query = """
        SELECT attrelid::regclass::text, attname, format_type(atttypid, atttypmod), attnotnull::text
        FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
        AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace)
        UNION ALL SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), ''
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"""
    return database.run(query)


@pytest.mark.sampled("the main path")
def test_up_down_up_has_the_same_shape(attempt: Attempt, database: Postgres):
    assert to(attempt, THREE, 1).run_to_end().code == 0
    there = shape(database)
    down = to(attempt, ONE, 2).run_to_end()
    assert (down.code, down.result["revision"]) == (0, ONE), down
    assert down.result["salvage"]
    retry = (("number", 3), ("retry", "now"))
    up = replace(to(attempt, THREE, 3), order=retry).run_to_end()
    assert (up.code, rows(database)) == (0, [ONE, TWO, THREE]), up
    assert shape(database) == there


def test_rollback_keeps_what_was_written_and_takes_back_the_last_run_only(
    attempt: Attempt, database: Postgres
):
    to(attempt, "auth:0012_alter_user_first_name_max_length", 1).run_to_end()
    to(attempt, ONE, 2).run_to_end()
    up = to(attempt, TWO, 3).run_to_end()
    assert (up.code, up.result["revision"]) == (0, TWO), up
    database.run("UPDATE people SET email = 'by the new version' WHERE id = 1")
    back = replace(to(attempt, TWO, 4), segment="Rollback").run_to_end()
    assert (back.code, back.result["revision"]) == (0, ONE), back
    (table,) = back.result["salvage"]
    assert ("by the new version",) in database.run(f"SELECT email FROM whimbrel.{table}")
    # One run further back: the app goes, and what an earlier run applied of another stays.
    further = replace(to(attempt, TWO, 5), segment="Rollback").run_to_end()
    assert (further.code, rows(database)) == (0, []), further
    assert database.run("SELECT to_regclass('auth_user') IS NOT NULL") == [(True,)]


@pytest.mark.parametrize("policy", ["Automatic", "Manual"])
def test_a_failing_middle_migration(
    attempt: Attempt, project: Path, database: Postgres, policy: str
):
    to(attempt, ONE, 1).run_to_end()
    write(project, "0004_broken", "SELECT nonsense()")
    write(project, "0005_more", "SELECT 1", below="0004_broken")
    second = to(attempt, "people:0005_more", 2)
    second = replace(second, spec=(*second.spec, ("rollback.onFailure", policy)))
    answer = second.run_to_end()
    message = answer.result["message"]
    assert "0004_broken" in message or "nonsense" in message
    assert "42883" in message
    if policy == "Automatic":
        assert (answer.code, rows(database)) == (1, [ONE]), answer
        assert "taken back" in message
        return
    assert (answer.code, rows(database)) == (3, [ONE, TWO, THREE]), answer
    write(project, "0004_broken", "SELECT 1")
    mended = to(attempt, "people:0005_more", 2, attempt=2).run_to_end()
    assert (mended.code, mended.result["revision"]) == (0, "people:0005_more"), mended


@pytest.mark.sampled("half done by Django")
def test_a_fresh_database_is_left_as_before_with_the_apps_of_django_itself(
    attempt: Attempt, project: Path, database: Postgres
):
    """Content types come by a signal; Django's own table stays, and is no change."""
    write(project, "0004_broken", "SELECT nonsense()")
    answer = attempt.run_to_end()
    assert (answer.code, answer.result["reason"]) == (1, "ToolFailed"), answer
    assert "as before this run" in answer.result["message"]
    assert answer.result.get("revision", "") == ""
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    assert database.run(tables) == [("django_migrations",)]


@pytest.mark.sampled("half done by Django")
def test_the_very_first_migration_fails_and_nothing_counts_as_half_done(
    attempt: Attempt, project: Path, database: Postgres
):
    """Django makes its own table in a transaction before that."""
    first = project / "people/migrations/0001_create_people.py"
    good = first.read_text()
    first.write_text(good.replace("for name in", "1 / 0\n    for name in"))
    failed = to(attempt, ONE, 1).run_to_end()
    assert (failed.code, failed.result["reason"]) == (1, "ToolFailed"), failed
    assert "as before" in failed.result["message"]
    assert "0001_create_people.py, line" in failed.result["message"]
    first.write_text(good)
    again = to(attempt, ONE, 2).run_to_end()
    assert (again.code, again.result["revision"]) == (0, ONE), again


@pytest.mark.sampled("half done by Django")
def test_half_of_a_migration_that_commits_by_itself_is_seen(
    attempt: Attempt, project: Path, database: Postgres
):
    attempt.run_to_end()
    up = ["CREATE TABLE half (n int)", "SELECT nonsense()"]
    write(project, "0004_half", up, atomic=False)
    held = to(attempt, "head", 2).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    database.run("DROP TABLE half")
    write(project, "0004_half", "SELECT 1")
    again = replace(to(attempt, "head", 3), order=(("number", 3), ("retry", "now"))).run_to_end()
    assert (again.code, again.result["revision"]) == (0, "people:0004_half"), again


@pytest.mark.sampled("half done by Django")
def test_half_of_a_migration_after_whole_ones_is_not_called_as_before(
    attempt: Attempt, project: Path, database: Postgres
):
    """Its row is missing and others came; those stay, as their downs may not fit what is there."""
    to(attempt, ONE, 1).run_to_end()
    write(project, "0004_half", ["CREATE TABLE half (n int)", "SELECT nonsense()"], atomic=False)
    held = to(attempt, "people:0004_half", 2).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert "stay: [people:0004_half: CREATE TABLE half (n int)];" in held.result["message"]
    assert "(`manage.py migrate people 0004_half --fake`)" in held.result["message"]
    assert rows(database) == [ONE, TWO, THREE]
    assert held.result["command"] == "whimbrel retry shop -n team"


@pytest.mark.sampled("half done by Django")
def test_the_file_of_a_package_may_change_and_that_of_the_project_may_not(
    attempt: Attempt, project: Path, database: Postgres
):
    replace(attempt, run="django30").run_to_end()
    (kept,) = database.run("SELECT key, value FROM whimbrel.note WHERE kind = 'digests'")
    assert kept[0] == "default:django:.django_migrations"
    assert set(kept[1]) == {ONE, TWO, THREE}  # and none of django.contrib's
    path = project / "people/migrations/0002_fill_email.py"
    path.write_text(path.read_text() + "\n")
    refused = replace(attempt, run="django31", order=(("number", 2),)).run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "EditedFile"), refused
    assert "people/migrations/0002_fill_email.py was edited" in refused.result["message"]
