"""Where a human is needed: the command that is printed works exactly as it is printed."""

from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import Said, Terminal, await_sleeper

FILES = {
    "001_users.up.sql": "CREATE TABLE users (id int); INSERT INTO users VALUES (1);",
    "001_users.down.sql": "DROP TABLE users;",
}
LOSSY = FILES | {
    "002_more.up.sql": "CREATE TABLE more (n int);",
    "002_more.down.sql": "DROP TABLE more; DELETE FROM users;",
}


@pytest.fixture(params=["default place", "--state-dir"])
def terminal(request, tmp_path: Path, database: Postgres) -> Terminal:
    more = {} if request.param == "default place" else {"WHIMBREL_STATE_DIR": "kept here/state"}
    return Terminal(tmp_path, database.url, more)


def obey(terminal: Terminal, said: Said) -> Said:
    """Type the command that was printed; it may print one that goes on."""
    answer = terminal.type(said.command)
    if "go on with" in answer.text:
        assert answer.code == 0, answer
        return terminal.type(answer.command)
    return answer


def test_awaiting_approval(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES, approval={"before": ["Start"]})
    said = terminal.type(f"whimbrel run {file}")
    assert said.code == 3, said
    assert "001_users.up.sql" in said.err
    assert database.run("SELECT to_regclass('users')") == [(None,)]
    assert "waits for" in terminal.type("whimbrel status shop").out
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*) FROM users") == [(1,)]


def test_a_changed_plan_waits_again(terminal: Terminal):
    approval = {"before": ["Start"]}
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES, approval=approval)}")
    assert terminal.type(said.command).code == 0
    again = terminal.type(f"whimbrel run {terminal.manifest(LOSSY, approval=approval)}")
    assert (again.code, "002_more.up.sql" in again.err) == (3, True)
    assert terminal.type(said.command).code == 2


def test_would_lose_data(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    terminal.type(f"whimbrel run {terminal.manifest(LOSSY)}")
    said = terminal.type("whimbrel rollback shop")
    assert said.code == 3, said
    assert "002_more.down.sql" in said.err
    assert database.run("SELECT count(*) FROM users") == [(1,)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*), to_regclass('more') FROM users") == [(0, None)]


def test_was_rolled_back(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES)
    terminal.type(f"whimbrel run {file}")
    assert terminal.type("whimbrel rollback shop --to base").code == 0
    said = terminal.type(f"whimbrel run {file}")
    assert said.code in {2, 3}, said
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*) FROM users") == [(1,)]


def test_another_run_holds_the_database(terminal: Terminal, database: Postgres):
    database.run("CREATE TABLE gate (n int)")
    database.run("INSERT INTO gate VALUES (1)")
    slow = {"001_a.up.sql": "SELECT pg_sleep(60) FROM gate;"}
    first = terminal.start(f"whimbrel run {terminal.manifest(slow, 'slow')}")
    await_sleeper(database)
    first.kill()
    first.communicate(timeout=10)
    file = terminal.manifest(FILES, migrations={"history": "other"})
    said = terminal.type(f"whimbrel run {file} --wait 5s")
    assert (said.code, "team/slow" in said.err) == (75, True), said
    resolve = said.err.partition("if that run is gone for good: ")[2]
    done = terminal.type(terminal.type(resolve.strip()).command)
    assert done.code == 0, done
    assert database.run("SELECT verdict FROM whimbrel.resolution") == [("TakeOver",)]
    assert database.run("SELECT count(*) FROM users") == [(1,)]


def test_the_ledger_is_missing(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    database.run("DROP SCHEMA whimbrel CASCADE")
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES, migrations={'baseline': '001'})}")
    assert (said.code, "LedgerMissing" in said.err) == (3, True), said
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*) FROM users") == [(1,)]


def test_the_ledger_went_back(terminal: Terminal, database: Postgres):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    database.run("UPDATE whimbrel.meta SET epoch = 0")
    said = terminal.type(f"whimbrel run {terminal.manifest(LOSSY)}")
    assert (said.code, "LedgerWentBack" in said.err) == (3, True), said
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT to_regclass('more') IS NOT NULL") == [(True,)]
