"""The whole runner with a real TypeORM project, behind the real launcher."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.postgres import Postgres, create_database
from tests.runner_process import Attempt
from tests.scenarios.tool_runs import first_attempt, to
from tests.typeorm_shop import ONE, THREE, TWO, copied, migration, query

pytestmark = pytest.mark.sampled("TypeORM beside its main path")

LATE = "Late1767300000000"  # between ONE and TWO
FOUR, FIVE = "Fourth1767484800000", "Fifth1767571200000"
BROKEN = query("SELECT nonsense()")
HALF = query("CREATE TABLE half (n int)") + BROKEN
NO_TRANSACTION = "transaction = false;"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return copied(tmp_path / "app")


@pytest.fixture
def attempt(database: Postgres, project: Path) -> Iterator[Attempt]:
    with first_attempt(database, project, "typeorm") as attempt:
        yield attempt


def rows(database: Postgres) -> list[str]:
    return [row[0] for row in database.run("SELECT name FROM migrations ORDER BY id")]


def test_rollback_takes_back_what_was_merged_late_and_keeps_what_was_written(
    attempt: Attempt, project: Path, database: Postgres
):
    to(attempt, THREE, 1).run_to_end()
    late = query("ALTER TABLE people ADD nick text")
    migration(project, LATE, up=late, down=query("ALTER TABLE people DROP nick"))
    migration(project, FOUR)
    up = to(attempt, "head", 2).run_to_end()
    assert (up.code, rows(database)) == (0, [ONE, TWO, THREE, LATE, FOUR]), up
    database.run("UPDATE people SET nick = 'by the new version' WHERE id = 1")
    back = replace(to(attempt, "head", 3), segment="Rollback").run_to_end()
    assert (back.code, rows(database)) == (0, [ONE, TWO, THREE]), back
    (table,) = back.result["salvage"]
    assert ("by the new version",) in database.run(f"SELECT nick FROM whimbrel.{table}")


@pytest.mark.parametrize("policy", ["Automatic", "Manual"])
def test_a_failing_middle_migration(
    attempt: Attempt, project: Path, database: Postgres, policy: str
):
    to(attempt, ONE, 1).run_to_end()
    broken = migration(project, FOUR, up=BROKEN)
    migration(project, FIVE, up=query("SELECT 1"))
    second = to(attempt, "head", 2)
    second = replace(second, spec=(*second.spec, ("rollback.onFailure", policy)))
    answer = second.run_to_end()
    message = answer.result["message"]
    for part in (f"dist/migrations/{broken.name}, line 5", "42883"):
        assert part in message
    if policy == "Automatic":
        assert (answer.code, rows(database)) == (1, [ONE]), answer
        assert "taken back" in message
        return
    assert (answer.code, rows(database)) == (3, [ONE, TWO, THREE]), answer
    migration(project, FOUR, up=query("SELECT 1"))
    mended = to(attempt, "head", 2, attempt=2).run_to_end()
    assert (mended.code, mended.result["revision"]) == (0, FIVE), mended


def fail_first(project: Path) -> tuple[Path, str]:
    """Make the very first migration fail; return it and what stood there."""
    first = next(project.glob("dist/migrations/*-CreatePeople.js"))
    good = first.read_text()
    first.write_text(good.replace("const people", f"{BROKEN} const people"))
    return first, good


@pytest.mark.sampled("TypeORM beside its main path")
def test_the_very_first_migration_fails_and_nothing_counts_as_half_done(
    attempt: Attempt, project: Path
):
    """TypeORM makes its own table before that, in a transaction of its own."""
    first, good = fail_first(project)
    failed = to(attempt, "head", 1).run_to_end()
    assert (failed.code, failed.result["reason"]) == (1, "ToolFailed"), failed
    assert "as before" in failed.result["message"]
    first.write_text(good)
    again = to(attempt, ONE, 2).run_to_end()
    assert (again.code, again.result["revision"]) == (0, ONE), again


@pytest.mark.sampled("TypeORM beside its main path")
def test_an_extension_that_typeorm_installs_is_no_half_of_a_migration(
    attempt: Attempt, project: Path, postgres_server
):
    with_contrib = create_database(postgres_server(15), "typeorm")
    source = project / "dist/data-source.js"
    asked = "DataSource({...options, extensions: ['uuid-ossp']})"
    source.write_text(source.read_text().replace("DataSource(options)", asked))
    fail_first(project)
    failed = to(replace(attempt, url=with_contrib.url), "head", 1).run_to_end()
    assert (failed.code, failed.result["reason"]) == (1, "ToolFailed"), failed
    there = "SELECT count(*) FROM pg_extension WHERE extname = 'uuid-ossp'"
    assert with_contrib.run(there) == [(1,)]


@pytest.mark.sampled("TypeORM beside its main path")
def test_half_of_a_migration_that_commits_by_itself_is_seen(
    attempt: Attempt, project: Path, database: Postgres
):
    to(attempt, ONE, 1).run_to_end()
    migration(project, FOUR, up=HALF, transaction=NO_TRANSACTION)
    held = to(attempt, "head", 2).run_to_end()
    # What came before it stays: its downs may not fit what is half there.
    there = (3, "HalfDone", [ONE, TWO, THREE])
    assert (held.code, held.result["reason"], rows(database)) == there, held
    assert "stay: [Fourth1767484800000: CREATE TABLE half (n int)]" in held.result["message"]
    row = "(timestamp, name) VALUES (1767484800000, 'Fourth1767484800000')"
    assert f'INSERT INTO "public"."migrations" {row}`' in held.result["message"]
    assert held.result["command"] == "whimbrel retry shop -n team"
    database.run("DROP TABLE half")
    migration(project, FOUR, up=query("SELECT 1"))
    again = replace(to(attempt, "head", 3), order=(("number", 3), ("retry", "now"))).run_to_end()
    assert (again.code, again.result["revision"]) == (0, FOUR), again


@pytest.mark.sampled("TypeORM beside its main path")
def test_typeorm_0_3_with_the_whole_runner(attempt: Attempt, tmp_path: Path, database: Postgres):
    project = copied(tmp_path / "old", old=True)
    old = replace(attempt, project=project)
    assert to(old, ONE, 1).run_to_end().code == 0
    migration(project, FOUR, up=HALF)
    failed = to(old, "head", 2).run_to_end()
    assert (failed.code, rows(database)) == (1, [ONE]), failed
    migration(project, FOUR)
    retry = (("number", 3), ("retry", "now"))
    up = replace(to(old, "head", 3), order=retry).run_to_end()
    assert (up.code, up.result["revision"]) == (0, FOUR), up
    back = replace(to(old, "head", 4), segment="Rollback").run_to_end()
    assert (back.code, rows(database)) == (0, [ONE]), back
