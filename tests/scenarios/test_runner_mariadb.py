"""The real runner as a process against a real MariaDB: one story each."""

import signal
from pathlib import Path

import pytest

from tests.db.orders import until
from tests.mariadb import MariaDB
from tests.runner_process import Answer, Attempt, RunnerProcess, attempt_on

pytestmark = pytest.mark.sampled("a run on MariaDB")

FILES = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY, name varchar(40), KEY n (name));",
    "001_users.down.sql": "DROP TABLE users;",
    "002_email.up.sql": (
        "ALTER TABLE users ADD COLUMN email varchar(60);\n"
        "REPLACE INTO users VALUES (1, 'a;b', 'ann@example.org');"
    ),
    "002_email.down.sql": "ALTER TABLE users DROP COLUMN email;",
}
BROKEN_UP = """\
-- half of this is there when the third statement fails
CREATE TABLE third (id int);
ALTER TABLE users ADD COLUMN age int;

INSERT INTO nowhere VALUES (1);
"""
BROKEN_DOWN = "ALTER TABLE users DROP COLUMN age;\nDROP TABLE third;"
BROKEN = {"003_broken.up.sql": BROKEN_UP, "003_broken.down.sql": BROKEN_DOWN}


def tables(database: MariaDB) -> set[str]:
    """Return the names of tables besides the ledger's."""
    return {name for (name,) in database.run("SHOW TABLES") if not name.startswith("whimbrel_")}


def columns(database: MariaDB, table: str) -> list[str]:
    return [row[0] for row in database.run(f"SHOW COLUMNS FROM {table}")]


def at_work(database: MariaDB, doing: str) -> bool:
    """Return whether the server itself says that such a statement runs."""
    asked = "SELECT 1 FROM information_schema.PROCESSLIST WHERE INFO LIKE %s"
    return bool(database.admin().run(asked + " AND ID <> CONNECTION_ID()", doing))


def killed_at(process: RunnerProcess, database: MariaDB, doing: str) -> Answer:
    """Kill the runner once the server says that a statement runs."""
    until(lambda: at_work(database, doing))
    process.process.send_signal(signal.SIGKILL)
    return process.finish()


@pytest.mark.sampled("the main path")
def test_up_again_down_and_up(mariadb: MariaDB, tmp_path: Path):
    first = attempt_on(mariadb, tmp_path, FILES).run_to_end()
    assert (first.code, first.result["outcome"], first.result["revision"]) == (0, "Done", "002")
    again = attempt_on(mariadb, tmp_path, FILES, run="run2").run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again
    mariadb.run("UPDATE users SET email = 'new@example.org'")
    order = (("to", "001"),)
    back = attempt_on(
        mariadb, tmp_path, FILES, run="run3", segment="Rollback", order=order
    ).run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    assert columns(mariadb, "users") == ["id", "name"]
    (kept,) = back.result["salvage"]
    assert mariadb.run(f"SELECT id, email FROM `whimbrel_{kept}`") == [(1, "new@example.org")]
    refused = attempt_on(mariadb, tmp_path, FILES, run="run4").run_to_end()
    assert (refused.code, refused.result["reason"]) == (3, "WasRolledBack"), refused
    more = (("retry", "now"),)
    up = attempt_on(mariadb, tmp_path, FILES, run="run5", order=more).run_to_end()
    assert (up.code, up.result["revision"]) == (0, "002"), up


def test_look_writes_nothing(mariadb: MariaDB, tmp_path: Path):
    answer = attempt_on(mariadb, tmp_path, FILES, segment="Look").run_to_end()
    assert answer.code == 0, answer
    assert mariadb.run("SHOW TABLES") == []
    assert "002_email.up.sql, statement by statement" in answer.log
    assert "commits each DDL statement by itself" in answer.log


def test_a_way_back_whose_foreign_key_would_take_older_rows_along_is_held(
    mariadb: MariaDB, tmp_path: Path
):
    mariadb.run("CREATE TABLE users (id int PRIMARY KEY, place int) ENGINE=InnoDB")
    mariadb.run("INSERT INTO users VALUES (1, 1)")
    files = {
        "001_places.up.sql": "CREATE TABLE places (id int PRIMARY KEY) ENGINE=InnoDB;\n"
        "INSERT INTO places VALUES (1);\nALTER TABLE users ADD CONSTRAINT lives FOREIGN KEY (place)"
        " REFERENCES places (id) ON DELETE CASCADE;",
        "001_places.down.sql": "DELETE FROM places;\nALTER TABLE users DROP FOREIGN KEY lives;\n"
        "ALTER TABLE users DROP KEY lives;\nDROP TABLE places;",
    }
    assert attempt_on(mariadb, tmp_path, files).run_to_end().code == 0
    back = attempt_on(mariadb, tmp_path, files, run="run2", segment="Rollback").run_to_end()
    assert (back.code, back.result["reason"]) == (3, "WouldLoseData"), back
    assert f"deletes rows of table {mariadb.dbname}.users" in back.result["message"]
    assert mariadb.run("SELECT * FROM users") == [(1, 1)]
    lines = files["001_places.down.sql"].splitlines()
    files["001_places.down.sql"] = "\n".join((*lines[1:3], lines[0], lines[3]))
    back = attempt_on(mariadb, tmp_path, files, run="run3", segment="Rollback").run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    assert mariadb.run("SELECT * FROM users") == [(1, 1)]


def test_what_was_done_of_a_file_that_fails_is_taken_back(mariadb: MariaDB, tmp_path: Path):
    attempt_on(mariadb, tmp_path, FILES).run_to_end()
    before = mariadb.run("SHOW CREATE TABLE users")
    answer = attempt_on(mariadb, tmp_path, FILES | BROKEN, run="run2").run_to_end()
    assert answer.code == 1, answer
    message = answer.result["message"]
    for part in ("003_broken.up.sql, line 5", "error 1146", "as before", "its down file"):
        assert part in message, message
    assert (tables(mariadb), mariadb.run("SHOW CREATE TABLE users")) == ({"users"}, before)
    assert mariadb.run("SELECT COUNT(*) FROM whimbrel_piece") == [(0,)]


def test_a_later_file_fails_and_the_run_is_taken_back(mariadb: MariaDB, tmp_path: Path):
    files = {name: text for name, text in FILES.items() if name.startswith("001")} | BROKEN
    answer = attempt_on(mariadb, tmp_path, files).run_to_end()
    assert answer.code == 1, answer
    assert "the earlier transactions of this run were taken back" in answer.result["message"]
    assert tables(mariadb) == set()


@pytest.mark.sampled("the main path")
@pytest.mark.parametrize(
    ("down", "told"),
    [
        pytest.param(None, "there is no down file", id="no way back was written"),
        pytest.param(
            "ALTER TABLE users DROP COLUMN name;\nDROP TABLE third;",
            "belongs to the part that was done cannot be told",
            id="a way back that would drop what is older",
        ),
        pytest.param(
            "ALTER TABLE users DROP COLUMN age;",
            "the schema is not as before the file",
            id="a way back that forgets something",
            marks=pytest.mark.soak,
        ),
        pytest.param(
            "ALTER TABLE users DROP COLUMN age;\nDROP TABLE third;\n"
            "UPDATE users SET name = 'x';\nDELETE FROM users;",
            "cannot be told",
            id="a way back with a statement of no known meaning",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_what_stays_is_never_called_rolled_back(
    down: str | None, told: str, mariadb: MariaDB, tmp_path: Path
):
    attempt_on(mariadb, tmp_path, FILES).run_to_end()
    files = FILES | {"003_broken.up.sql": BROKEN_UP}
    if down is not None:
        files["003_broken.down.sql"] = down
    answer = attempt_on(mariadb, tmp_path, files, run="run2").run_to_end()
    assert (answer.code, answer.result["reason"]) == (3, "HalfDone"), answer
    message = answer.result["message"]
    assert told in message, message
    assert "NOT as before" in message
    assert "003_broken.up.sql, line 2; 003_broken.up.sql, line 3" in message
    assert answer.result["command"] == "whimbrel retry shop -n team"


@pytest.mark.soak
def test_after_a_person_decided_it_goes_on_or_begins_anew(mariadb: MariaDB, tmp_path: Path):
    attempt_on(mariadb, tmp_path, FILES).run_to_end()
    files = FILES | {"003_broken.up.sql": BROKEN_UP}
    attempt_on(mariadb, tmp_path, files, run="run2").run_to_end()
    back = attempt_on(mariadb, tmp_path, FILES, run="run3", segment="Rollback", order=(
        ("to", "001"), ("number", 2))).run_to_end()  # fmt: skip
    assert (back.code, back.result["reason"]) == (3, "HalfDone"), back
    other = {"003_broken.up.sql": BROKEN_UP.replace("third", "fourth")}
    told = attempt_on(mariadb, tmp_path, FILES | other, run="run4", order=(("number", 3),))
    assert "another text" in told.run_to_end().result["message"]
    mended = {"003_broken.up.sql": BROKEN_UP.replace("nowhere", "third")}
    up = attempt_on(mariadb, tmp_path, FILES | mended, run="run5", order=(("number", 4),))
    answer = up.run_to_end()
    assert (answer.code, answer.result["revision"]) == (0, "003"), answer
    assert mariadb.run("SELECT id FROM third") == [(1,)]
    # And where all of it was undone by hand, a mended file begins anew.
    later = {"004_more.up.sql": "CREATE TABLE more (id int);\nINSERT INTO nowhere VALUES (1);"}
    files = FILES | mended | later
    held = attempt_on(mariadb, tmp_path, files, run="run6", order=(("number", 5),)).run_to_end()
    assert held.result["reason"] == "HalfDone", held
    mariadb.run("DROP TABLE more")
    files["004_more.up.sql"] = "CREATE TABLE more (id int, good int);"
    anew = attempt_on(mariadb, tmp_path, files, run="run7", order=(("number", 6),)).run_to_end()
    assert (anew.code, anew.result["revision"]) == (0, "004"), anew


@pytest.mark.soak
def test_a_file_that_was_given_up_is_let_go_by_a_retry(mariadb: MariaDB, tmp_path: Path):
    files = FILES | {"003_broken.up.sql": BROKEN_UP}
    spec = (("rollback.onFailure", "Manual"),)
    attempt_on(mariadb, tmp_path, files, spec=spec).run_to_end()
    given_up = attempt_on(mariadb, tmp_path, FILES, run="run2", order=(("number", 2),))
    assert given_up.run_to_end().result["reason"] == "HalfDone"
    mariadb.run("DROP TABLE third")
    mariadb.run("ALTER TABLE users DROP COLUMN age")
    retry = (("number", 3), ("retry", "now"))
    retried = attempt_on(mariadb, tmp_path, FILES, run="run3", order=retry).run_to_end()
    assert (retried.code, retried.result["revision"]) == (0, "002"), retried
    order = (("to", "001"), ("number", 4))
    back = attempt_on(mariadb, tmp_path, FILES, run="run4", segment="Rollback", order=order)
    assert back.run_to_end().result["outcome"] == "RolledBack"


@pytest.mark.soak  # the matrix has it for every tool
def test_two_at_once_apply_once(mariadb: MariaDB, tmp_path: Path):
    mariadb.run("CREATE TABLE held (id int PRIMARY KEY)")
    mariadb.run("INSERT INTO held VALUES (1)")
    files = {"001_a.up.sql": "UPDATE held SET id = id + 1;"}
    with mariadb.connect() as holder, holder.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT id FROM held FOR UPDATE")
        first = attempt_on(mariadb, tmp_path, files).start()
        until(lambda: at_work(mariadb, "UPDATE held%"))
        second = attempt_on(
            mariadb, tmp_path, files, name="other", uid="uid-other", run="run2"
        ).run_to_end()
        cursor.execute("ROLLBACK")
    assert (second.code, second.result["reason"]) == (75, "Waiting"), second
    assert "team/shop" in second.result["message"]
    assert first.finish().code == 0
    assert mariadb.run("SELECT id FROM held") == [(2,)]


def next_attempt(attempt: Attempt) -> Answer:
    return attempt.next().run_to_end()


def test_killed_in_rows_nothing_of_them_stays_and_the_next_attempt_goes_on(
    mariadb: MariaDB, tmp_path: Path
):
    mariadb.run("CREATE TABLE naps AS SELECT 600 AS seconds")
    nap = "UPDATE users, naps SET email = SLEEP(seconds)"
    slow = {
        **FILES,
        "002_email.up.sql": (
            "ALTER TABLE users ADD COLUMN email varchar(60);\n"
            f"INSERT INTO users VALUES (1, 'a', '');\n{nap};\n"
        ),
    }
    attempt = attempt_on(mariadb, tmp_path, slow)
    killed_at(attempt.start(), mariadb, nap)
    assert mariadb.run("SELECT direction, ordinal, state FROM whimbrel_piece") == [
        ("up", 0, "started"), ("up", 1, "done"),
    ]  # fmt: skip
    mariadb.run("UPDATE naps SET seconds = 0")
    answer = attempt.next().run_to_end()
    assert (answer.code, answer.result["revision"]) == (0, "002"), answer
    assert answer.result["fence"] == "Epoch"
    assert mariadb.run("SELECT id, email FROM users") == [(1, "0")]


@pytest.mark.parametrize(
    ("statement", "shape"),
    [
        pytest.param(
            "ALTER TABLE big MODIFY v bigint NOT NULL, ALGORITHM=COPY",
            "bigint(20)",
            id="DDL that was in flight",
        ),
    ],
)
def test_killed_in_ddl_the_catalogue_says_what_became_of_it(
    statement: str, shape: str, mariadb: MariaDB, tmp_path: Path
):
    mariadb.run("CREATE TABLE big (id int PRIMARY KEY, v int NOT NULL)")
    mariadb.run("INSERT INTO big SELECT seq, seq FROM seq_1_to_200000")
    files = {"001_big.up.sql": f"{statement};\nINSERT INTO big VALUES (0, 5000000000);"}
    attempt = attempt_on(mariadb, tmp_path, files)
    killed_at(attempt.start(), mariadb, "ALTER TABLE big MODIFY%")
    answer = next_attempt(attempt)
    assert (answer.code, answer.result["revision"]) == (0, "001"), answer
    assert mariadb.run("SHOW COLUMNS FROM big LIKE 'v'")[0][1] == shape
    assert mariadb.run("SELECT v FROM big WHERE id = 0") == [(5000000000,)]


@pytest.mark.soak  # the matrix has it for every tool
def test_edited_file_is_refused(mariadb: MariaDB, tmp_path: Path):
    attempt_on(mariadb, tmp_path, FILES).run_to_end()
    edited = FILES | {"001_users.up.sql": FILES["001_users.up.sql"] + " "}
    answer = attempt_on(mariadb, tmp_path, edited, run="run2").run_to_end()
    assert (answer.code, answer.result["reason"]) == (2, "EditedFile"), answer


def test_a_syntax_error_is_found_before_the_first_statement(mariadb: MariaDB, tmp_path: Path):
    files = {"001_a.up.sql": "CREATE TABLE a (id int);\nALTER TABEL a ADD COLUMN b int;"}
    answer = attempt_on(mariadb, tmp_path, files).run_to_end()
    assert (answer.code, answer.result["reason"]) == (1, "StatementFailed"), answer
    assert "001_a.up.sql, line 2" in answer.result["message"]
    assert tables(mariadb) == set()


def test_one_manifest_two_servers(database, mariadb: MariaDB, tmp_path: Path):
    files = {
        "001_tags.postgresql.up.sql": "CREATE TABLE tags (id int PRIMARY KEY, data jsonb);",
        "001_tags.postgresql.down.sql": "DROP TABLE tags;",
        "001_tags.mysql.up.sql": "CREATE TABLE tags (id int PRIMARY KEY, data json);",
        "001_tags.mysql.down.sql": "DROP TABLE tags;",
        "002_more.up.sql": "ALTER TABLE tags ADD COLUMN more int;",
    }
    for number, server in enumerate((database, mariadb)):
        answer = attempt_on(server, tmp_path, files, run=f"run{number}").run_to_end()
        assert (answer.code, answer.result.get("revision")) == (0, "002"), answer


def test_rows_of_a_duplicate_are_not_told(mariadb: MariaDB, tmp_path: Path):
    files = {
        "001_a.up.sql": "CREATE TABLE a (mail varchar(40) PRIMARY KEY);",
        "002_a.up.sql": "INSERT INTO a VALUES ('ann@example.org'), ('ann@example.org');",
    }
    answer = attempt_on(mariadb, tmp_path, files).run_to_end()
    assert "error 1062" in answer.result["message"], answer
    assert "Duplicate entry for key" in answer.result["message"]
