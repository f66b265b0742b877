"""Tool `prisma` on MariaDB: its table is true before, in the middle of, and after each file."""

import hashlib
import json
import uuid
from contextlib import closing
from pathlib import Path

import pytest

from tests.db.orders import until
from tests.mariadb import MariaDB, create_database
from tests.runner_process import Answer, Attempt
from tests.scenarios.terminal import ROOT, Terminal

pytestmark = pytest.mark.sampled("a tool on MariaDB")

A, B, C = "20260105090000_create_users", "20260112090000_fill_email", "20260119_last"
LAST = "20260119090000_email_is_unique"
EXAMPLE = ROOT / "examples/tools/prisma"
FOLDER = EXAMPLE / "prisma/mysql/migrations"
FILES = {
    f"{A}.migration.sql": "CREATE TABLE users (id int PRIMARY KEY, name varchar(40));",
    f"{A}.down.sql": "DROP TABLE users;",
    f"{B}.migration.sql": "ALTER TABLE users ADD COLUMN email varchar(60);",
    f"{B}.down.sql": "ALTER TABLE users DROP COLUMN email;",
}
# Its second statement fails, and nobody has written a way back.
BROKEN = {f"{C}.migration.sql": "CREATE TABLE half (n int);\nINSERT INTO nowhere VALUES (1);"}
MENDED = {f"{C}.migration.sql": "CREATE TABLE half (n int);\nINSERT INTO half VALUES (1);"}
# As prisma/prisma-engines writes it: create_migrations_table, flavour/mysql.rs.
ENGINES_TABLE = """
CREATE TABLE _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             DATETIME(3),
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          DATETIME(3),
    started_at              DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
    applied_steps_count     INTEGER UNSIGNED NOT NULL DEFAULT 0
) DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"""
# What makes `migrate deploy` say P3009, with the logs (apply_migrations.rs).
P3009 = (
    "SELECT migration_name, logs FROM _prisma_migrations"
    " WHERE finished_at IS NULL AND rolled_back_at IS NULL"
)
# What it takes for applied, in its order.
APPLIED = (
    "SELECT migration_name FROM _prisma_migrations"
    " WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL ORDER BY started_at"
)
ROLLED_BACK = (
    "UPDATE _prisma_migrations SET rolled_back_at = UTC_TIMESTAMP(3)"
    " WHERE migration_name = %s AND finished_at IS NULL AND rolled_back_at IS NULL"
)


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def prisma(folder: Path, database: MariaDB, files: dict[str, str] = FILES, **more) -> Attempt:
    migrations = {"tool": "prisma", "inline": {"files": files}, **more.pop("migrations", {})}
    more.setdefault("run", uuid.uuid4().hex)
    return Attempt(folder, database.url, (), spec=(("migrations", migrations),), **more)


def done(answer: Answer) -> Answer:
    assert (answer.code, answer.result.get("outcome")) == (0, "Done"), answer
    return answer


def held(answer: Answer, reason: str) -> str:
    assert (answer.code, answer.result.get("reason")) == (3, reason), answer
    return answer.result["message"]


def applied(database: MariaDB) -> list[str]:
    return [name for (name,) in database.run(APPLIED)]


def ran_under_prisma(database: MariaDB, name: str, text: str, logs: str | None = None) -> None:
    """Write what the engine writes: record_migration_started and so on."""
    if not database.run("SHOW TABLES LIKE '\\_prisma\\_migrations'"):
        database.run(ENGINES_TABLE)
    database.run(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, started_at,"
        " finished_at, applied_steps_count)"
        " VALUES (%s, %s, %s, %s, UTC_TIMESTAMP(3), IF(%s, UTC_TIMESTAMP(3), NULL), %s)",
        *(str(uuid.uuid4()), sha256(text), name, logs, logs is None, int(logs is None)),
    )


def retried(folder: Path, database: MariaDB, files: dict[str, str]) -> Answer:
    """Carry out what a person has allowed to go on."""
    return prisma(folder, database, files, order=(("retry", uuid.uuid4().hex),)).run_to_end()


def test_the_example_up_back_and_up_again(tmp_path: Path, mariadb: MariaDB):
    url = mariadb.url + "?connection_limit=5&pool_timeout=10&sslaccept=accept_invalid_certs"
    terminal = Terminal(tmp_path, url)
    source = {"tool": "prisma", "image": "shop:1", "prisma": {"path": "prisma/mysql/migrations"}}
    file = terminal.manifest({}, migrations=source)
    said = terminal.type(f"whimbrel run {file} --project {EXAMPLE} -o json")
    assert (said.code, json.loads(said.out)["revision"]) == (0, LAST), said
    names = [path.parent.name for path in sorted(FOLDER.glob("*/migration.sql"))]
    texts = [(FOLDER / name / "migration.sql").read_text() for name in names]
    rows = (
        "SELECT migration_name, checksum, logs, rolled_back_at, applied_steps_count,"
        " id REGEXP '^[0-9a-f-]{36}$', started_at <= finished_at,"
        " ABS(TIMESTAMPDIFF(SECOND, started_at, UTC_TIMESTAMP())) < 60"
        " FROM _prisma_migrations ORDER BY started_at"
    )
    kept = [
        (name, sha256(text), None, None, 1, 1, 1, 1)
        for name, text in zip(names, texts, strict=True)
    ]
    assert mariadb.run(rows) == kept
    ours = mariadb.run("SHOW CREATE TABLE _prisma_migrations")
    back = terminal.type(f"whimbrel rollback shop --to {A} -o json")
    assert (back.code, json.loads(back.out)["revision"]) == (0, A), back
    assert json.loads(back.out)["salvage"]
    assert mariadb.run("SELECT migration_name FROM _prisma_migrations") == [(A,)]
    refused = terminal.type(f"whimbrel run {file} --project {EXAMPLE}")
    assert refused.code == 3, refused
    again = terminal.type(f"{terminal.type(refused.command).command} -o json")
    assert (again.code, json.loads(again.out)["revision"]) == (0, LAST), again
    assert mariadb.run(rows) == kept
    assert mariadb.run("SELECT email FROM users ORDER BY id LIMIT 1") == [
        ("ada.lovelace@example.com",)
    ]
    mariadb.run("DROP TABLE _prisma_migrations")
    mariadb.run(ENGINES_TABLE)
    assert mariadb.run("SHOW CREATE TABLE _prisma_migrations") == ours


@pytest.mark.parametrize("line", [pytest.param("plan", marks=pytest.mark.soak), "run"])
def test_the_directory_of_the_other_provider_is_refused_in_one_sentence(
    line: str, tmp_path: Path, mariadb: MariaDB
):
    terminal = Terminal(tmp_path, mariadb.url)
    file = terminal.manifest({}, migrations={"tool": "prisma", "image": "shop:1"})
    said = terminal.type(f"whimbrel {line} {file} --project {EXAMPLE}")
    assert said.code == 2, said
    assert "names the provider postgresql, but the database is MariaDB" in said.text, said
    assert mariadb.run("SHOW TABLES") == []


def test_what_fails_and_has_a_way_back_leaves_no_row(tmp_path: Path, mariadb: MariaDB):
    done(prisma(tmp_path, mariadb).run_to_end())
    rows = mariadb.run("SELECT * FROM _prisma_migrations ORDER BY id")
    files = FILES | BROKEN | {f"{C}.down.sql": "DROP TABLE half;"}
    answer = prisma(tmp_path, mariadb, files).run_to_end()
    assert answer.code == 1, answer
    for part in (f"{C}/migration.sql, line 2", "1146", "as before"):
        assert part in answer.result["message"]
    assert mariadb.run("SELECT * FROM _prisma_migrations ORDER BY id") == rows
    first = FILES | {f"{C}.migration.sql": "INSERT INTO nowhere VALUES (1);"}
    answer = prisma(tmp_path, mariadb, first).run_to_end()
    assert answer.code == 1, answer
    assert mariadb.run("SELECT * FROM _prisma_migrations ORDER BY id") == rows


def undo_by_hand(database: MariaDB) -> None:
    database.run("DROP TABLE half")


def resolve_as_prisma_does(database: MariaDB) -> None:
    database.run("DROP TABLE half")
    database.run(ROLLED_BACK, C)


def leave_it(database: MariaDB) -> None:
    del database


def resolve_and_leave_it(database: MariaDB) -> None:
    database.run(ROLLED_BACK, C)


@pytest.mark.parametrize(
    ("answered", "rows"),
    [
        pytest.param(undo_by_hand, 2, id="undone by hand: it begins anew, the old row rolled back"),
        pytest.param(resolve_as_prisma_does, 2, id="undone, and told to Prisma too"),
        pytest.param(leave_it, 1, id="mended behind: it goes on in the same row"),
        pytest.param(resolve_and_leave_it, 2, id="told to Prisma, and it goes on"),
    ],
)
@pytest.mark.sampled("a part that stays, of Prisma")
def test_a_part_that_stays_is_p3009_for_prisma_until_a_person_has_answered(
    answered, rows: int, tmp_path: Path, mariadb: MariaDB
):
    told = held(prisma(tmp_path, mariadb, FILES | BROKEN).run_to_end(), "HalfDone")
    assert f"done and committed are {C}/migration.sql, line 1" in told
    ((name, logs),) = mariadb.run(P3009)
    assert (name, "line 1" in logs) == (C, True)
    assert applied(mariadb) == [A, B]
    answered(mariadb)
    held(prisma(tmp_path, mariadb, FILES).run_to_end(), "HalfDone")
    done(retried(tmp_path, mariadb, FILES | MENDED))
    assert mariadb.run("SELECT n FROM half") == [(1,)]
    assert mariadb.run(P3009) == []
    assert applied(mariadb) == [A, B, C]
    mine = "SELECT finished_at IS NULL, logs IS NULL OR rolled_back_at IS NOT NULL, checksum"
    found = mariadb.run(f"{mine} FROM _prisma_migrations WHERE migration_name = %s", C)
    assert len(found) == rows
    assert (0, 1, sha256(MENDED[f"{C}.migration.sql"])) in found
    again = prisma(tmp_path, mariadb, FILES | MENDED).run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again
    assert mariadb.run("SELECT COUNT(*) FROM whimbrel_piece") == [(0,)]


@pytest.mark.sampled("a part that stays, of Prisma")
def test_a_part_that_a_person_finished_is_resolved_as_applied(tmp_path: Path, mariadb: MariaDB):
    held(prisma(tmp_path, mariadb, FILES | BROKEN).run_to_end(), "HalfDone")
    # `prisma migrate resolve --applied`: both rows, as the engine writes them
    mariadb.run(ROLLED_BACK, C)
    mariadb.run(
        "INSERT INTO _prisma_migrations (id, checksum, migration_name, logs, started_at,"
        " finished_at) SELECT UUID(), %s, %s, '', UTC_TIMESTAMP(3), UTC_TIMESTAMP(3)",
        *(sha256(BROKEN[f"{C}.migration.sql"]), C),
    )
    answer = retried(tmp_path, mariadb, FILES | BROKEN)
    assert (answer.code, answer.result["outcome"]) == (0, "NothingToDo"), answer
    assert answer.result["revision"] == C
    assert mariadb.run("SELECT COUNT(*) FROM whimbrel_piece") == [(0,)]


@pytest.mark.sampled("a part that stays, of Prisma")
def test_a_part_that_was_undone_with_its_folder_is_let_go(tmp_path: Path, mariadb: MariaDB):
    held(prisma(tmp_path, mariadb, FILES | BROKEN).run_to_end(), "HalfDone")
    mariadb.run("DROP TABLE half")
    answer = retried(tmp_path, mariadb, FILES)
    assert (answer.code, answer.result["outcome"]) == (0, "NothingToDo"), answer
    assert mariadb.run(P3009) == []
    again = prisma(tmp_path, mariadb, FILES).run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again


@pytest.mark.sampled("a part that stays, of Prisma")
def test_killed_in_the_middle_it_is_p3009_meanwhile_and_goes_on_in_the_same_row(
    tmp_path: Path, mariadb: MariaDB
):
    slow = FILES | {
        f"{C}.migration.sql": "CREATE TABLE counted (n int);\n"
        "INSERT INTO counted SELECT 1 FROM DUAL WHERE SLEEP(3) = 0;"
    }
    first = prisma(tmp_path, mariadb, slow)
    running = first.start()
    asleep = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep' AND DB = %s"
    until(lambda: bool(mariadb.run(asleep, mariadb.dbname)))
    assert mariadb.run(P3009) == [(C, None)]
    taken = "SELECT IS_USED_LOCK('prisma_migrate') IS NOT NULL"
    assert mariadb.run(taken) == [(1,)]
    running.process.kill()
    running.finish()
    ((row,),) = mariadb.run("SELECT id FROM _prisma_migrations WHERE migration_name = %s", C)
    done(first.next().run_to_end())
    assert mariadb.run("SELECT n FROM counted") == [(1,)]
    assert mariadb.run("SELECT id FROM _prisma_migrations WHERE migration_name = %s", C) == [(row,)]
    assert applied(mariadb) == [A, B, C]


@pytest.mark.soak
def test_what_prisma_applied_is_the_truth_and_an_edited_file_is_refused(
    tmp_path: Path, mariadb: MariaDB
):
    text = FILES[f"{A}.migration.sql"]
    mariadb.run(text)
    ran_under_prisma(mariadb, A, text)
    edited = FILES | {f"{A}.migration.sql": text + " -- again"}
    answer = prisma(tmp_path, mariadb, edited).run_to_end()
    assert (answer.code, answer.result["reason"]) == (2, "EditedFile"), answer
    done(prisma(tmp_path, mariadb).run_to_end())
    assert applied(mariadb) == [A, B]
    ran_under_prisma(mariadb, C, "SELECT 1")
    ahead = prisma(tmp_path, mariadb).run_to_end()
    assert (ahead.code, ahead.result["outcome"]) == (0, "DatabaseAhead"), ahead
    assert ahead.result["revision"] == C


@pytest.mark.sampled("a part that stays, of Prisma")
def test_a_failed_migration_of_prismas_is_held_or_runs_again_where_nothing_stayed(
    tmp_path: Path, mariadb: MariaDB
):
    said = "Database error code: 1205\n\nDatabase error:\nLock wait timeout exceeded"
    ran_under_prisma(mariadb, A, FILES[f"{A}.migration.sql"], said)
    mariadb.run(FILES[f"{A}.migration.sql"])
    told = held(prisma(tmp_path, mariadb).run_to_end(), "FailedMigration")
    for part in (f"{A}, which Prisma began at", "1205", "line 1 (CREATE TABLE users) is there"):
        assert part in told
    mariadb.run("DROP TABLE users")
    done(prisma(tmp_path, mariadb).run_to_end())
    states = "SELECT migration_name, rolled_back_at IS NULL FROM _prisma_migrations"
    assert sorted(mariadb.run(states)) == [(A, 0), (A, 1), (B, 1)]
    back = prisma(tmp_path, mariadb, migrations={"to": "base"}).run_to_end()
    done(back)
    assert mariadb.run("SELECT COUNT(*) FROM _prisma_migrations") == [(0,)]


def test_prisma_at_work_is_waited_for_unless_it_is_on_another_database(
    tmp_path: Path, mariadb: MariaDB, mariadb_server: MariaDB
):
    take = "SELECT GET_LOCK('prisma_migrate', 0)"
    with closing(mariadb.connect()) as session, session.cursor() as cursor:
        cursor.execute(take)
        busy = prisma(tmp_path, mariadb).run_to_end()
        assert (busy.code, busy.result["reason"]) == (75, "ToolAtWork"), busy
        assert mariadb.run("SHOW TABLES LIKE 'users'") == []
        assert mariadb.run("SHOW TABLES LIKE '\\_prisma\\_migrations'") == []
    other = create_database(mariadb_server, f"{mariadb.dbname}other")
    mariadb_server.run(f"GRANT ALL ON `{other.dbname}`.* TO %s@'127.0.0.1'", mariadb.user)
    with closing(mariadb.connect()) as session, session.cursor() as cursor:
        cursor.execute(f"USE `{other.dbname}`")
        cursor.execute(take)
        done(prisma(tmp_path, mariadb).run_to_end())


def test_a_database_without_a_history_is_adopted_as_by_resolve_applied(
    tmp_path: Path, mariadb: MariaDB
):
    mariadb.run(FILES[f"{A}.migration.sql"])
    done(prisma(tmp_path, mariadb, migrations={"baseline": A}).run_to_end())
    rows = (
        "SELECT migration_name, logs, applied_steps_count, started_at = finished_at"
        " FROM _prisma_migrations ORDER BY started_at"
    )
    first, (name, *second) = mariadb.run(rows)
    assert first == (A, "", 0, 1)
    assert (name, *second[:2]) == (B, None, 1)


def test_a_folder_may_have_the_longest_name_and_differ_by_case_alone(
    tmp_path: Path, mariadb: MariaDB
):
    # A file system takes 255 bytes, a ConfigMap's key 253.
    long = f"20260120_{'x' * 229}"
    files = FILES | {
        f"{long}.migration.sql": "CREATE TABLE long_one (n int);",
        f"{long}.down.sql": "DROP TABLE long_one;",
        f"{long[:-1]}X.migration.sql": "CREATE TABLE other_one (n int);",
        f"{long[:-1]}X.down.sql": "DROP TABLE other_one;",
    }
    done(prisma(tmp_path, mariadb, files).run_to_end())
    assert applied(mariadb) == [A, B, f"{long[:-1]}X", long]
    done(prisma(tmp_path, mariadb, files, migrations={"to": f"{long[:-1]}X"}).run_to_end())
    assert applied(mariadb) == [A, B, f"{long[:-1]}X"]


@pytest.mark.sampled("a part that stays, of Prisma")
def test_half_a_way_back_is_held_and_goes_on_and_the_row_goes_last(
    tmp_path: Path, mariadb: MariaDB
):
    down = "ALTER TABLE users DROP COLUMN email;\n{} nowhere;"
    broken = FILES | {f"{B}.down.sql": down.format("DROP TABLE")}
    done(prisma(tmp_path, mariadb, broken).run_to_end())
    back = {"migrations": {"to": A}, "order": (("retry", uuid.uuid4().hex),)}
    told = held(prisma(tmp_path, mariadb, broken, migrations={"to": A}).run_to_end(), "HalfDone")
    assert f"done and committed are {B}/down.sql, line 1" in told
    assert (applied(mariadb), mariadb.run(P3009)) == ([A, B], [])
    mended = FILES | {f"{B}.down.sql": down.format("DROP TABLE IF EXISTS")}
    done(prisma(tmp_path, mariadb, mended, **back).run_to_end())
    assert mariadb.run("SELECT migration_name FROM _prisma_migrations") == [(A,)]
    assert mariadb.run("SELECT COUNT(*) FROM whimbrel_piece") == [(0,)]
    done(prisma(tmp_path, mariadb, mended, order=back["order"]).run_to_end())
    assert applied(mariadb) == [A, B]


@pytest.mark.soak
def test_a_table_of_another_name(tmp_path: Path, mariadb: MariaDB):
    named = {"bookkeeping": {"table": "our_migrations"}}
    done(prisma(tmp_path, mariadb, migrations=named).run_to_end())
    assert len(mariadb.run("SELECT * FROM our_migrations")) == 2
    again = prisma(tmp_path, mariadb, migrations=named).run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again
