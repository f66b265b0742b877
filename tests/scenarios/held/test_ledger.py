"""The ledger is not what it was, or shows something else than was done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.postgres import Postgres
from tests.scenarios.held.asking import (
    FILES,
    GATE,
    LOSSY,
    MORE,
    PATIENT,
    await_waiter,
    closed_gate,
    finish,
    held,
    obey,
)
from tests.scenarios.terminal import Terminal


def test_the_ledger_is_missing(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    database.run("DROP SCHEMA whimbrel CASCADE")
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES, migrations={'baseline': '001'})}")
    held(said, "LedgerMissing")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*) FROM users") == [(1,)]


def test_the_ledger_went_back(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    database.run("UPDATE whimbrel.meta SET epoch = 0")
    said = terminal.type(f"whimbrel run {terminal.manifest(LOSSY)}")
    held(said, "LedgerWentBack")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('more') IS NOT NULL") == [(True,)]


def test_the_ledger_lost_its_row(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    database.run("CREATE TABLE dump AS SELECT * FROM whimbrel.meta")
    database.run("DELETE FROM whimbrel.meta")
    said = terminal.type(f"whimbrel run {terminal.manifest(MORE)}")
    held(said, "LedgerDamaged")
    database.run("INSERT INTO whimbrel.meta SELECT * FROM dump")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('more') IS NOT NULL") == [(True,)]


def test_a_newer_whimbrel_wrote_the_ledger(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    ((version,),) = database.run("SELECT version FROM whimbrel.meta")
    database.run("UPDATE whimbrel.meta SET version = 1000000")
    said = terminal.type(f"whimbrel run {terminal.manifest(MORE)}")
    held(said, "LedgerTooNew")
    # To a Whimbrel that is new enough the version is one that it knows.
    database.run("UPDATE whimbrel.meta SET version = %s", version)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('more') IS NOT NULL") == [(True,)]


@pytest.mark.parametrize("command", ["history", "gc"])
def test_who_only_reads_a_ledger_that_is_damaged_is_refused(
    terminal: Terminal, database: Postgres, command: str
):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    database.run("DELETE FROM whimbrel.meta")
    said = terminal.type(f"whimbrel {command} shop")
    assert (said.code, "restore the ledger from a dump" in said.err) == (2, True), said


@contextmanager
def next_in_line(database: Postgres, *statements: str) -> Iterator[None]:
    """Carry out statements right after the transaction that uses the table of applied files."""

    def carry_out() -> None:
        with database.connect() as session, session.transaction():
            session.execute("LOCK TABLE whimbrel.applied")
            for statement in statements:
                session.execute(statement)

    somebody = threading.Thread(target=carry_out)
    somebody.start()
    await_waiter(database, "relation")
    yield
    somebody.join(timeout=60)


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param(
            ("DROP TABLE users", "DROP TABLE more", "DELETE FROM whimbrel.applied"),
            id="somebody took everything back",
        ),
        pytest.param(("DELETE FROM whimbrel.step",), id="somebody deleted the steps"),
    ],
)
def test_the_database_shows_something_else(
    terminal: Terminal, database: Postgres, statements: tuple[str, ...]
):
    slow = MORE | {"002_more.up.sql": MORE["002_more.up.sql"] + GATE}
    file = terminal.manifest(slow, limits=PATIENT)
    with closed_gate(database) as gate:
        running = terminal.start(f"whimbrel run {file}")
        await_waiter(database, "advisory")
        with next_in_line(database, *statements):
            gate.execute("SELECT pg_advisory_unlock(42)")
            said = finish(running)
    held(said, "NotVerified")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*), to_regclass('more') IS NULL FROM users") == [(1, False)]
    assert database.run("SELECT max(version) FROM whimbrel.applied") == [("002",)]
