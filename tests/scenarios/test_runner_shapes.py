"""The whole runner, and what others, or a way back, have left in the catalogue."""

import re
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mariadb import MariaDB
from tests.postgres import Postgres
from tests.processes import ROOT
from tests.runner_process import Answer, Attempt, attempt_on

RUN = uuid.uuid4().hex[:12]
FOURTH = '''"""fourth"""
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN c text")
    op.execute("CREATE INDEX users_c ON users (c)")
def downgrade():
    op.execute("{back}")
'''


@contextmanager
def example_on(database: Postgres | MariaDB, tmp_path: Path) -> Iterator[Attempt]:
    """Give an attempt with a copy of Alembic's example."""
    app = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Attempt(Path(folder), database.url, (), app, name="tool", uid="uid-tool")


@pytest.fixture
def alembic(database: Postgres, tmp_path: Path) -> Iterator[Attempt]:
    with example_on(database, tmp_path) as attempt:
        yield attempt


def ran(attempt: Attempt, number: int, **changes: object) -> Answer:
    run = replace(attempt, run=f"{RUN}-{attempt.name}-{number}", order=(("number", number),))
    answer = replace(run, **changes).run_to_end()
    assert answer.code == 0, answer
    return answer


@pytest.mark.sampled("what a way back leaves")
def test_changes_by_others_are_told_by_name_once_and_block_nobody(
    database: Postgres, alembic: Attempt, tmp_path: Path
):
    files = {"001_a.up.sql": "CREATE TABLE things (id int)", "001_a.down.sql": "DROP TABLE things"}
    sql = attempt_on(database, tmp_path, files)
    assert "warnings" not in ran(sql, 1).result
    # What another object of ours did, with a tool, is no foreign change.
    assert "warnings" not in ran(alembic, 1).result
    assert "warnings" not in ran(sql, 2).result
    database.run("CREATE INDEX by_hand ON things (id)")
    database.run("ALTER TABLE users ADD COLUMN by_hand int")
    database.run("INSERT INTO things VALUES (1)")
    told = ran(alembic, 2)
    assert told.result["outcome"] == "NothingToDo", told
    assert told.result["warnings"] == [
        "ForeignChange: since the last run somebody else has changed public.things (index), "
        "public.users (column)"
    ]
    assert "warnings" not in ran(sql, 3).result
    database.run("UPDATE whimbrel.note SET value = jsonb_set(value, '{0}', '\"00000000/16\"')")
    database.run("DROP INDEX by_hand")
    assert "warnings" not in ran(sql, 4).result  # of another version: not known


def test_a_lock_of_somebody_else_on_a_view_keeps_no_run_open(database: Postgres, tmp_path: Path):
    files = {"001_a.up.sql": "CREATE TABLE things (id int)"}
    database.run("CREATE VIEW seen AS SELECT 1 AS one")
    with database.connect() as other, other.transaction():
        # The server waits for it before it tells what the view says.
        other.execute("LOCK TABLE seen IN ACCESS EXCLUSIVE MODE")
        first = ran(attempt_on(database, tmp_path, files), 1)
    assert (first.result["outcome"], first.result.get("attemptOpen", False)) == ("Done", False)
    assert database.run("SELECT state FROM whimbrel.run") == [("done",)]
    assert database.run("SELECT count(*) FROM whimbrel.note WHERE kind = 'shape'") == [(0,)]
    # Unknown, so nothing is foreign; the next run without a lock knows.
    assert "warnings" not in ran(attempt_on(database, tmp_path, files), 2).result
    assert database.run("SELECT count(*) FROM whimbrel.note WHERE kind = 'shape'") == [(1,)]


def test_a_catalogue_that_may_not_be_read_is_said_and_not_taken_for_unchanged(
    database: Postgres, tmp_path: Path
):
    sql = attempt_on(database, tmp_path, {"001_a.up.sql": "CREATE TABLE things (id int)"})
    ran(sql, 1)
    word = "pg_catalog.pg_get_ruledef(oid)"
    admin = replace(database, user="postgres", password="postgres")
    admin.run(f"REVOKE EXECUTE ON FUNCTION {word} FROM PUBLIC")
    second = replace(sql, run=f"{RUN}-second", order=(("number", 2),))
    refused = second.run_to_end()
    assert (refused.code, refused.result["reason"]) == (75, "LedgerError"), refused
    assert "permission denied for function pg_get_ruledef" in refused.result["message"]
    admin.run(f"GRANT EXECUTE ON FUNCTION {word} TO PUBLIC")
    assert second.next().run_to_end().code == 0


@pytest.mark.parametrize(
    ("back", "warnings"),
    [
        pytest.param("ALTER TABLE users DROP COLUMN c", None, id="as before"),
        pytest.param(
            "DROP INDEX users_c; CREATE TABLE more ()",
            ["NotAsBefore: after the way back this is not as it was before the way up: "
             "public.more (new), public.users (column)"],
            id="something left, something new",
        ),
    ],
)  # fmt: skip
@pytest.mark.sampled("what a way back leaves")
def test_what_a_way_back_leaves_is_told(
    database: Postgres, alembic: Attempt, back: str, warnings: list[str] | None
):
    ran(alembic, 1)
    database.run("CREATE TABLE beside (id int)")
    text = FOURTH.format(back=back)
    (alembic.project / "migrations/versions/0004_fourth.py").write_text(text)
    up = ran(alembic, 2)
    assert [each[:13] for each in up.result["warnings"]] == ["ForeignChange"]
    database.run("CREATE INDEX other ON beside (id)")  # not of this run: only a foreign change
    down = ran(alembic, 3, segment="Rollback")
    told = [each for each in down.result.get("warnings", []) if "ForeignChange" not in each]
    assert (down.result["revision"], told or None) == ("0003", warnings), down


@pytest.mark.parametrize(
    ("server", "table"),
    [
        pytest.param("database", "public.users", id="postgresql"),
        pytest.param("mariadb", "users", id="mariadb"),
    ],
)
@pytest.mark.sampled("what a way back leaves")
def test_columns_that_come_back_in_another_order_are_told_and_are_no_other_change(
    server: str, table: str, request, tmp_path: Path
):
    database: Postgres | MariaDB = request.getfixturevalue(server)
    with example_on(database, tmp_path) as alembic:
        ran(alembic, 1)
        text = re.sub('CREATE INDEX[^"]*', "CREATE TABLE new (a int)", FOURTH)
        text = text.replace("ADD COLUMN c text", "DROP COLUMN full_name")
        text += '    op.execute("DROP TABLE new")\n'
        back = "ALTER TABLE users ADD COLUMN full_name text"
        database.run("ALTER TABLE users ADD COLUMN full_name text, ADD COLUMN later int")
        (alembic.project / "migrations/versions/0004_fourth.py").write_text(text.format(back=back))
        ran(alembic, 2)
        down = ran(alembic, 3, segment="Rollback")
    assert down.result["warnings"] == [
        f"ColumnOrder: after the way back the columns are as before, in another order: {table}"
    ]
    columns = "SELECT column_name FROM information_schema.columns WHERE table_name = 'users'"
    order = [name for (name,) in database.run(f"{columns} ORDER BY ordinal_position")]
    assert order[-2:] == ["later", "full_name"]
