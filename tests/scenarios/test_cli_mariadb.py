"""`whimbrel` at a terminal against a MariaDB: a person's way through."""

from pathlib import Path

import pytest

from tests.mariadb import MariaDB
from tests.postgres import Postgres
from tests.scenarios.terminal import ROOT, Terminal

EXAMPLE = ROOT / "examples/sql-mariadb.yaml"
FILES = {
    "001_a.up.sql": "CREATE TABLE a (id int PRIMARY KEY);",
    "001_a.down.sql": "DROP TABLE a;",
    "002_b.up.sql": "ALTER TABLE a ADD COLUMN v int;",
    "002_b.down.sql": "ALTER TABLE a DROP COLUMN v;",
}


@pytest.mark.parametrize("server", [pytest.param("database", marks=pytest.mark.soak), "mariadb"])
def test_the_example_runs_on_both_servers(server: str, request, tmp_path: Path):
    database: Postgres | MariaDB = request.getfixturevalue(server)
    said = Terminal(tmp_path, database.url).type(f"whimbrel run {EXAMPLE}")
    assert said.code == 0, said.text
    shown = "SELECT COUNT(*) FROM information_schema.columns WHERE column_name = 'tags'"
    assert database.run(shown + " AND table_name = 'users'") == [(1,)]


@pytest.mark.soak
def test_run_history_rollback_and_what_is_refused(mariadb: MariaDB, tmp_path: Path):
    terminal = Terminal(tmp_path, mariadb.url)
    file = terminal.manifest(FILES)
    plan = terminal.type(f"whimbrel plan {file}")
    assert "001_a.up.sql, statement by statement" in plan.text, plan.text
    assert terminal.type(f"whimbrel run {file}").code == 0
    mariadb.run("INSERT INTO a VALUES (1, 5)")
    history = terminal.type("whimbrel history shop -o json")
    assert '"version": "002"' in history.text, history.text
    back = terminal.type("whimbrel rollback shop --to 001")
    assert back.code == 0, back.text
    assert "salvage_" in terminal.type("whimbrel history shop").text
    assert mariadb.run("SHOW COLUMNS FROM a LIKE 'v'") == []
    for text, word in (
        ("COMMIT;", "transaction control"),
        ("INSERT INTO whimbrel_run VALUES (1);", "no migration may name"),
        ("SELECT GET_LOCK('x', 1);", "migrator's own lock"),
    ):
        bad = terminal.manifest(FILES | {"003_bad.up.sql": text}, name="bad")
        said = terminal.type(f"whimbrel run {bad}")
        assert (said.code, word in said.text) == (2, True), said.text


def test_a_url_that_leads_nowhere_says_so(mariadb: MariaDB, tmp_path: Path):
    terminal = Terminal(tmp_path, mariadb.url.replace("p%2540w", "wrong"))
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    assert (said.code, "login or the password is wrong" in said.text) == (2, True), said.text
