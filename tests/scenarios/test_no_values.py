"""What PostgreSQL quotes of a row in its message reaches neither the result nor the log."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import django_project, sequelize_project, typeorm_shop
from tests.postgres import Postgres
from tests.processes import ROOT
from tests.quoted_values import MARKER
from tests.runner_process import Answer, attempt_on
from tests.scenarios.tool_runs import first_attempt

pytestmark = pytest.mark.sampled("a value of a row")

# Drivers in Python put further lines behind the message, so the first line may end in a value.
ROWS = ("ann-4711@example.org", 'ann"\n4711', "\nann 4711", '4711" is out of range')
CAST = "ALTER TABLE held ALTER COLUMN email TYPE int USING email::int"
ALEMBIC = """
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    op.execute({up!r}.format(4700 + 11))  # a log shows the line itself
"""


def alembic(folder: Path, up: str) -> Path:
    shutil.copytree(ROOT / "examples/tools/alembic", folder)
    (folder / "migrations/versions/0004_new.py").write_text(
        ALEMBIC.format(up=up.replace(MARKER, "{}"))
    )
    return folder


def django(folder: Path, up: str) -> Path:
    django_project.write(django_project.copied(folder), "0004_new", up)
    return folder


def sequelize(folder: Path, up: str) -> Path:
    sequelize_project.write(sequelize_project.copied(folder), "20260104090000-four.js", up)
    return folder


def typeorm(folder: Path, up: str) -> Path:
    typeorm_shop.copied(folder)
    typeorm_shop.migration(folder, "Fourth1767484800000", up=typeorm_shop.query(up))
    return folder


MADE = {each.__name__: each for each in (alembic, django, sequelize, typeorm)}


def failed(database: Postgres, folder: Path, tool: str, up: str) -> Answer:
    """Return the answer to a run whose newest migration is a statement."""
    if tool == "sql":
        return attempt_on(database, folder, {"001_a.up.sql": up}).run_to_end()
    with first_attempt(database, MADE[tool](folder / "app", up), tool) as attempt:
        scheme = "postgresql+psycopg" if tool == "alembic" else "postgresql"
        spec = (*attempt.spec, ("migrations.databaseURL.scheme", scheme))
        return replace(attempt, spec=spec).run_to_end()


@pytest.mark.parametrize("row", ROWS, ids=["plain", "quote and line", "line", "tail"])
@pytest.mark.parametrize("tool", ["sql", *MADE])
def test_a_cast_that_fails_shows_no_row(tool: str, row: str, database: Postgres, tmp_path: Path):
    with database.connect() as session:
        session.execute("CREATE TABLE held (email text)")
        session.execute("INSERT INTO held VALUES (%s)", [row])
    answer = failed(database, tmp_path, tool, CAST)
    assert answer.code == 1, answer
    told = answer.result["message"]
    assert "invalid input syntax for type integer: … (SQLSTATE 22P02)" in told
    assert MARKER not in f"{answer.result}{answer.log}"


@pytest.mark.parametrize("tool", MADE)
def test_a_statement_that_fails_is_shown_up_to_its_first_value(
    tool: str, database: Postgres, tmp_path: Path
):
    answer = failed(database, tmp_path, tool, "INSERT INTO missing VALUES ('4711')")
    assert answer.code == 1, answer
    assert '"missing" does not exist (SQLSTATE 42P01)' in answer.result["message"]
    assert MARKER not in f"{answer.result}{answer.log}"
