"""MariaDB keeps what was done of a file that failed: a person undoes it, or mends behind it."""

from pathlib import Path

import pytest

from tests.mariadb import MariaDB
from tests.scenarios.held.asking import held, obey
from tests.scenarios.held.conftest import ELSEWHERE
from tests.scenarios.terminal import Said, Terminal

pytestmark = pytest.mark.sampled("half a file on MariaDB")

FILES = {
    "001_users.up.sql": "CREATE TABLE users (id INT PRIMARY KEY, age INT, mail INT);\n"
    "INSERT INTO users VALUES (1, 5, 7);\nCREATE TABLE third (id INT);",
    "001_users.down.sql": "DROP TABLE users; DROP TABLE third;",
}
DROP = "ALTER TABLE users DROP COLUMN age;"
FAILS, GOOD = "INSERT INTO nowhere VALUES (1);", "INSERT INTO third VALUES (1);"


@pytest.fixture
def terminal(tmp_path: Path, mariadb: MariaDB) -> Terminal:
    terminal = Terminal(tmp_path, mariadb.url, ELSEWHERE)
    assert terminal.type(f"whimbrel run {terminal.manifest(FILES)}").code == 0
    return terminal


def write(terminal: Terminal, *lines: str) -> str:
    """Write the manifest with a second file of these lines."""
    return terminal.manifest(FILES | {"002_more.up.sql": "\n".join(lines)} if lines else FILES)


def stopped_half_way(terminal: Terminal, *lines: str) -> Said:
    """Run a file whose last line fails."""
    said = terminal.type(f"whimbrel run {write(terminal, *lines, FAILS)}")
    held(said, "HalfDone")
    return said


def columns(mariadb: MariaDB) -> list[str]:
    return [row[0] for row in mariadb.run("SHOW COLUMNS FROM users")]


def test_what_was_taken_away_and_put_back_is_taken_away_again(terminal: Terminal, mariadb: MariaDB):
    said = stopped_half_way(terminal, DROP)
    held(said, "HalfDone")
    assert "undo by hand what there is of 002_more.up.sql, then retry" in said.err
    mariadb.run("ALTER TABLE users ADD COLUMN age INT")
    write(terminal, DROP, GOOD)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert (columns(mariadb), mariadb.run("SELECT * FROM third")) == (["id", "mail"], [(1,)])


def test_what_was_taken_away_and_put_back_may_have_another_text(
    terminal: Terminal, mariadb: MariaDB
):
    said = stopped_half_way(terminal, DROP)
    mariadb.run("ALTER TABLE users ADD COLUMN age INT")
    write(terminal, "ALTER TABLE users MODIFY age BIGINT;")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert ("age", "bigint(20)") in [row[:2] for row in mariadb.run("SHOW COLUMNS FROM users")]


def test_what_was_taken_away_stays_so_and_the_file_goes_on(terminal: Terminal, mariadb: MariaDB):
    said = stopped_half_way(terminal, DROP)
    write(terminal, DROP, GOOD)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert (columns(mariadb), mariadb.run("SELECT * FROM third")) == (["id", "mail"], [(1,)])


@pytest.mark.parametrize(
    ("first", "undo", "rest"),
    [
        pytest.param(
            "ALTER TABLE users DROP COLUMN mail;", "ALTER TABLE users ADD COLUMN age INT",
            "ALTER TABLE users ADD COLUMN mail INT", id="two were taken away",
        ),
        pytest.param(
            "ALTER TABLE users ADD COLUMN name INT;", "ALTER TABLE users DROP COLUMN name",
            "ALTER TABLE users ADD COLUMN age INT", id="one was made and is gone",
        ),
        pytest.param(
            "CREATE TABLE fourth (id INT);", "DROP TABLE fourth",
            "ALTER TABLE users ADD COLUMN age INT", id="a table was made and is gone",
        ),
    ],
)  # fmt: skip
def test_what_is_undone_in_part_is_asked_for_until_all_of_it_is(
    first: str, undo: str, rest: str, terminal: Terminal, mariadb: MariaDB
):
    said = stopped_half_way(terminal, first, DROP)
    mariadb.run(undo)
    write(terminal, first, DROP, GOOD)
    asked = obey(terminal, said)
    held(asked, "HalfDone")
    assert "was undone by hand, and column users." in asked.err
    assert mariadb.run("SELECT * FROM third") == []
    mariadb.run(rest)
    done = obey(terminal, asked)
    assert done.code == 0, done
    assert "age" not in columns(mariadb)
    assert mariadb.run("SELECT * FROM third") == [(1,)]


def test_what_leaves_no_trace_begins_anew_once_the_file_was_taken_out(
    terminal: Terminal, mariadb: MariaDB
):
    said = stopped_half_way(terminal, "ALTER TABLE users MODIFY age BIGINT;")
    assert "take that file out and retry" in said.err
    mariadb.run("ALTER TABLE users MODIFY age INT")
    other = ("ALTER TABLE users MODIFY age SMALLINT;", GOOD)
    write(terminal, *other)
    asked = obey(terminal, said)
    held(asked, "HalfDone")
    assert "take that file out and retry" in asked.err
    write(terminal)
    done = obey(terminal, asked)
    assert done.code == 0, done
    done = terminal.type(f"whimbrel run {write(terminal, *other)}")
    assert done.code == 0, done
    assert ("age", "smallint(6)") in [row[:2] for row in mariadb.run("SHOW COLUMNS FROM users")]


def test_a_trigger_that_was_dropped_and_made_again_is_dropped_again(
    terminal: Terminal, mariadb: MariaDB
):
    trigger = "CREATE TRIGGER kept BEFORE INSERT ON users FOR EACH ROW SET NEW.age = 1"
    mariadb.run(trigger)
    said = stopped_half_way(terminal, "DROP TRIGGER kept;")
    mariadb.run(trigger)
    write(terminal, "DROP TRIGGER kept;", GOOD)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert mariadb.run("SHOW TRIGGERS") == []
