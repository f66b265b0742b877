"""Guards of foreign tools that nothing else sees at work."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.processes import ROOT
from tests.scenarios.test_runner_prisma import prisma
from tests.scenarios.tool_runs import first_attempt, to, wait_for_sleep
from tests.sequelize_project import copied

pytestmark = pytest.mark.sampled("Alembic cut short")

HOLDS = """
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN more int")
    op.execute("SELECT pg_sleep(20)")
def downgrade():
    pass
"""


def test_a_tool_that_holds_a_lock_for_too_long_is_ended_and_says_so(
    database: Postgres, tmp_path: Path
):
    """Somebody waits for the table all that time."""
    project = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    with first_attempt(database, project, "alembic") as base:
        scheme = ("migrations.databaseURL.scheme", "postgresql+psycopg")
        attempt = replace(base, spec=(("migrations.tool", "alembic"), scheme))
        assert attempt.run_to_end().code == 0
        (project / "migrations/versions/0004_holds.py").write_text(HOLDS)
        running = to(attempt, "head", 2).start()
        wait_for_sleep(database, running)
        assert database.run("SELECT count(*) FROM users") == [(2,)]
        failed = running.finish()
    assert (failed.code, failed.result["reason"]) == (1, "LockHeldTooLong"), failed
    assert "limits.lockHold" in failed.result["message"]
    assert database.run("SELECT version_num FROM alembic_version") == [("0003",)]


def test_sequelize_takes_the_entry_of_production_where_nothing_names_one(
    database: Postgres, tmp_path: Path
):
    """sequelize-cli itself would take that of development."""
    project = copied(tmp_path / "app")
    with first_attempt(database, project, "sequelize") as attempt:
        config = project / "config/config.js"
        config.write_text("module.exports = { development: { dialect: 'postgres' } };")
        refused = attempt.run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "EnvironmentMissing"), refused
    assert "production" in refused.result["message"]


def test_a_down_that_drops_what_its_up_renamed_waits_for_a_person(
    database: Postgres, tmp_path: Path
):
    """`prisma migrate diff` writes such a way back; salvage covers only what the up had added."""
    first = {
        "20260101_a.migration.sql": "CREATE TABLE users (id int, email text NOT NULL); "
        "INSERT INTO users VALUES (1, 'a@b');",
        "20260101_a.down.sql": "DROP TABLE users;",
    }
    renamed = {
        **first,
        "20260102_r.migration.sql": "ALTER TABLE users RENAME COLUMN email TO address;",
        "20260102_r.down.sql": "ALTER TABLE users DROP COLUMN address, ADD COLUMN email text;",
    }
    assert prisma(tmp_path / "j", database, first).run_to_end().code == 0
    up = prisma(tmp_path / "j", database, renamed, run="renamed", order=(("number", 2),))
    assert up.run_to_end().code == 0
    held = replace(up, segment="Rollback", run="back", order=(("number", 3),)).run_to_end()
    assert (held.code, held.result["reason"]) == (3, "WouldLoseData"), held
    assert "20260102_r/down.sql, line 1 drops column users (address)" in held.result["message"]
    assert database.run("SELECT address FROM users") == [("a@b",)]
