"""`whimbrel run`, `plan`, `rollback`: the same manifest without a cluster."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal, await_sleeper

FILES = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY);",
    "001_users.down.sql": "DROP TABLE users;",
    "002_email.up.sql": "ALTER TABLE users ADD COLUMN email text;",
    "002_email.down.sql": "ALTER TABLE users DROP COLUMN email;",
}
SECRET = {"secretKeyRef": {"name": "db", "key": "url"}}
BROKEN = {"003_bad.up.sql": "CREATE TABLE half (n int);\n\nSELECT nothing_like_it;"}


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    return Terminal(tmp_path, database.url)


def record(terminal: Terminal, name: str = "shop") -> dict:
    return json.loads((terminal.home / f".whimbrel/objects/team.{name}.json").read_text())


def columns(database: Postgres) -> list[str]:
    found = database.run(
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'users' ORDER BY 1"
    )
    return [name for (name,) in found]


def test_runs_a_manifest_once_and_then_has_nothing_to_do(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES)
    first = terminal.type(f"whimbrel run {file} -o json")
    assert first.code == 0, first
    assert json.loads(first.out)["revision"] == "002"
    assert columns(database) == ["email", "id"]
    again = terminal.type(f"whimbrel run {file} -o json")
    assert (again.code, json.loads(again.out)["outcome"]) == (0, "NothingToDo")


def test_a_failure_leaves_nothing_behind_and_names_the_place(
    terminal: Terminal, database: Postgres
):
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES | BROKEN)}")
    assert said.code == 1, said
    assert "003_bad.up.sql" in said.err
    assert "line 3" in said.err or ":3" in said.err
    assert database.run("SELECT to_regclass('half')") == [(None,)]
    assert database.run("SELECT count(*) FROM whimbrel.applied") == [(2,)]
    mended = FILES | {"003_good.up.sql": "CREATE TABLE whole (n int);"}
    assert terminal.type(f"whimbrel run {terminal.manifest(mended)}").code == 0


def test_a_plan_touches_nothing_and_follows_the_catalogue(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES)
    plan = terminal.type(f"whimbrel plan {file}")
    assert plan.code == 0, plan
    assert "001_users.up.sql" in plan.out
    assert "002_email.up.sql" in plan.out
    assert database.run("SELECT to_regclass('users'), to_regnamespace('whimbrel')") == [
        (None, None)
    ]
    assert not (terminal.home / ".whimbrel/objects/team.shop.json").exists()
    terminal.type(f"whimbrel run {terminal.manifest({k: FILES[k] for k in list(FILES)[:2]})}")
    following = terminal.type(f"whimbrel plan {terminal.manifest(FILES)}")
    assert "001_users.up.sql" not in following.out
    assert "002_email.up.sql" in following.out


def test_a_rollback_salvages_what_was_written_since(terminal: Terminal, database: Postgres):
    first = {name: FILES[name] for name in list(FILES)[:2]}
    terminal.type(f"whimbrel run {terminal.manifest(first)}")
    terminal.type(f"whimbrel run {terminal.manifest(FILES)}")
    database.run("INSERT INTO users VALUES (1, 'ada@example.org')")
    said = terminal.type("whimbrel rollback shop -n team -o json")
    assert said.code == 0, said
    assert columns(database) == ["id"]
    (table,) = json.loads(said.out)["salvage"]
    with database.connect() as session:
        name = psycopg.sql.Identifier("whimbrel", table.split(".")[-1])
        found = session.execute(psycopg.sql.SQL("SELECT id, email FROM {}").format(name))
        assert found.fetchall() == [(1, "ada@example.org")]
    history = terminal.type("whimbrel history shop")
    assert history.code == 0, history
    assert table.split(".")[-1] in history.out
    assert terminal.type("whimbrel status shop").code == 0


def test_expired_salvage_is_listed_and_then_removed(terminal: Terminal, database: Postgres):
    keep = {"rollback": {"keepSalvage": "1ms"}}
    file = terminal.manifest(FILES, **keep)
    terminal.type(f"whimbrel run {file}")
    database.run("INSERT INTO users VALUES (1, 'ada@example.org')")
    assert terminal.type("whimbrel rollback shop").code == 0
    listed = terminal.type("whimbrel gc shop")
    assert "salvage_" in listed.out
    assert database.run("SELECT count(*) FROM whimbrel.salvage") == [(1,)]
    removed = terminal.type("whimbrel gc shop --yes")
    assert "removed: salvage_" in removed.out
    assert database.run("SELECT count(*) FROM whimbrel.salvage") == [(0,)]
    assert database.run("SELECT count(*) FROM pg_class WHERE relname LIKE 'salvage~_%' ESCAPE '~'"
                        " AND relkind = 'r'") == [(0,)]  # fmt: skip


def test_the_url_of_the_command_line_is_asked_for_again(terminal: Terminal, database: Postgres):
    bare, named = replace(terminal, url=""), f"--url '{database.url}'"
    file = terminal.manifest(FILES, approval={"before": ["Start"]})
    said = bare.type(f"whimbrel run {file} {named}")
    approved = bare.type(said.command)
    assert approved.err == "(with the same --url, or WHIMBREL_URL set)\n"
    typed = bare.type(approved.command)
    assert (typed.code, "name that database with --url" in typed.err) == (2, True), typed
    assert not (terminal.home / ".whimbrel/postgresql").exists()
    assert bare.type(f"{approved.command} {named}").code == 0
    assert columns(database) == ["email", "id"]


def test_what_is_left_is_listed_when_the_object_is_gone(terminal: Terminal, database: Postgres):
    elsewhere = replace(terminal, home=terminal.home / "elsewhere", url="")
    elsewhere.home.mkdir()
    asked = f"whimbrel gc --url '{database.url}' --ledger-schema books"
    assert elsewhere.type(asked).code == 2
    keep = {"rollback": {"keepSalvage": "1ms"}}
    place = {"database": {"urlFrom": SECRET, "ledgerSchema": "books"}}
    terminal.type(f"whimbrel run {terminal.manifest(FILES, **keep, **place)}")
    database.run("INSERT INTO users VALUES (1, 'ada@example.org')")
    assert terminal.type("whimbrel rollback shop").code == 0
    files = FILES | {"003_c.up.sql": "SELECT pg_sleep(60);"}
    process = terminal.start(f"whimbrel run {terminal.manifest(files, 'gone', **place)}")
    await_sleeper(database)
    process.kill()
    process.communicate(timeout=30)
    listed = json.loads(elsewhere.type(f"{asked} -o json").out)
    assert [each["object"] for each in listed["open"]] == ["team/gone"]
    assert [each["kind"] for each in listed["found"]] == ["salvage"]
    told = elsewhere.type(f"{asked} --yes").out
    assert "removed: salvage_" in told
    assert f"run {listed['open'][0]['run']} of team/gone holds the database" in told
    assert elsewhere.type("whimbrel gc").code == 2


def slow(database: Postgres) -> dict[str, str]:
    """Return files whose second one runs for a minute, the first time only."""
    database.run("CREATE TABLE gate (n int)")
    wait = "SELECT pg_sleep(60) FROM (SELECT FROM gate) AS g;"
    database.run("INSERT INTO gate VALUES (1)")
    return {
        "001_a.up.sql": "CREATE TABLE counted (n int); INSERT INTO counted VALUES (1);",
        "002_b.up.sql": f"{wait} UPDATE counted SET n = n + 1;",
    }


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_goes_on_as_the_same_run(terminal, database, fault):
    file = terminal.manifest(slow(database))
    process = terminal.start(f"whimbrel run {file} --wait 0s")
    await_sleeper(database)
    process.send_signal(fault)
    out, err = process.communicate(timeout=30)
    assert process.returncode == (75 if fault != signal.SIGKILL else -signal.SIGKILL), out + err
    if fault != signal.SIGKILL:
        assert database.run("SELECT to_regclass('counted')") == [(None,)]
    before = record(terminal)["run"]
    database.run("TRUNCATE gate")
    said = terminal.type(f"whimbrel run {file} --wait 60s")
    assert said.code == 0, said
    after = record(terminal)["run"]
    assert (after["id"], after["attempt"] > before.get("attempt", 1)) == (before["id"], True)
    assert database.run("SELECT n FROM counted") == [(2,)]


def test_a_file_that_was_broken_while_its_run_was_killed_takes_the_run_back(terminal, database):
    folder = terminal.home / "files"
    folder.mkdir()
    for name, text in slow(database).items():
        (folder / name).write_text(text)
    (folder / "001_a.down.sql").write_text("DROP TABLE counted;")
    source = {"migrations": {"configMapRef": {"name": "files"}, "atomicity": "File"}}
    file = terminal.manifest({}, **source, approval={"before": ["Start"]})
    asked = terminal.type(f"whimbrel run {file} --project files")
    terminal.type(asked.command)
    process = terminal.start(f"whimbrel run {file} --project files")
    await_sleeper(database)
    process.kill()
    process.communicate(timeout=30)
    (folder / "002_b.up.sql").write_text("SELEC 1;")
    said = terminal.type(f"whimbrel run {file} --project files --wait 60s")
    assert (said.code, "were taken back" in said.err) == (1, True), said
    assert database.run("SELECT to_regclass('counted')") == [(None,)]


def test_two_at_once_do_the_work_once(terminal: Terminal, database: Postgres):
    file = terminal.manifest(slow(database))
    first = terminal.start(f"whimbrel run {file}")
    await_sleeper(database)
    second = terminal.type(f"whimbrel run {file} --wait 0s")
    assert second.code == 75
    assert "another whimbrel process works on team/shop" in second.err
    database.run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
    first.communicate(timeout=60)


def test_another_object_of_the_same_database_waits_and_the_holder_is_named(terminal, database):
    first = terminal.start(f"whimbrel run {terminal.manifest(slow(database))}")
    await_sleeper(database)
    other = terminal.manifest({"001_z.up.sql": "SELECT 1"}, "other", migrations={"history": "o"})
    said = terminal.type(f"whimbrel run {other} --wait 1s")
    assert said.code == 75, said
    assert "team/shop" in said.err
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


def test_suspended_starts_nothing(terminal: Terminal):
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES, suspend=True)}")
    assert (said.code, said.err) == (2, "error: spec.suspend is true: nothing is started\n")
