"""`whimbrel run --project DIR` with Alembic: the project's own tool, found on PATH."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import ROOT, Terminal, await_sleeper

pytestmark = pytest.mark.sampled("a tool at the terminal")

SLOW = '''"""one that takes its time"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    op.execute("CREATE TABLE late (n int)")
    op.execute("SELECT pg_sleep(60) FROM gate")


def downgrade():
    op.drop_table("late")
'''


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "project")
    return Terminal(tmp_path, database.url)


def manifest(terminal: Terminal, **migrations: object) -> str:
    source = {"tool": "alembic", "image": "shop:1", "workingDir": "/app"}
    psycopg = {"databaseURL": {"scheme": "postgresql+psycopg"}}
    return terminal.manifest({}, migrations=source | psycopg | migrations)


def test_up_and_back(terminal: Terminal, database: Postgres):
    file = manifest(terminal)
    planned = terminal.type(f"whimbrel plan {file} --project project")
    assert planned.code == 0, planned
    assert database.run("SELECT to_regclass('users')") == [(None,)]
    said = terminal.type(f"whimbrel run {file} --project project -o json")
    assert said.code == 0, said
    assert json.loads(said.out)["revision"] == "0003"
    # The project is remembered: nothing more has to be said.
    back = terminal.type("whimbrel rollback shop --to 0001 -o json")
    assert (back.code, json.loads(back.out)["revision"]) == (0, "0001"), back
    assert json.loads(back.out)["salvage"]
    assert terminal.type("whimbrel history shop").code == 0


def test_without_the_project_it_is_asked_for(terminal: Terminal):
    said = terminal.type(f"whimbrel run {manifest(terminal)}")
    assert (said.code, "--project DIR" in said.err) == (2, True), said


def test_an_unknown_revision_is_one_sentence(terminal: Terminal):
    said = terminal.type(f"whimbrel run {manifest(terminal, to='9999')} --project project")
    assert said.code == 2, said
    assert "9999" in said.err


def test_killed_while_the_tool_runs_and_started_again(terminal: Terminal, database: Postgres):
    (terminal.home / "project/migrations/versions/0004_slow.py").write_text(SLOW)
    database.run("CREATE TABLE gate (n int)")
    database.run("INSERT INTO gate VALUES (1)")
    file = manifest(terminal)
    process = terminal.start(f"whimbrel run {file} --project project")
    await_sleeper(database)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    database.run("TRUNCATE gate")
    said = terminal.type(f"whimbrel run {file} --project project --wait 60s")
    if said.code != 0:
        # Where the end of the tool cannot be proven, a person says so, as printed.
        assert (said.code, "FenceUnproven" in said.err) == (3, True), said
        resolved = terminal.type(said.command)
        said = terminal.type(resolved.command)
    assert said.code == 0, said
    assert database.run("SELECT version_num FROM alembic_version") == [("0004",)]
    assert database.run("SELECT count(*) FROM late") == [(0,)]
