"""A rollback is asked for while a run has applied nothing: the release before it stays."""

from dataclasses import replace
from pathlib import Path

from tests.postgres import Postgres
from tests.runner_process import Attempt, attempt_on
from tests.scenarios.test_runner_refused import FILES, ONE, killed_in


def run(base: Attempt, number: int, **order: object) -> Attempt:
    """Return the first attempt of a later run of the same object."""
    return replace(base, run=f"run{number}", order=(("number", number), *order.items()))


def release(database: Postgres, folder: Path) -> Attempt:
    """Apply the release before."""
    first = attempt_on(database, folder, ONE)
    assert first.run_to_end().code == 0
    return first


def applied(database: Postgres) -> list:
    return database.run("SELECT version FROM whimbrel.applied ORDER BY version")


def test_a_run_that_came_to_no_database_takes_nothing_back(database: Postgres, tmp_path: Path):
    """Its image could not be pulled, say: status knows of the run, and the ledger does not."""
    base = release(database, tmp_path)
    back = replace(run(base, 3, unfinished="run2"), segment="Rollback").run_to_end()
    assert (back.code, back.result["reason"]) == (0, "RolledBack"), back
    assert "had applied nothing" in back.result["message"]
    assert applied(database) == [("001",)]


def test_a_run_that_was_cut_off_before_its_first_end_takes_nothing_back(
    database: Postgres, tmp_path: Path
):
    base = release(database, tmp_path)
    second = replace(run(base, 2), files=tuple(FILES.items()))
    killed_in(second, database, "%pg_sleep(20)%")
    back = run(second, 3, unfinished="run2", ended=["Migrate/1@pod"])
    back = replace(back, segment="Rollback").run_to_end()
    assert (back.code, back.result["reason"]) == (2, "NothingToRollBack"), back
    assert applied(database) == [("001",)]
    assert database.run("SELECT state FROM whimbrel.run WHERE id = 'run2'") == [("superseded",)]
