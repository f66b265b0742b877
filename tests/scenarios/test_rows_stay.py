"""Rows that a migration committed by itself on PostgreSQL before it failed, or was killed.

The catalogue does not show them, so only the tool's wrapper and the project's files can tell.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests import django_project
from tests.postgres import Postgres
from tests.processes import ROOT
from tests.runner_process import Attempt
from tests.scenarios.tool_runs import first_attempt, kill_in_sleep, to

pytestmark = pytest.mark.sampled("half done by Alembic")

ALEMBIC = """
from alembic import op
revision = "{revision}"
down_revision = "{below}"
def upgrade():
    {up}
def downgrade():
    pass
"""
ROW = "INSERT INTO seen SELECT 1"
SLEEPS = "SELECT pg_sleep(20)"


class DjangoProject:
    """`atomic = False`; each statement is an operation."""

    tool, scheme, table, newest = "django", "postgresql", "people", "people:0004_late"

    def __init__(self, folder: Path) -> None:
        """Copy the example."""
        self.folder = django_project.copied(folder)

    def write(self, row: str, *then: str) -> None:
        """Write a migration that commits its rows by itself."""
        django_project.write(self.folder, "0004_late", [row, *then], atomic=False)


class AlembicProject:
    """`autocommit_block` for the rows; what comes then is in Alembic's transaction."""

    tool, scheme, table, newest = "alembic", "postgresql+psycopg", "users", "0004"

    def __init__(self, folder: Path) -> None:
        """Copy the example."""
        self.folder = Path(shutil.copytree(ROOT / "examples/tools/alembic", folder))

    def write(self, row: str, *then: str) -> None:
        """Write the same."""
        lines = ["with op.get_context().autocommit_block():", f"    op.execute({row!r})"]
        self.add("0004", "0003", *lines, *(f"op.execute({each!r})" for each in then))

    def add(self, revision: str, below: str, *lines: str) -> None:
        """Write a migration of these lines."""
        text = ALEMBIC.format(revision=revision, below=below, up="\n    ".join(lines))
        (self.folder / f"migrations/versions/{revision}_late.py").write_text(text)


@contextmanager
def opened(database: Postgres, project: DjangoProject | AlembicProject) -> Iterator[Attempt]:
    """Give a run after the example's own migrations, with an empty table for rows."""
    with first_attempt(database, project.folder, project.tool) as base:
        scheme = ("migrations.databaseURL.scheme", project.scheme)
        attempt = replace(base, spec=(("migrations.tool", project.tool), scheme))
        up = attempt.run_to_end()
        assert up.code == 0, up
        database.run("CREATE TABLE seen (n int)")
        yield to(attempt, "head", 2)


@pytest.fixture(params=[DjangoProject, AlembicProject])
def project(request, tmp_path: Path) -> DjangoProject | AlembicProject:
    return request.param(tmp_path / "app")


def seen(database: Postgres) -> int:
    """Return how many rows the migration has left."""
    return database.run("SELECT count(*) FROM seen")[0][0]


def test_rows_before_a_lock_that_is_not_had_are_not_written_twice(
    database: Postgres, project: DjangoProject | AlembicProject
):
    with opened(database, project) as attempt:
        project.write(ROW, f"ALTER TABLE {project.table} ADD COLUMN more int")
        with database.connect() as other:
            other.autocommit = False
            other.execute(f"LOCK TABLE {project.table} IN ACCESS SHARE MODE")
            first = attempt.run_to_end()
            other.rollback()
        assert (first.code, first.result["reason"]) == (3, "HalfDone"), first
        assert "55P03" in first.result["message"]
        assert f"stay: [{project.newest}: INSERT INTO seen SELECT …]" in first.result["message"]
        again = attempt.next().run_to_end()
        assert (again.code, again.result["reason"]) == (3, "HalfDone"), again
        assert seen(database) == 1
        database.run("TRUNCATE seen")
        retried = to(attempt, "head", 3, retry="now").run_to_end()
        assert (retried.code, retried.result["revision"]) == (0, project.newest), retried
        assert seen(database) == 1


def test_rows_before_an_error_are_not_called_as_before(
    database: Postgres, project: DjangoProject | AlembicProject
):
    with opened(database, project) as attempt:
        project.write(ROW, "SELECT nonsense()")
        held = attempt.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert "nothing stayed" not in held.result["message"]
    assert seen(database) == 1


def test_rows_before_a_kill_are_not_written_twice(
    database: Postgres, project: DjangoProject | AlembicProject
):
    with opened(database, project) as attempt:
        project.write(ROW, SLEEPS)
        kill_in_sleep(database, attempt)
        project.write(ROW)
        held = attempt.next().run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert seen(database) == 1


def test_a_function_that_writes_is_heard(
    database: Postgres, project: DjangoProject | AlembicProject
):
    with opened(database, project) as attempt:
        body = "INSERT INTO seen VALUES (1) RETURNING n"
        database.run(f"CREATE FUNCTION refill() RETURNS int LANGUAGE sql AS '{body}'")
        project.write("SELECT refill()", "SELECT nonsense()")
        held = attempt.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert f"stay: [{project.newest}: SELECT refill()]" in held.result["message"]
    assert seen(database) == 1


@pytest.fixture
def alembic(tmp_path: Path) -> AlembicProject:
    return AlembicProject(tmp_path / "app")


@pytest.mark.parametrize(
    "end", ["SELECT nonsense()", "SELECT pg_terminate_backend(pg_backend_pid())"]
)
def test_rows_of_a_migration_whose_name_a_later_one_rolls_back(
    database: Postgres, alembic: AlembicProject, end: str
):
    """One transaction holds the names of both; what the first committed by itself stays."""
    with opened(database, alembic) as attempt:
        alembic.write(ROW)
        alembic.add("0005", "0004", f"op.execute({end!r})")
        held = attempt.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert "stay: [0004: INSERT INTO seen SELECT …];" in held.result["message"]
    assert database.run("SELECT version_num FROM alembic_version") == [("0003",)]
    assert seen(database) == 1


def test_a_commit_of_the_authors_and_one_that_fails(database: Postgres, alembic: AlembicProject):
    """A constraint that is looked at by COMMIT: nothing of that transaction stays."""
    with opened(database, alembic) as attempt:
        database.run("CREATE TABLE later (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
        lines = [ROW, "COMMIT", "INSERT INTO later VALUES (1), (1)"]
        alembic.add("0004", "0003", *(f"op.execute({each!r})" for each in lines))
        held = attempt.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert "stay: [0004: INSERT INTO seen SELECT …];" in held.result["message"]
    assert (seen(database), database.run("SELECT * FROM later")) == (1, [])


def test_a_transaction_of_alembics_own_leaves_nothing(database: Postgres, alembic: AlembicProject):
    with opened(database, alembic) as attempt:
        alembic.add("0004", "0003", f"op.execute({ROW!r})")
        alembic.add("0005", "0004", f"op.execute({ROW!r})", 'op.execute("SELECT nonsense()")')
        failed = attempt.run_to_end()
    assert (failed.code, failed.result["reason"]) == (1, "ToolFailed"), failed
    assert "nothing stayed" in failed.result["message"]
    assert seen(database) == 0
