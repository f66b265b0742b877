"""Another run holds the database, or has taken it."""

from tests.postgres import Postgres
from tests.scenarios.held.asking import FILES, held, obey
from tests.scenarios.terminal import Said, Terminal, await_sleeper


def killed(terminal: Terminal, database: Postgres, name: str) -> str:
    """Begin a run and kill it in its first statement; return the manifest, mended."""
    database.run("CREATE TABLE gate (n int)")
    database.run("INSERT INTO gate VALUES (1)")
    slow = {"001_a.up.sql": "SELECT pg_sleep(60) FROM gate;"}
    file = terminal.manifest(slow, name)
    first = terminal.start(f"whimbrel run {file}")
    await_sleeper(database)
    first.kill()
    first.communicate(timeout=10)
    database.run("TRUNCATE gate")
    return file


def taken_over(terminal: Terminal) -> Said:
    """Let another object in, by the command that is printed."""
    file = terminal.manifest(FILES, "other", migrations={"history": "other"})
    said = terminal.type(f"whimbrel run {file} --wait 1s")
    assert (said.code, "which holds the database" in said.err) == (75, True), said
    resolve = said.err.partition("if that run is gone for good: ")[2]
    return terminal.type(terminal.type(resolve.strip()).command)


def test_another_run_holds_the_database(terminal: Terminal, database: Postgres):
    killed(terminal, database, "slow")
    done = taken_over(terminal)
    assert done.code == 0, done
    assert database.run("SELECT verdict FROM whimbrel.resolution") == [("TakeOver",)]
    assert database.run("SELECT count(*) FROM users") == [(1,)]


def test_the_run_was_closed_by_somebody_else(terminal: Terminal, database: Postgres):
    file = killed(terminal, database, "shop")
    assert taken_over(terminal).code == 0
    said = terminal.type(f"whimbrel run {file}")
    held(said, "RunClosed")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT owner, version FROM whimbrel.applied ORDER BY at") == [
        ("team/other", "001"),
        ("team/shop", "001"),
    ]
