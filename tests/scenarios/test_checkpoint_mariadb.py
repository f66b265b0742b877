"""Migrations with a checkpoint on MariaDB, by the real runner: taken back, and no write lost."""

import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.checkpoint_shop import until
from tests.db.mariadb_checkpoint_desk import application
from tests.mariadb import MariaDB
from tests.processes import ROOT
from tests.runner_process import Attempt, RunnerProcess
from whimbrel.model.plan import WITHOUT_TOOL

pytestmark = pytest.mark.sampled("a run on MariaDB with a checkpoint")

USERS = """
CREATE TABLE users (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    name varchar(60) NOT NULL,
    mail varchar(60),
    credits int NOT NULL DEFAULT 0 CHECK (credits >= 0),
    UNIQUE KEY by_mail (mail)
)"""
DAMAGE = """
ALTER TABLE users DROP COLUMN mail, ADD COLUMN mood varchar(9) DEFAULT 'fine';
UPDATE users SET credits = credits / 2, name = upper(name);
DELETE FROM users WHERE id % 7 = 0;
INSERT INTO users (name, credits) VALUES ('made by the migration', 1);
CREATE TABLE moods (mood varchar(9) PRIMARY KEY);
INSERT INTO moods VALUES ('fine');
CREATE VIEW happy AS SELECT mood FROM moods;
"""
DAMAGED = {"001_damage.up.sql": DAMAGE, "001_damage.down.sql": "DROP TABLE nothing;"}
FAILS = DAMAGED | {"002_fails.up.sql": "UPDATE nowhere SET n = 1;"}
HALF = {"001_half.up.sql": DAMAGE + "UPDATE nowhere SET n = 1;"}
CHECKPOINT = (("checkpoint", {}), ("strategy", {"type": "Checkpoint"}))
LISTED = ("checkpoint", {"scope": "Tables", "tables": [{"name": "users"}]})


@dataclass
class Writer:
    """An application that writes to `users` and remembers what the server acknowledged."""

    database: MariaDB
    rows: dict[int, tuple[str, int]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    writes: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        """Write until told to stop."""
        with self.database.connect() as session, session.cursor() as cursor:
            while not self.over.wait(0.002):
                try:
                    self._write(cursor)
                    self.writes += 1
                except pymysql.MySQLError as error:
                    self.errors.append(str(error))

    def _write(self, cursor: pymysql.cursors.Cursor) -> None:
        token = self.writes
        if token % 3 == 0 or len(self.rows) < 3:
            told = (f"token {token}", token)
            cursor.execute("INSERT INTO users (name, credits) VALUES (%s, %s)", told)
            self.rows[cursor.lastrowid] = told
            return
        number = sorted(self.rows)[token * 7 % len(self.rows)]
        if token % 3 == 1:
            statement = "UPDATE users SET credits = %s WHERE id = %s"
            if cursor.execute(statement, (token, number)):
                self.rows[number] = (self.rows[number][0], token)
        elif cursor.execute("DELETE FROM users WHERE id = %s", (number,)):
            del self.rows[number]

    def wait(self, more: int = 20) -> None:
        """Wait until it has written so much more."""
        goal = self.writes + more
        until(lambda: self.writes >= goal)


@dataclass(frozen=True)
class Shop:
    """A database with users, an application that writes to it, and what a run does to it."""

    database: MariaDB
    writer: Writer
    thread: threading.Thread
    attempt: Attempt
    before: str

    def run(self, number: int = 1, segment: str = "Migrate", **more: Any) -> dict[str, Any]:
        """Carry out one attempt and return its answer."""
        return self.start(number, segment, **more).finish().result

    def start(self, number: int = 1, segment: str = "Migrate", **more: Any) -> RunnerProcess:
        """Start one attempt."""
        spec = (*self.attempt.spec, *more.pop("spec", ()))
        order = (("number", number), *more.pop("order", ()))
        files = tuple(more.pop("files", dict(self.attempt.files)).items())
        told = replace(
            self.attempt, run=f"run{number}", segment=segment, spec=spec, order=order, files=files,
            **more,
        )  # fmt: skip
        running = told.start()
        if running.tool is not None and segment in WITHOUT_TOOL:
            running.tool.kill()
        return running

    def stop(self) -> None:
        """Let the application write no more."""
        self.writer.over.set()
        self.thread.join()

    def expect_as_before(self) -> None:
        """Check every row, the shape, and that nothing else is there."""
        self.stop()
        assert definition(self.database) == self.before
        found = self.database.run("SELECT id, name, mail, credits FROM users")
        first = {n: (f"first {n}", f"{n}@x", n) for n in range(1, 101)}
        mine = {n: (name, None, credit) for n, (name, credit) in self.writer.rows.items()}
        assert {row[0]: row[1:] for row in found} == first | mine
        tables = {name for (name,) in self.database.run("SHOW TABLES")}
        assert {each for each in tables if "whimbrel_" not in each} <= {"users", "alembic_version"}


def definition(database: MariaDB) -> str:
    told = database.run("SHOW CREATE TABLE users")[0][1]
    head, _, tail = told.rpartition("\n)")
    return head + " ".join(each for each in tail.split() if "AUTO_INCREMENT" not in each)


def opened(database: MariaDB, attempt: Attempt) -> Iterator[Shop]:
    database.run(USERS)
    for n in range(1, 101):
        row = (f"first {n}", f"{n}@x", n)
        database.run("INSERT INTO users (name, mail, credits) VALUES (%s, %s, %s)", *row)
    writer = Writer(application(database))
    thread = threading.Thread(target=writer.work, daemon=True)
    thread.start()
    writer.wait()
    shop = Shop(database, writer, thread, attempt, definition(database))
    try:
        yield shop
    finally:
        shop.stop()


@pytest.fixture
def shop(mariadb: MariaDB, tmp_path: Path) -> Iterator[Shop]:
    attempt = Attempt(tmp_path, mariadb.url, tuple(DAMAGED.items()), spec=CHECKPOINT)
    yield from opened(mariadb, attempt)


@pytest.mark.parametrize("files", [FAILS, HALF], ids=["a later file", "half of a file"])
def test_a_run_that_fails_is_restored(shop: Shop, files: dict[str, str]):
    failed = shop.run(files=files)
    assert (failed["outcome"], failed["reason"]) == ("Failed", "StatementFailed"), failed["message"]
    assert "1 table(s) were restored from the checkpoint of run run1" in failed["message"]
    assert failed["checkpoint"]["state"] == "Restored"
    assert shop.writer.errors == []
    shop.expect_as_before()
    for table in ("applied", "piece", "step"):
        assert shop.database.run(f"SELECT COUNT(*) FROM whimbrel_{table}") == [(0,)]
    assert shop.run(1, "Discard")["outcome"] == "Done"
    assert [name for (name,) in shop.database.run("SHOW TABLES") if "_kept_" in name] == []


LINKED = """
ALTER TABLE orders DROP FOREIGN KEY orders_ibfk_1, ADD COLUMN note text;
DELETE FROM orders;
CREATE TABLE notes (id int PRIMARY KEY, u bigint, FOREIGN KEY (u) REFERENCES users (id));
INSERT INTO notes VALUES (1, 1);
"""


def test_linked_tables_are_restored_with_their_keys(shop: Shop):
    told = "SHOW CREATE TABLE orders"
    shop.database.run(
        "CREATE TABLE orders (id int PRIMARY KEY, u bigint, FOREIGN KEY (u) REFERENCES users (id))"
    )
    shop.database.run("INSERT INTO orders VALUES (1, 1), (2, 2)")
    before = shop.database.run(told)
    # The rename waits for us for longer than a statement may wait for the application.
    limits = ("limits", {"lockTimeout": "3ms"})
    files = {"001_x.up.sql": DAMAGE + LINKED + "UPDATE nowhere SET n = 1;"}
    failed = shop.run(files=files, spec=(limits,))
    assert "2 table(s) were restored from the checkpoint of run run1" in failed["message"]
    assert shop.database.run(told) == before
    assert list(shop.database.run("SELECT * FROM orders")) == [(1, 1), (2, 2)]
    assert shop.writer.errors == []
    with pytest.raises(pymysql.MySQLError, match="foreign key constraint fails"):
        shop.writer.database.run("DELETE FROM users WHERE id = 1")
    assert shop.run(1, "Discard")["outcome"] == "Done"
    shop.database.run("DROP TABLE orders")
    shop.expect_as_before()


def test_a_person_takes_a_run_back_and_writes_made_since_stay(shop: Shop):
    done = shop.run()
    assert (done["outcome"], done["reason"]) == ("Done", "Applied"), done["message"]
    assert done["checkpoint"]["restorable"] is True
    assert done["checkpoint"]["tables"] == [f"{shop.database.dbname}.users"]
    shop.writer.wait(100)
    back = shop.run(2, "Rollback")
    assert (back["outcome"], back["reason"]) == ("RolledBack", "RolledBack"), back
    assert "restored from the checkpoint of run run1" in back["message"]
    assert shop.writer.errors == []
    shop.expect_as_before()
    again = shop.run(3)
    assert (again["outcome"], again["reason"]) == ("Held", "WasRolledBack"), again


def test_a_red_check_in_the_window_of_the_run_restores(shop: Shop):
    release = (("release", True),)
    assert shop.run(order=release)["goesOn"] is True
    shop.writer.wait(50)
    back = shop.run(1, "Rollback", attempt=2, order=release)
    assert back["outcome"] == "RolledBack", back["message"]
    again = shop.run(1, "Rollback", attempt=3, order=release)
    assert (again["outcome"], again["message"]) == ("RolledBack", back["message"])
    shop.expect_as_before()


def test_a_conflict_holds_where_that_is_asked_and_a_person_may_let_it_go(shop: Shop):
    hold = ("checkpoint", {"onConflict": "Hold"})
    shop.run(spec=(hold,))
    shop.writer.database.run("UPDATE users SET mood = 'sad' WHERE id = 3")
    held = shop.run(2, "Rollback", spec=(hold,))
    assert held["outcome"] == "Held", held["message"]
    assert "have no place in the tables as they were" in held["message"]
    assert shop.database.run("SELECT mood FROM users WHERE id = 3") == [("sad",)]
    back = shop.run(3, "Rollback")
    assert back["outcome"] == "RolledBack", back["message"]
    assert "1 value(s) have no place" in back["message"]
    shop.expect_as_before()
    assert shop.run(1, "Discard")["outcome"] == "Done"
    assert shop.database.run("SELECT * FROM whimbrel_checkpoint_conflict") == []
    ((kept,),) = shop.database.run("SELECT kept FROM whimbrel_checkpoint_table")
    shop.database.run(f"CREATE TABLE `whimbrel_{kept}` (n int)")
    left = shop.run(1, "Discard", attempt=2)
    assert (left["outcome"], left["reason"]) == ("NotFinished", "CheckpointLeft"), left
    assert f"whimbrel_{kept}" in left["message"]
    shop.database.run(f"DROP TABLE `whimbrel_{kept}`")


def test_a_journal_is_looked_at_also_where_the_session_for_that_was_lost(shop: Shop):
    """Every session of ours that is idle ends: who watches comes again."""
    slow = DAMAGED | {"002_slow.up.sql": "SELECT SLEEP(60);"}
    small = ("checkpoint", LISTED[1] | {"maxJournal": "16Mi"})
    running = shop.start(files=slow, spec=(small,))
    admin, mine = shop.database.admin(), "FROM information_schema.PROCESSLIST WHERE USER = %s"
    asleep, idle = f"SELECT ID {mine} AND INFO LIKE 'SELECT SLEEP%%'", f"SELECT ID {mine} AND"
    until(lambda: admin.run(asleep, shop.database.user))
    for (number,) in admin.run(f"{idle} COMMAND = 'Sleep'", shop.database.user):
        admin.run(f"KILL {number}")
    app = shop.writer.database
    while admin.run(asleep, shop.database.user):
        app.run("INSERT INTO users (name) SELECT 'burst' FROM users a, users b LIMIT 2000")
        app.run("DELETE FROM users WHERE name = 'burst'")
    failed = running.finish().result
    assert (failed["outcome"], failed["reason"]) == ("Failed", "JournalFull"), failed["message"]
    shop.expect_as_before()


def test_the_plan_says_it_all_before_anything_starts(shop: Shop):
    answer = replace(shop.attempt, segment="Look").run_to_end()
    assert "way back while it runs: rung 3" in answer.log
    assert "users" in answer.log
    shop.expect_as_before()


@pytest.mark.parametrize(
    ("made", "file", "said"),
    [
        ("CREATE TABLE log (told text)", "UPDATE log SET told = 'x'", "it has no primary key"),
        ("CREATE TABLE log (n int PRIMARY KEY) ENGINE=MyISAM", "DELETE FROM log", "MyISAM"),
        ("CREATE TABLE log (n int PRIMARY KEY)", "CALL nothing()", "is a CALL"),
        (
            "CREATE TABLE log (n int PRIMARY KEY, u bigint,"
            " FOREIGN KEY (u) REFERENCES users (id) ON DELETE CASCADE)",
            "UPDATE users SET credits = 1",
            "the foreign key log_ibfk_1 of log to users changes rows by itself",
        ),
    ],
)
def test_what_cannot_be_proven_is_refused_in_one_sentence(
    shop: Shop, made: str, file: str, said: str
):
    shop.stop()
    shop.database.run(made)
    told = shop.run(files={"001_x.up.sql": file})
    assert told["outcome"] == "Refused", told
    assert said in told["message"]
    assert "\n" not in told["message"]
    tables = {name for (name,) in shop.database.run("SHOW TABLES")}
    assert not [each for each in tables if "_clone_" in each or "_journal_" in each]
    assert shop.database.run("SHOW TRIGGERS") == []
    shop.database.run("DROP TABLE log")
    shop.expect_as_before()


def test_a_login_that_the_application_uses_too_is_refused(shop: Shop):
    with shop.database.connect():
        told = shop.run()
    assert (told["outcome"], told["reason"]) == ("Refused", "LoginShared"), told
    shop.expect_as_before()


ALEMBIC = '''"""{0}"""
from alembic import op
revision = "{0}"
down_revision = {1}
def upgrade():
{2}
def downgrade():
    raise NotImplementedError
'''


def test_alembic_that_fails_half_way_is_restored(mariadb: MariaDB, tmp_path: Path):
    project = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    versions = project / "migrations/versions"
    for each in versions.glob("*.py"):
        each.unlink()
    statements = [each for each in DAMAGE.strip().split(";\n") if each] + ["SELECT * FROM nowhere"]
    (versions / "0001.py").write_text(ALEMBIC.format("0001", None, "    pass"))
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        attempt = Attempt(Path(folder), mariadb.url, (), project, spec=(LISTED,))
        for shop in opened(mariadb, attempt):
            assert shop.run(1)["outcome"] == "Done"
            lines = "\n".join(f"    op.execute({each.rstrip(';')!r})" for each in statements)
            (versions / "0002.py").write_text(ALEMBIC.format("0002", '"0001"', lines))
            failed = shop.run(2)
            assert failed["outcome"] == "Failed", failed["message"]
            assert "2 table(s) were restored from the checkpoint" in failed["message"]
            assert shop.writer.errors == []
            shop.expect_as_before()
            assert mariadb.run("SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_mapping_is_refused_before_anything_runs(shop: Shop):
    mapping = {"table": {"name": "users"}, "from": "mail", "to": "email"}
    told = shop.run(spec=(("checkpoint", {"mappings": [mapping]}),))
    assert (told["outcome"], told["reason"]) == ("Refused", "CheckpointNotPossible"), told
    assert "checkpoint.mappings cannot be followed on MariaDB" in told["message"]
    shop.expect_as_before()
