"""The whole runner with a real Alembic project on a real MariaDB, behind the real launcher."""

import signal
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.db.orders import until
from tests.mariadb import MariaDB
from tests.runner_process import Attempt
from tests.scenarios.test_runner_mariadb import at_work, columns, tables

pytestmark = pytest.mark.sampled("a tool on MariaDB")

RUN = f"run-{uuid.uuid4().hex[:12]}"
INI = "[alembic]\nscript_location = migrations\nsqlalchemy.url = mysql+pymysql://nobody@nowhere/x\n"
ENV = """
from alembic import context
from sqlalchemy import create_engine

with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
MIGRATION = '''"""{title}"""
import sqlalchemy as sa
from alembic import op
revision = "{id}"
down_revision = {down}
def upgrade():
    {up}
def downgrade():
    {back}
'''


def write(project: Path, number: str, down: str | None, up: str, back: str = "pass") -> None:
    """Write a migration."""
    text = MIGRATION.format(
        title=f"m{number}", id=number, down=repr(down), up=up.replace("\n", "\n    "), back=back
    )
    (project / f"migrations/versions/{number}_m.py").write_text(text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "migrations/versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text(INI)
    (folder / "migrations/env.py").write_text(ENV)
    table = 'op.create_table("users", sa.Column("id", sa.Integer, primary_key=True))'
    write(folder, "0001", None, table, 'op.drop_table("users")')
    column = 'op.add_column("users", sa.Column("email", sa.String(60)))\n'
    rows = "op.execute(\"INSERT INTO users VALUES (1, 'ann@example.org')\")"
    write(folder, "0002", "0001", column + rows, 'op.drop_column("users", "email")')
    return folder


@pytest.fixture
def attempt(mariadb: MariaDB, project: Path) -> Iterator[Attempt]:
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Attempt(Path(folder), mariadb.url, (), project, run=RUN)


@pytest.mark.soak  # the matrix has most of it
def test_up_again_and_back(attempt: Attempt, mariadb: MariaDB):
    """The scheme in the object is PostgreSQL's: the tool's own for this server is taken."""
    up = attempt.run_to_end()
    assert (up.code, up.result.get("revision")) == (0, "0002"), up
    again = replace(attempt, run=f"{RUN}b").run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again
    order = (("to", "0001"),)
    back = replace(attempt, run=f"{RUN}c", segment="Rollback", order=order).run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    assert columns(mariadb, "users") == ["id"]
    kept = [f"`whimbrel_{name}`" for name in back.result["salvage"]]
    (users,) = [table for table in kept if "email" in columns(mariadb, table)]
    assert mariadb.run(f"SELECT email FROM {users}") == [("ann@example.org",)]
    assert mariadb.run("SELECT version_num FROM alembic_version") == [("0001",)]


def test_the_parts_of_the_connection_as_another_operator_writes_them(
    attempt: Attempt, mariadb: MariaDB
):
    """The names of the keys are those that mariadb-operator gives."""
    named = {"secretRef": {"name": "db"}, "name": "database", "engine": "MariaDB"}
    mounted = attempt.root / "database"
    mounted.mkdir(parents=True)
    parts = {"host": "127.0.0.1", "port": str(mariadb.port), "name": mariadb.dbname}
    parts |= {"user": mariadb.user, "password": mariadb.password}
    for name, value in parts.items():
        (mounted / name).write_text(value)
    given = (("database", {"partsFrom": named}),)
    up = replace(attempt, url="", spec=given).run_to_end()
    assert (up.code, up.result.get("revision")) == (0, "0002"), up
    assert mariadb.password not in up.log


def test_half_a_migration_is_held_and_not_called_rolled_back(
    attempt: Attempt, project: Path, mariadb: MariaDB
):
    table = 'op.create_table("half", sa.Column("id", sa.Integer))'
    write(project, "0003", "0002", f'{table}\nop.execute("INSERT INTO no SELECT 1")')
    held = attempt.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert "error 1146" in held.result["message"]
    assert "stay: [0003: CREATE TABLE half ( id INTEGER )];" in held.result["message"]
    assert "half" in tables(mariadb)
    mariadb.run("DROP TABLE half")
    write(project, "0003", "0002", table)
    retried = replace(attempt, run=f"{RUN}b", order=(("retry", "now"),)).run_to_end()
    assert (retried.code, retried.result["revision"]) == (0, "0003"), retried


def test_rows_that_a_failing_ddl_committed_are_held_too(
    attempt: Attempt, project: Path, mariadb: MariaDB
):
    """The schema is as before, and nobody tells which statements were carried out."""
    rows = "op.execute(\"INSERT INTO users VALUES (2, 'bob@example.org')\")"
    write(project, "0003", "0002", f'{rows}\nop.execute("ALTER TABLE nothing ADD n int")')
    held = attempt.run_to_end()
    assert mariadb.run("SELECT count(*) FROM users") == [(2,)]
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert "stay: [0003: INSERT INTO users VALUES (…];" in held.result["message"]


@pytest.mark.soak
def test_a_killed_runner_leaves_a_tool_that_is_ended_and_seen_gone(
    attempt: Attempt, project: Path, mariadb: MariaDB
):
    write(project, "0003", "0002", 'op.execute("UPDATE users SET email = SLEEP(600)")')
    running = attempt.start()
    until(lambda: at_work(mariadb, "UPDATE users SET email = SLEEP(600)"))
    running.process.send_signal(signal.SIGKILL)
    running.finish()
    write(project, "0003", "0002", 'op.execute("UPDATE users SET email = 7")')
    answer = attempt.next().run_to_end()
    assert answer.code in {0, 3}, answer
    assert not at_work(mariadb, "UPDATE users SET email = SLEEP(600)")
    if answer.code == 3:
        answer = replace(attempt, run=f"{RUN}b", order=(("retry", "now"),)).run_to_end()
    assert (answer.code, answer.result["revision"]) == (0, "0003"), answer
    assert mariadb.run("SELECT email FROM users") == [("7",)]
