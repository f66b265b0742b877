"""Somebody restores a real dump under us: it is noticed, asked about, and no step runs twice."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import CLIENTS, Postgres, create_database
from tests.runner_process import Answer, attempt_on
from tests.scenarios.held.asking import (
    GATE,
    PATIENT,
    await_waiter,
    closed_gate,
    finish,
    held,
    obey,
)
from tests.scenarios.terminal import Terminal

FIRST = {
    "001_counted.up.sql": "CREATE TABLE counted (n int); INSERT INTO counted VALUES (0);",
    "001_counted.down.sql": "DROP TABLE counted;",
}
# A file that shows how often it ran.
SECOND = FIRST | {
    "002_count.up.sql": "UPDATE counted SET n = n + 1;",
    "002_count.down.sql": "SELECT 1;",
}


@dataclass(frozen=True)
class Dump:
    """A dump in PostgreSQL's own format, made with the programs of its server's version."""

    path: Path

    def restore(self, database: Postgres) -> None:
        """Restore it into an empty database."""
        tool(database, "pg_restore", "--exit-on-error", "-d", admin(database).url, str(self.path))


def admin(database: Postgres) -> Postgres:
    """Return the database as its administrator reaches it."""
    return replace(database, user="postgres", password="postgres")


def tool(database: Postgres, program: str, *words: str) -> None:
    """Run a program of the server's version."""
    command = [str(CLIENTS[database.version] / program), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def dumped(database: Postgres, folder: Path, *words: str) -> Dump:
    """Dump a database."""
    path = folder / f"{database.dbname}.dump"
    tool(database, "pg_dump", "-Fc", "-f", str(path), *words, admin(database).url)
    return Dump(path)


def emptied(database: Postgres) -> None:
    """Drop the database and create it empty, under the same name and for the same login."""
    server = replace(admin(database), dbname="postgres")
    server.run(f"DROP DATABASE {database.dbname} WITH (FORCE)")
    server.run(f"CREATE DATABASE {database.dbname} OWNER {database.user}")
    admin(database).run(f"GRANT ALL ON SCHEMA public TO {database.user}")


def counted(database: Postgres) -> int:
    """Return how often the second release ran."""
    ((n,),) = database.run("SELECT n FROM counted")
    return n


def applied(database: Postgres) -> list[str]:
    """Return the files that the ledger knows."""
    return [row for (row,) in database.run("SELECT version FROM whimbrel.applied ORDER BY version")]


def content(database: Postgres) -> dict[str, list[tuple]]:
    """Return every row of every table, the ledger's included."""
    tables = database.run(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
        " WHERE schemaname IN ('public', 'whimbrel') ORDER BY 1"
    )
    return {name: database.run(f"SELECT * FROM {name}") for (name,) in tables}


def release(terminal: Terminal, files: dict[str, str], **spec: Any) -> None:
    """Apply a release at the terminal."""
    done = terminal.type(f"whimbrel run {terminal.manifest(files, **spec)}")
    assert done.code == 0, done


@pytest.fixture
def terminal(tmp_path: Path, any_database: Postgres) -> Terminal:
    return Terminal(tmp_path, any_database.url)


@pytest.mark.sampled("a restored dump")
def test_an_older_dump_is_noticed_and_the_release_runs_once_more_and_only_once(
    terminal: Terminal, any_database: Postgres, tmp_path: Path
):
    database = any_database
    release(terminal, FIRST)
    dump = dumped(database, tmp_path)
    release(terminal, SECOND)
    assert counted(database) == 1
    emptied(database)
    dump.restore(database)
    before = content(database)
    said = terminal.type("whimbrel run shop.yaml")
    held(said, "LedgerWentBack")
    assert content(database) == before
    done = obey(terminal, said)
    assert done.code == 0, done
    assert (counted(database), applied(database)) == (1, ["001", "002"])
    idle = terminal.type("whimbrel run shop.yaml")
    assert (idle.code, counted(database)) == (0, 1), idle
    verdicts = database.run("SELECT verdict FROM whimbrel.resolution")
    assert verdicts == [("LedgerAccepted",)]


@pytest.fixture
def shop(tmp_path: Path, database: Postgres) -> Terminal:
    """Return a terminal at the one version of the server that the other stories need."""
    return Terminal(tmp_path, database.url)


@pytest.mark.sampled("a restored dump")
def test_a_dump_of_now_is_no_question(shop: Terminal, database: Postgres, tmp_path: Path):
    release(shop, SECOND)
    dump = dumped(database, tmp_path)
    emptied(database)
    dump.restore(database)
    said = shop.type("whimbrel run shop.yaml")
    assert (said.code, counted(database)) == (0, 1), said


@pytest.mark.sampled("a restored dump")
def test_a_dump_that_was_made_in_the_middle_of_a_run(
    shop: Terminal, database: Postgres, tmp_path: Path
):
    slow = SECOND | {
        "003_count.up.sql": f"UPDATE counted SET n = n + 10; {GATE}",
        "003_count.down.sql": "SELECT 1;",
    }
    release(shop, FIRST)
    shop.manifest(slow, migrations={"atomicity": "File"}, limits=PATIENT)
    with closed_gate(database) as gate:
        running = shop.start("whimbrel run shop.yaml")
        await_waiter(database, "advisory")
        dump = dumped(database, tmp_path)
        gate.execute("SELECT pg_advisory_unlock(42)")
        said = finish(running)
    assert (said.code, counted(database)) == (0, 11), said
    # One more attempt, so that the epoch of the dump is not the newest one.
    assert shop.type("whimbrel run shop.yaml").code == 0
    emptied(database)
    dump.restore(database)
    assert database.run("SELECT state FROM whimbrel.run ORDER BY number")[-1:] == [("open",)]
    assert (counted(database), applied(database)) == (1, ["001", "002"])
    said = shop.type("whimbrel run shop.yaml")
    held(said, "LedgerWentBack")
    done = obey(shop, said)
    assert done.code == 0, done
    assert (counted(database), applied(database)) == (11, ["001", "002", "003"])


@pytest.mark.sampled("a restored dump")
def test_a_dump_without_the_ledger_is_noticed_and_adopted_as_the_author_says(
    shop: Terminal, database: Postgres, tmp_path: Path
):
    release(shop, FIRST)
    dump = dumped(database, tmp_path, "--exclude-schema=whimbrel")
    release(shop, SECOND)
    emptied(database)
    dump.restore(database)
    before = content(database)
    said = shop.type("whimbrel run shop.yaml")
    held(said, "LedgerMissing")
    assert "migrations.baseline" in said.err
    assert content(database) == before
    # The ledger that knew what is there is gone: the author says it, which is another run.
    said = shop.type(f"whimbrel run {shop.manifest(SECOND, migrations={'baseline': '001'})}")
    held(said, "LedgerMissing")
    done = obey(shop, said)
    assert done.code == 0, done
    assert (counted(database), applied(database)) == (1, ["001", "002"])
    idle = shop.type("whimbrel run shop.yaml")
    assert (idle.code, counted(database)) == (0, 1), idle


@pytest.mark.sampled("a restored dump")
def test_a_dump_without_the_ledger_that_is_accepted_as_it_is_begins_at_the_first_file(
    shop: Terminal, database: Postgres, tmp_path: Path
):
    release(shop, SECOND)
    dump = dumped(database, tmp_path, "--exclude-schema=whimbrel")
    emptied(database)
    dump.restore(database)
    said = shop.type("whimbrel run shop.yaml")
    held(said, "LedgerMissing")
    done = obey(shop, said)
    assert done.code == 1, done
    assert 'relation "counted" already exists' in done.err
    assert (counted(database), applied(database)) == (1, [])


@pytest.mark.sampled("a restored dump")
def test_a_database_that_was_created_anew_is_filled_after_a_person_said_so(
    shop: Terminal, database: Postgres
):
    release(shop, SECOND)
    emptied(database)
    said = shop.type("whimbrel run shop.yaml")
    held(said, "LedgerMissing")
    assert content(database) == {}
    done = obey(shop, said)
    assert done.code == 0, done
    assert (counted(database), applied(database)) == (1, ["001", "002"])


@pytest.fixture
def elsewhere(postgres_server: Callable[[int], Postgres], database: Postgres) -> Postgres:
    """Return an empty database of the same name and login on another server."""
    return create_database(postgres_server(18), database.dbname)


@pytest.mark.sampled("a restored dump")
def test_at_a_terminal_another_url_starts_from_what_that_database_shows(
    shop: Terminal, database: Postgres, elsewhere: Postgres, tmp_path: Path
):
    release(shop, FIRST)
    dumped(database, tmp_path).restore(elsewhere)
    moved = replace(shop, url=elsewhere.url)
    release(moved, SECOND)
    assert (counted(elsewhere), applied(elsewhere)) == (1, ["001", "002"])
    assert (counted(database), applied(database)) == (0, ["001"])
    for each in (shop, moved, shop):
        release(each, SECOND)
    assert (counted(elsewhere), counted(database)) == (1, 1)


def known(answer: Answer) -> dict[str, Any]:
    """Return what status remembers after a run."""
    assert answer.code == 0, answer
    return {"database": answer.result["databaseUuid"], "epoch": answer.result["epoch"]}


@pytest.mark.sampled("a restored dump")
def test_in_a_cluster_a_newest_copy_elsewhere_is_the_same_database(
    database: Postgres, elsewhere: Postgres, tmp_path: Path
):
    status = known(attempt_on(database, tmp_path, SECOND).run_to_end())
    dumped(database, tmp_path).restore(elsewhere)
    order = (("number", 2), ("known", status))
    moved = attempt_on(elsewhere, tmp_path, SECOND, run="run2", order=order).run_to_end()
    assert (moved.code, moved.result["outcome"]) == (0, "NothingToDo"), moved
    assert "warnings" not in moved.result
    assert (counted(elsewhere), counted(database)) == (1, 1)


@pytest.mark.sampled("a restored dump")
def test_in_a_cluster_an_older_copy_elsewhere_is_noticed(
    database: Postgres, elsewhere: Postgres, tmp_path: Path
):
    assert attempt_on(database, tmp_path, FIRST).run_to_end().code == 0
    dumped(database, tmp_path).restore(elsewhere)
    second = attempt_on(database, tmp_path, SECOND, run="run2", order=(("number", 2),))
    status = known(second.run_to_end())
    before = content(elsewhere)
    order = {"number": 3, "known": status}
    third = attempt_on(elsewhere, tmp_path, SECOND, run="run3", order=tuple(order.items()))
    asked = third.run_to_end()
    assert (asked.code, asked.result["reason"]) == (3, "LedgerWentBack"), asked
    assert content(elsewhere) == before
    answer = {"verdict": "LedgerAccepted", "run": "run3", "by": "ann", "reason": "moved"}
    order["resolution"] = answer
    done = third.next(order=tuple(order.items())).run_to_end()
    assert (done.code, done.result["revision"]) == (0, "002"), done
    assert done.result["epoch"] > status["epoch"]
    assert (counted(elsewhere), counted(database)) == (1, 1)


@pytest.mark.sampled("a restored dump")
def test_in_a_cluster_another_database_says_itself_what_is_applied(
    database: Postgres, elsewhere: Postgres, tmp_path: Path
):
    status = known(attempt_on(database, tmp_path, SECOND).run_to_end())
    assert attempt_on(elsewhere, tmp_path, FIRST, run="theirs").run_to_end().code == 0
    order = (("number", 2), ("known", status))
    moved = attempt_on(elsewhere, tmp_path, SECOND, run="run2", order=order).run_to_end()
    assert (moved.code, moved.result["revision"]) == (0, "002"), moved
    (warning,) = moved.result["warnings"]
    assert warning.startswith("DatabaseMoved: "), warning
    assert (counted(elsewhere), counted(database)) == (1, 1)


@pytest.mark.sampled("a restored dump")
def test_the_run_after_a_move_to_a_younger_database_asks_nothing(
    shop: Terminal, database: Postgres, tmp_path: Path
):
    """Its epoch is lower than that of the database before, which says nothing of its age."""
    release(shop, FIRST)
    younger = dumped(database, tmp_path)
    emptied(database)
    assert obey(shop, shop.type("whimbrel run shop.yaml")).code == 0  # another ledger, higher
    emptied(database)
    younger.restore(database)
    moved = shop.type(f"whimbrel run {shop.manifest(SECOND)}")
    assert (moved.code, "DatabaseMoved" in moved.text) == (0, True), moved
    idle = shop.type("whimbrel run shop.yaml")
    assert (idle.code, counted(database)) == (0, 1), idle
