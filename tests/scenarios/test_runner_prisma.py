"""Tool `prisma`: the real runner against a real PostgreSQL, on which Prisma may have run before."""

import hashlib
import json
import subprocess
import uuid
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.processes import built_launcher
from tests.runner_process import Answer, Attempt
from tests.scenarios.terminal import ROOT, Terminal
from whimbrel.model.spec import parse_spec
from whimbrel.planning.tools.prisma import PRISMA
from whimbrel.runner.mounts import read_files

pytestmark = pytest.mark.sampled("Prisma beside its main path")

A, B, C = "20260105090000_create_users", "20260112090000_fill_email", "20260119_last"
EXAMPLE = ROOT / "examples/tools/prisma/prisma/migrations"
LAST = "20260119090000_email_is_unique"
FILES = {
    f"{A}.migration.sql": "CREATE TABLE users (id int PRIMARY KEY, name text);",
    f"{A}.down.sql": "DROP TABLE users;",
    f"{B}.migration.sql": "BEGIN;\nALTER TABLE users ADD COLUMN email text;\nCOMMIT;\n",
    f"{B}.down.sql": "ALTER TABLE users DROP COLUMN email;",
}
# As prisma/prisma-engines writes it: create_migrations_table, flavour/postgres.rs.
ENGINES_TABLE = """
CREATE TABLE _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
)"""
COLUMNS = (
    "SELECT column_name, data_type, character_maximum_length, is_nullable, column_default"
    " FROM information_schema.columns WHERE table_name = '_prisma_migrations' ORDER BY 1"
)
NAMES = "SELECT migration_name FROM _prisma_migrations ORDER BY started_at"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prisma(folder: Path, database: Postgres, files: dict[str, str] = FILES, **more) -> Attempt:
    migrations = {"tool": "prisma", "inline": {"files": files}, **more.pop("migrations", {})}
    spec = (("migrations", migrations), *more.pop("spec", ()))
    more.setdefault("run", uuid.uuid4().hex)
    return Attempt(folder, more.pop("url", database.url), (), spec=spec, **more)


def done(answer: Answer) -> Answer:
    assert (answer.code, answer.result.get("outcome")) == (0, "Done"), answer
    return answer


def ran_under_prisma(database: Postgres, name: str, text: str, logs: str | None = None) -> None:
    """Write what the engine writes: record_migration_started and so on."""
    if database.run("SELECT to_regclass('_prisma_migrations')") == [(None,)]:
        database.run(ENGINES_TABLE)
    database.run(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, finished_at,"
        " applied_steps_count) VALUES (%s, %s, %s, %s, CASE WHEN %s THEN now() END, %s)",
        *(str(uuid.uuid4()), sha256(text), name, logs, logs is None, int(logs is None)),
    )


@pytest.mark.sampled("the main path")
def test_the_example_up_back_and_up_again(tmp_path: Path, database: Postgres):
    terminal = Terminal(tmp_path, database.url + "?schema=public&connection_limit=5")
    file = terminal.manifest({}, migrations={"tool": "prisma", "image": "shop:1"})
    project = EXAMPLE.parents[1]
    said = terminal.type(f"whimbrel run {file} --project {project} -o json")
    assert (said.code, json.loads(said.out)["revision"]) == (0, LAST), said
    names = [path.parent.name for path in sorted(EXAMPLE.glob("*/migration.sql"))]
    texts = [(EXAMPLE / name / "migration.sql").read_text() for name in names]
    rows = (
        "SELECT migration_name, checksum, logs, rolled_back_at, applied_steps_count,"
        " id ~ '^[0-9a-f-]{36}$', started_at < finished_at FROM _prisma_migrations"
        " ORDER BY started_at"
    )
    kept = [
        (name, sha256(text), None, None, 1, True, True)
        for name, text in zip(names, texts, strict=True)
    ]
    assert database.run(rows) == kept
    ours = database.run(COLUMNS)
    back = terminal.type(f"whimbrel rollback shop --to {A} -o json")
    assert (back.code, json.loads(back.out)["revision"]) == (0, A), back
    assert json.loads(back.out)["salvage"]
    assert database.run(NAMES) == [(A,)]
    held = terminal.type(f"whimbrel run {file} --project {project}")
    assert held.code == 3, held
    again = terminal.type(f"{terminal.type(held.command).command} -o json")
    assert (again.code, json.loads(again.out)["revision"]) == (0, LAST), again
    assert database.run(rows) == kept
    assert database.run("SELECT email FROM users ORDER BY id LIMIT 1") == [
        ("ada.lovelace@example.com",)
    ]
    database.run("DROP TABLE _prisma_migrations")
    database.run(ENGINES_TABLE)
    assert database.run(COLUMNS) == ours


def test_what_prisma_applied_is_adopted_and_an_edited_file_is_refused(
    tmp_path: Path, database: Postgres
):
    text = FILES[f"{A}.migration.sql"]
    database.run(text)
    ran_under_prisma(database, A, text)
    edited = FILES | {f"{A}.migration.sql": text + " -- again"}
    answer = prisma(tmp_path, database, edited).run_to_end()
    assert (answer.code, answer.result["reason"]) == (2, "EditedFile"), answer
    assert f"{A}/migration.sql" in answer.result["message"]
    done(prisma(tmp_path, database).run_to_end())
    assert database.run(NAMES) == [(A,), (B,)]
    # Prisma applies a later one beside us; an older image must be able to go out.
    ran_under_prisma(database, C, "SELECT 1")
    ahead = prisma(tmp_path, database).run_to_end()
    assert (ahead.code, ahead.result["outcome"]) == (0, "DatabaseAhead"), ahead
    assert ahead.result["revision"] == C
    # Back below what we never applied: by the down files of the project, nothing is salvaged.
    database.run("DELETE FROM _prisma_migrations WHERE migration_name = %s", C)
    more = {"segment": "Rollback", "order": (("to", "base"),)}
    held = prisma(tmp_path, database, **more).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "WouldLoseData"), held
    spec = (("rollback", {"allowDataLoss": {"by": "ann", "reason": "a test"}}),)
    back = prisma(tmp_path, database, spec=spec, **more).run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    assert database.run(NAMES) == []
    assert database.run("SELECT to_regclass('users')") == [(None,)]


def test_a_failed_migration_of_prismas_is_held_until_its_own_command_said_which_way(
    tmp_path: Path, database: Postgres
):
    database.run(FILES[f"{A}.migration.sql"])
    ran_under_prisma(database, A, FILES[f"{A}.migration.sql"])
    files = FILES | {f"{C}.migration.sql": "DELETE FROM users;", f"{C}.down.sql": ""}
    ran_under_prisma(database, C, "DELETE FROM users;", "Database error code: 42P01")
    held = prisma(tmp_path, database, files).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "FailedMigration"), held
    assert "42P01" in held.result["message"]
    # `prisma migrate resolve --rolled-back`
    database.run("UPDATE _prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL")
    done(prisma(tmp_path, database, files).run_to_end())
    assert database.run(NAMES) == [(A,), (C,), (B,), (C,)]
    # Who takes it back leaves no row: Prisma would take any for "nothing to do".
    done(prisma(tmp_path, database, files, migrations={"to": B}).run_to_end())
    assert database.run(NAMES) == [(A,), (B,)]


def test_a_failed_migration_of_which_nothing_stayed_runs_again(tmp_path: Path, database: Postgres):
    ran_under_prisma(database, A, FILES[f"{A}.migration.sql"], "Database error code: 57014")
    with closing(database.connect()) as session:
        session.execute("SELECT pg_advisory_lock(72707369)")
        busy = prisma(tmp_path, database).run_to_end()
        assert (busy.code, busy.result["reason"]) == (75, "ToolAtWork"), busy
        assert "Prisma itself" in busy.result["message"]
    done(prisma(tmp_path, database).run_to_end())
    states = (
        "SELECT migration_name, rolled_back_at IS NULL FROM _prisma_migrations ORDER BY id = %s"
    )
    assert sorted(database.run(states, "")) == [(A, False), (A, True), (B, True)]


def test_prisma_at_work_is_waited_for(tmp_path: Path, database: Postgres):
    with closing(database.connect()) as session:
        session.execute("SELECT pg_advisory_lock(72707369)")
        busy = prisma(tmp_path, database).run_to_end()
    assert (busy.code, busy.result["reason"]) == (75, "ToolAtWork"), busy
    assert database.run("SELECT to_regclass('_prisma_migrations')") == [(None,)]


def test_a_failure_leaves_nothing_not_even_the_table(tmp_path: Path, database: Postgres):
    broken = {f"{C}.migration.sql": "CREATE TABLE third (id int);\n\nSELECT nonsense();"}
    answer = prisma(tmp_path, database, FILES | broken).run_to_end()
    assert answer.code == 1, answer
    for part in (f"{C}/migration.sql", "line 3", "42883", "as before"):
        assert part in answer.result["message"]
    assert database.run("SELECT to_regclass('users'), to_regclass('_prisma_migrations')") == [
        (None, None)
    ]


def test_a_later_transaction_fails_where_a_down_is_missing(tmp_path: Path, database: Postgres):
    files = FILES | {f"{C}.migration.sql": "SELECT nonsense();"}
    del files[f"{A}.down.sql"]
    migrations = {"atomicity": "File"}
    answer = prisma(tmp_path, database, files, migrations=migrations).run_to_end()
    assert (answer.code, answer.result["reason"]) == (3, "RollbackFailed"), answer
    assert f"write {A}/down.sql" in answer.result["message"]
    assert database.run(NAMES) == [(A,), (B,)]


def test_killed_in_the_middle_and_two_at_once(tmp_path: Path, database: Postgres):
    slow = FILES | {
        f"{C}.migration.sql": "CREATE TABLE counted (n int);\nINSERT INTO counted VALUES (1);\n"
        "SELECT pg_sleep(3);"
    }
    first = prisma(tmp_path, database, slow)
    running = first.start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3)%%'"
    while database.run(asleep) == [(0,)]:
        assert running.process.poll() is None, running.finish()
    running.process.kill()
    running.finish()
    second = first.next().start()
    other = prisma(tmp_path, database, slow, name="other", uid="uid-other")
    answer = other.run_to_end()
    done(second.finish())
    while answer.code == 75:
        other = replace(other, attempt=other.attempt + 1)
        answer = other.run_to_end()
    assert (answer.code, answer.result["outcome"]) == (0, "NothingToDo"), answer
    assert database.run("SELECT count(*) FROM counted") == [(1,)]
    assert database.run(NAMES) == [(A,), (B,), (C,)]


def test_outside_a_transaction_and_a_schema_of_its_own(tmp_path: Path, database: Postgres):
    database.run("CREATE SCHEMA shop")
    files = {
        f"{A}.migration.sql": FILES[f"{A}.migration.sql"],
        f"{B}.migration.sql": "CREATE INDEX CONCURRENTLY i ON users (name);",
    }
    url = database.url + "?schema=shop"
    refused = prisma(tmp_path, database, files, url=url).run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "NeedsNoTransaction"), refused
    alone = f"{B}.migration.sql"
    files[alone] = f"-- whimbrel: no-transaction\n{files[alone]}"
    done(prisma(tmp_path, database, files, url=url).run_to_end())
    assert database.run("SELECT migration_name FROM shop._prisma_migrations ORDER BY 1") == [
        (A,),
        (B,),
    ]
    assert database.run("SELECT to_regclass('shop.i') IS NOT NULL") == [(True,)]
    elsewhere = prisma(tmp_path, database, files).run_to_end()
    assert (elsewhere.code, elsewhere.result["reason"]) == (2, "BookkeepingElsewhere"), elsewhere
    database.run(ENGINES_TABLE)
    twice = prisma(tmp_path, database, files, url=url).run_to_end()
    assert (twice.code, twice.result["reason"]) == (2, "BookkeepingAmbiguous"), twice
    named = {"bookkeeping": {"schema": "shop", "table": "_prisma_migrations"}}
    again = prisma(tmp_path, database, files, url=url, migrations=named).run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again


def test_a_database_without_a_history_is_adopted_as_by_resolve_applied(
    tmp_path: Path, database: Postgres
):
    database.run(FILES[f"{A}.migration.sql"])
    done(prisma(tmp_path, database, migrations={"baseline": A}).run_to_end())
    rows = (
        "SELECT migration_name, logs, applied_steps_count, started_at = finished_at"
        " FROM _prisma_migrations ORDER BY started_at"
    )
    assert database.run(rows) == [(A, "", 0, True), (B, None, 1, False)]


def test_the_directory_comes_out_of_the_image_with_its_folders(tmp_path: Path):
    command = [built_launcher(), "copy", "prisma/migrations", str(tmp_path / "shared/files")]
    (tmp_path / "shared").mkdir()
    subprocess.run(command, cwd=EXAMPLE.parents[1], check=True)
    database = {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}
    migrations = {"tool": "prisma", "image": "shop:1", "workingDir": "/app"}
    spec = parse_spec({"database": database, "migrations": migrations})
    files = read_files(spec, tmp_path)
    assert files is not None
    assert files[f"{A}/down.sql"] == (EXAMPLE / A / "down.sql").read_text()
    assert sorted(name for name in files if name.count("/") != 1) == ["migration_lock.toml"]
    assert [file.version for file in PRISMA.read(files)] == [A, B, LAST]


@pytest.mark.parametrize("line", ["plan", "run"])
def test_a_wrong_folder_is_one_sentence(line: str, tmp_path: Path, database: Postgres):
    terminal = Terminal(tmp_path, database.url)
    (tmp_path / "project/prisma/migrations/1_a").mkdir(parents=True)
    file = terminal.manifest({}, migrations={"tool": "prisma", "image": "shop:1"})
    said = terminal.type(f"whimbrel {line} {file} --project project")
    assert said.code == 2, said
    assert "the folder 1_a has no migration.sql" in said.err
