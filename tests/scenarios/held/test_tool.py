"""A foreign tool left something that only a person can judge."""

import shutil

import pytest
import yaml

from tests.postgres import Postgres
from tests.scenarios.held.asking import held, obey
from tests.scenarios.terminal import ROOT, Terminal, await_sleeper
from tests.scenarios.test_runner_prisma import FILES as PRISMA_FILES, A as FIRST, ran_under_prisma

pytestmark = pytest.mark.sampled("what a person is asked")

FOURTH = '''"""one more"""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade():
    with op.get_context().autocommit_block():
        {up}
    {then}


def downgrade():
    {down}
'''
LATE = "op.execute('CREATE TABLE late (n int)')"


@pytest.fixture
def manifest(terminal: Terminal) -> str:
    shutil.copytree(ROOT / "examples/tools/alembic", terminal.home / "project")
    source = {"tool": "alembic", "image": "shop:1", "workingDir": "/app"}
    return terminal.manifest(
        {}, migrations=source | {"databaseURL": {"scheme": "postgresql+psycopg"}}
    )


def write_fourth(terminal: Terminal, up: str, then: str = "pass", down: str = "pass") -> None:
    """Write the project's fourth migration: what it commits by itself, then the rest."""
    path = terminal.home / "project/migrations/versions/0004_late.py"
    path.write_text(FOURTH.format(up=up, then=then, down=down))


def configure(terminal: Terminal, setting: str) -> None:
    """Give the project's `context.configure` one more argument."""
    env = terminal.home / "project/migrations/env.py"
    once = "connection=connection,"
    env.write_text(env.read_text().replace(once, f"{once} {setting},"))


def await_applied(terminal: Terminal, manifest: str) -> None:
    """Apply the three migrations that the example has."""
    done = terminal.type(f"whimbrel run {manifest} --project project")
    assert done.code == 0, done


@pytest.mark.sampled("a question about a tool")
def test_a_migration_committed_a_half_and_failed(
    terminal: Terminal, database: Postgres, manifest: str
):
    await_applied(terminal, manifest)
    write_fourth(terminal, LATE, "op.execute('SELECT nonsense()')")
    said = terminal.type(f"whimbrel run {manifest}")
    held(said, "HalfDone")
    assert database.run("SELECT version_num FROM alembic_version") == [("0003",)]
    database.run("DROP TABLE late")
    write_fourth(terminal, LATE)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == [("0004",)]
    assert database.run("SELECT count(*) FROM late") == [(0,)]


@pytest.mark.sampled("a question about a tool")
def test_two_tables_could_be_the_bookkeeping_of_the_tool_that_ran(
    terminal: Terminal, database: Postgres, manifest: str
):
    await_applied(terminal, manifest)
    database.run("CREATE SCHEMA twin")
    write_fourth(terminal, "op.execute('CREATE TABLE twin.alembic_version (version_num text)')")
    said = terminal.type(f"whimbrel run {manifest}")
    held(said, "BookkeepingAmbiguous")
    database.run("DROP TABLE twin.alembic_version")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == [("0004",)]


@pytest.mark.sampled("a question about a tool")
def test_the_bookkeeping_of_the_tool_that_ran_may_not_be_read(
    terminal: Terminal, database: Postgres, manifest: str
):
    await_applied(terminal, manifest)
    revoke = f"REVOKE SELECT ON alembic_version FROM {database.user}"
    configure(
        terminal, f"on_version_apply=lambda ctx, **_: ctx.connection.exec_driver_sql('{revoke}')"
    )
    write_fourth(terminal, LATE)
    said = terminal.type(f"whimbrel run {manifest}")
    held(said, "BookkeepingNotReadable")
    database.run(f"GRANT SELECT ON alembic_version TO {database.user}")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == [("0004",)]


@pytest.mark.sampled("a question about a tool")
def test_nothing_proves_that_the_tool_of_a_lost_machine_has_ended(
    terminal: Terminal, database: Postgres, manifest: str
):
    write_fourth(terminal, "op.execute('SELECT pg_sleep(60) FROM gate')", LATE)
    database.run("CREATE TABLE gate AS SELECT 1")
    running = terminal.start(f"whimbrel run {manifest} --project project")
    await_sleeper(database)
    running.kill()
    running.communicate(timeout=10)
    database.run("TRUNCATE gate")
    # The process that is gone was one of another machine.
    database.run("UPDATE whimbrel.attempt SET host = 'lost', boot_id = '' WHERE state = 'open'")
    said = terminal.type(f"whimbrel run {manifest}")
    held(said, "FenceUnproven")
    asked = obey(terminal, said)
    assert database.run("SELECT verdict FROM whimbrel.resolution") == [("FenceProven",)]
    held(asked, "HalfDone")  # a part of it commits by itself, and nobody heard how far it came
    done = obey(terminal, asked)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == [("0004",)]


@pytest.mark.sampled("a question about a tool")
def test_a_plan_of_the_tool_was_rolled_back(terminal: Terminal, database: Postgres, manifest: str):
    await_applied(terminal, manifest)
    assert terminal.type("whimbrel rollback shop --to 0001").code == 0
    said = terminal.type(f"whimbrel run {manifest}")
    held(said, "WasRolledBack")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == [("0003",)]


@pytest.mark.sampled("a question about a tool")
def test_a_later_transaction_of_the_tools_way_back_fails(
    terminal: Terminal, database: Postgres, manifest: str
):
    configure(terminal, "transaction_per_migration=True")
    down = terminal.home / "project/migrations/versions/0002_fill_email.py"
    good = down.read_text()
    down.write_text(good.replace('drop_column("users", "email")', 'execute("SELECT nonsense()")'))
    await_applied(terminal, manifest)
    said = terminal.type("whimbrel rollback shop")
    held(said, "RollbackFailed")
    assert database.run("SELECT version_num FROM alembic_version") == [("0002",)]
    down.write_text(good)
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == []


def test_prisma_itself_began_a_migration_and_did_not_finish_it(
    terminal: Terminal, database: Postgres
):
    text = f"{PRISMA_FILES[f'{FIRST}.migration.sql']} DELETE FROM users;"
    files = {f"{FIRST}.migration.sql": text, f"{FIRST}.down.sql": "DROP TABLE users;"}
    source = {"tool": "prisma", "inline": {"files": files}}
    manifest = terminal.manifest({}, migrations=source)
    ran_under_prisma(database, FIRST, text, "Database error code: 57014")
    said = terminal.type(f"whimbrel run {manifest}")
    held(said, "FailedMigration")
    # `prisma migrate resolve --rolled-back`, as the message says
    database.run("UPDATE _prisma_migrations SET rolled_back_at = now()")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT count(*) FROM users") == [(0,)]


@pytest.mark.sampled("a question about a tool")
def test_what_a_tool_applied_before_it_failed_stays_where_a_person_takes_back(
    terminal: Terminal, database: Postgres, manifest: str
):
    configure(terminal, "transaction_per_migration=True")
    write_fourth(terminal, "pass", "op.execute('SELECT nonsense()')")
    path = terminal.home / "shop.yaml"
    asked = yaml.safe_load(path.read_text())
    asked["spec"]["rollback"] = {"onFailure": "Manual"}
    path.write_text(yaml.safe_dump(asked))
    said = terminal.type(f"whimbrel run {manifest} --project project")
    held(said, "ToolFailed")
    assert database.run("SELECT version_num FROM alembic_version") == [("0003",)]
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == []
    assert database.run("SELECT to_regclass('users')") == [(None,)]


@pytest.mark.sampled("a question about a tool")
def test_a_half_migration_is_finished_by_hand_and_recorded(
    terminal: Terminal, database: Postgres, manifest: str
):
    await_applied(terminal, manifest)
    write_fourth(terminal, LATE, "op.execute('SELECT nonsense()')")
    said = terminal.type(f"whimbrel run {manifest}")
    held(said, "HalfDone")
    assert "or finish it by hand, record it (`alembic stamp 0004`), then retry" in said.text, said
    # `alembic stamp 0004`, as the message says
    database.run("UPDATE alembic_version SET version_num = '0004'")
    done = obey(terminal, said)
    assert done.code == 0, done
    assert database.run("SELECT version_num FROM alembic_version") == [("0004",)]
    assert database.run("SELECT count(*) FROM late") == [(0,)]
