"""The whole runner with a real Alembic project, behind the real launcher."""

import shutil
import signal
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.processes import ROOT, is_dead_within
from tests.runner_process import Attempt, RunnerProcess

SLOW = '''"""slow"""
from alembic import op
revision = "0004"
down_revision = "0003"
def upgrade():
    op.execute("SELECT pg_sleep(20)")
def downgrade():
    pass
'''
BROKEN = SLOW.replace("pg_sleep(20)", "nonsense()")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))


@pytest.fixture
def attempt(database: Postgres, project: Path, tmp_path: Path) -> Attempt:
    return Attempt(tmp_path, database.url, (), project)


def may_make_roles(database: Postgres) -> None:
    """Make a login that may make roles and grant the owner, which PostgreSQL 16 wants said."""
    admin = replace(database, user="postgres", password="postgres")
    admin.run(f"CREATE ROLE {database.user}_login LOGIN PASSWORD 'x' CREATEROLE")
    admin.run(f"GRANT {database.user} TO {database.user}_login WITH ADMIN OPTION")
    admin.run(f"ALTER ROLE {database.user}_login SET role = '{database.user}'")


def test_up_again_and_back(attempt: Attempt, database: Postgres):
    up = attempt.run_to_end()
    assert (up.code, up.result.get("revision")) == (0, "0003"), up
    again = replace(attempt, run="run2").run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again
    back = replace(attempt, run="run3", segment="Rollback").run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    assert database.run("SELECT count(*) FROM alembic_version") == [(0,)]


def test_failing_middle_migration_leaves_everything_as_before(
    attempt: Attempt, project: Path, database: Postgres
):
    (project / "migrations/versions/0004_broken.py").write_text(BROKEN)
    answer = attempt.run_to_end()
    assert answer.code == 1, answer
    assert "as before" in answer.result["message"]
    assert "42883" in answer.result["message"] or "nonsense" in answer.result["message"]
    assert database.run("SELECT to_regclass('alembic_version')") == [(None,)]


def wait_for_sleep(database: Postgres, running: RunnerProcess) -> None:
    """Wait until the tool's statement runs; a runner that ended instead says why."""
    # Only a superuser sees what the tool's own login runs.
    admin = replace(database, user="postgres", password="postgres")
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(20)%%'"
    query += " AND state = 'active' AND datname = current_database() AND pid <> pg_backend_pid()"
    while admin.run(query) == [(0,)]:
        assert running.process.poll() is None, running.finish()


@dataclass(frozen=True)
class Killed:
    """A run whose runner was killed while the tool's statement ran."""

    attempt: Attempt
    project: Path


def killed(attempt: Attempt, project: Path, database: Postgres) -> Killed:
    slow = project / "migrations/versions/0004_slow.py"
    slow.write_text(SLOW)
    running = attempt.start()
    wait_for_sleep(database, running)
    running.process.kill()
    assert running.tool is not None
    assert is_dead_within(running.tool.pid, 5)
    running.finish()
    slow.write_text(SLOW.replace("pg_sleep(20)", "1"))
    return Killed(replace(attempt, attempt=2, machine=""), project)


def test_killed_runner_takes_the_tool_along_and_this_machine_proves_it(
    attempt: Attempt, project: Path, database: Postgres
):
    answer = killed(attempt, project, database).attempt.run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer
    assert answer.result["fence"] == "Process"


@pytest.mark.parametrize(
    ("order", "fence"),
    [
        pytest.param({"ended": ["Migrate/1"]}, "Kubelet", id="the kubelet says so"),
        pytest.param(
            {"resolution": {"verdict": "FenceProven", "run": "run1", "by": "ada"}},
            "FenceProven",
            id="a person says so",
        ),
    ],
)
def test_lost_machine_needs_a_proof(
    order: dict, fence: str, attempt: Attempt, project: Path, database: Postgres
):
    lost = killed(replace(attempt, machine="another-node"), project, database).attempt
    held = lost.run_to_end()
    assert (held.code, held.result["reason"]) == (3, "FenceUnproven"), held
    assert held.result["command"].startswith("whimbrel resolve shop -n team --as FenceProven")
    answer = replace(lost, attempt=3, order=tuple(order.items())).run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer
    assert answer.result["fence"] == fence


def test_a_login_of_its_own_is_the_fence(attempt: Attempt, project: Path, database: Postgres):
    may_make_roles(database)
    url = database.url.replace(f"{database.user}:{database.password}", f"{database.user}_login:x")
    attempt = replace(attempt, url=url, machine="another-node")
    answer = killed(attempt, project, database).attempt.run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, "0004"), answer
    assert answer.result["fence"] == "Role"
    owners = database.run("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'")
    assert owners == [(database.user,)]


def test_sigterm_stops_the_tool_and_says_so(attempt: Attempt, project: Path, database: Postgres):
    (project / "migrations/versions/0004_slow.py").write_text(SLOW)
    running = attempt.start()
    wait_for_sleep(database, running)
    running.process.send_signal(signal.SIGTERM)
    answer = running.finish(20)
    assert (answer.code, answer.result.get("reason")) == (75, "Stopped"), answer
    assert database.run("SELECT to_regclass('alembic_version')") == [(None,)]
