"""Alembic in a user's project through the real launcher, against a real PostgreSQL."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.db.tool_shop import NAME, OWNER, PASSWORD, Shop, opened_shop
from tests.postgres import Postgres
from tests.processes import ROOT
from whimbrel.model.errors import RefusedError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import CatalogObject, Direction, RunTool, StepId
from whimbrel.planning.build import plan_down
from whimbrel.planning.tools.project import Project, WayBack
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.run_tool import ToolFailedError, ToolPlace, read_project, run_tool
from whimbrel.runner.sessions import connect

pytestmark = pytest.mark.sampled("Alembic asked and told")

EXAMPLE = ROOT / "examples/tools/alembic"
VENV_BIN = str(Path(sys.executable).parent)
MIGRATION = '''"""{title}"""
import os, sys, time
from alembic import op
revision = {revision!r}
down_revision = {down!r}
depends_on = {depends!r}
def upgrade():
    {up}
def downgrade():
    {back}
'''


Open = Callable[..., Shop]


def reading_once(folder: Path) -> Callable[[ToolPlace], Project]:
    """Read a project once for the same files, because each start of Alembic costs time."""
    seen: dict[object, Project] = {}

    def read(place: ToolPlace) -> Project:
        files = sorted((folder / "migrations").rglob("*.py"))
        asked = place.spec.migrations.model_copy(update={"to": "", "baseline": ""})
        key = (repr(asked), *((path.name, path.read_text()) for path in files))
        if key not in seen:
            seen[key] = read_project(place)
        return seen[key]

    return read


@pytest.fixture
def shop_in(tmp_path: Path, database: Postgres) -> Iterator[Open]:
    """Return a function that opens the example project in an "image" with a PATH of its own."""
    folder = tmp_path / "app"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    url = {"env": "SHOP_URL", "scheme": "postgresql+psycopg"}
    wanted = {"tool": "alembic", "databaseURL": url}
    with ExitStack() as opened:

        def open_shop(path: str = f"{VENV_BIN}:/usr/bin:/bin") -> Shop:
            shop = opened.enter_context(opened_shop(folder, database, path, wanted))
            shop.read = reading_once(folder)
            return shop

        yield open_shop


@pytest.fixture
def shop(shop_in: Open) -> Shop:
    return shop_in()


def write(shop: Shop, revision: str, down: object, up: str = "pass", **further: object) -> None:
    """Write a migration into the project."""
    words = {"title": f"step {revision}", "depends": None, "back": "pass", **further}
    text = MIGRATION.format(revision=revision, down=down, up=up, **words)
    (shop.folder / f"migrations/versions/{revision}.py").write_text(text)


def columns(shop: Shop) -> list[tuple]:
    return shop.sql(
        "SELECT table_name, column_name, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2"
    )


def test_the_example_has_the_env_py_that_alembic_writes(tmp_path: Path):
    alembic = [Path(VENV_BIN) / "alembic", "init", "migrations"]
    subprocess.run(alembic, cwd=tmp_path, check=True, capture_output=True)
    for name in ("alembic.ini", "migrations/env.py"):
        assert (EXAMPLE / name).read_text() == (tmp_path / name).read_text()


def test_the_project_is_read_without_a_database(shop: Shop):
    shop.target = type(shop.target)(**{**vars(shop.target), "port": 1})
    project = shop.project()
    assert project.heads == ("0003",)
    assert [(each.id, each.below) for each in project.in_order(project.revisions)] == [
        ("0001", ()),
        ("0002", ("0001",)),
        ("0003", ("0002",)),
    ]
    assert project.revisions["0002"].title == "add email and fill it"
    assert {each.way_back for each in project.revisions.values()} == {WayBack.WRITTEN}


@pytest.mark.sampled("the main path")
def test_up_down_up_leads_to_the_same_schema(shop: Shop):
    assert shop.go("0003") == ()
    there = columns(shop)
    assert shop.rows() == ("0003",)
    assert shop.sql("SELECT email FROM users ORDER BY id") == [
        ("ada.lovelace@example.com",),
        ("grace.hopper@example.com",),
    ]
    shop.go("0001")
    assert shop.rows() == ("0001",)
    assert [row[1] for row in columns(shop)] == ["id", "name", "tags"]
    shop.go("head")
    assert columns(shop) == there
    shop.go("base")
    assert (shop.rows(), columns(shop)) == ((), [])


def test_nothing_to_do_starts_nothing(shop: Shop):
    shop.go()
    plan = shop.plan("head")
    assert (plan.steps, plan.to, plan.ahead) == ((), "0003", False)


def test_an_unreadable_ini_of_its_own_default_is_not_needed(shop: Shop):
    assert "driver://user:pass@localhost/dbname" in (shop.folder / "alembic.ini").read_text()
    shop.go("0001")
    assert shop.rows() == ("0001",)


def test_a_terminal_runs_the_same_project(shop: Shop, tmp_path: Path):
    (tmp_path / "app/.venv").symlink_to(Path(VENV_BIN).parent)
    shop.tool = LocalTool(shop.folder)
    shop.migrations["workingDir"] = "/app"
    shop.go()
    assert shop.rows() == ("0003",)


def test_the_password_is_nowhere_in_what_is_shown(shop: Shop):
    leaks = (
        "print('URL', os.environ['SHOP_URL']); "
        "print('INI', op.get_context().config.get_main_option('sqlalchemy.url'));"
        "raise RuntimeError('cannot reach ' + os.environ['SHOP_URL'])"
    )
    write(shop, "0004", "0003", leaks)
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    everything = "\n".join([*shop.said, failed.value.message, str(failed.value)])
    assert "URL postgresql+psycopg://" in everything
    assert "cannot reach" in failed.value.message
    assert "***" in failed.value.message
    for spelling in (PASSWORD, PASSWORD.replace("%", "%%"), "p%25", "p%%25", "x%2540"):
        assert spelling not in everything


def test_a_failing_migration_in_the_middle_leaves_the_database_as_before(shop: Shop):
    shop.go("0002")
    before = columns(shop)
    write(shop, "0004", "0003", "op.execute('CREATE TABLE more (id int)')")
    write(shop, "0005", "0004", "op.execute('INSERT INTO missing VALUES (1)')")
    write(shop, "0006", "0005")
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    error = failed.value
    assert (error.after, error.sqlstate) == (("0002",), "42P01")
    assert 'relation "missing" does not exist' in error.message
    assert "migrations/versions/0005.py, line 8" in error.message
    assert "INSERT INTO missing" in error.message
    assert columns(shop) == before


def test_what_an_own_transaction_per_migration_left_is_read_back(shop: Shop):
    env = shop.folder / "migrations/env.py"
    text = env.read_text()
    assert text.count("target_metadata=target_metadata\n") == 1
    env.write_text(
        text.replace(
            "target_metadata=target_metadata\n",
            "target_metadata=target_metadata, transaction_per_migration=True\n",
        )
    )
    write(shop, "0004", "0003", "op.execute('SELECT 1/0')")
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert (failed.value.before, failed.value.after) == ((), ("0003",))


def test_rows_of_the_database_do_not_get_into_the_message(shop: Shop):
    insert = "INSERT INTO users (name, email) VALUES (''secret'', ''ada.lovelace@example.com'')"
    write(shop, "0004", "0003", f"op.execute({insert!r}.replace(\"''\", chr(39)))")
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.sqlstate == "23505"
    assert "users_email_key" in failed.value.message
    assert "Key (email)" not in "\n".join([failed.value.message, *shop.said])


def test_a_lock_is_not_waited_for_longer_than_the_limit(shop: Shop):
    shop.go("0002")
    with connect(shop.target, "application") as session, session.transaction():
        session.execute("SELECT * FROM users")
        with pytest.raises(ToolFailedError) as failed:
            shop.go("0003")
    assert failed.value.sqlstate == "55P03"
    shop.go("0003")


def test_its_sessions_carry_our_name(shop: Shop):
    write(shop, "0004", "0003", "op.execute('CREATE TABLE seen AS SELECT current_setting(''x'')')")
    query = "CREATE TABLE seen AS SELECT current_setting('application_name') AS name"
    write(shop, "0004", "0003", f"op.execute({query!r})")
    shop.go()
    assert shop.sql("SELECT name FROM seen") == [(NAME,)]


def test_a_killed_tool_is_reported_and_its_statement_ends(shop: Shop):
    shop.go()
    insert = "INSERT INTO users (name, email) SELECT 'late', 'late' FROM pg_sleep(20)"
    write(shop, "0004", "0003", f"print('now', flush=True); op.execute({insert!r})")

    def kill(line: str) -> None:
        if line == "now":
            shop.tool.signal(signal.SIGKILL)

    shop.hear = kill
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.message.startswith("alembic upgrade 0004 was killed by SIGKILL")
    assert failed.value.after == ("0003",)
    # client_connection_check_interval: the server notices within about a second.
    with connect(shop.target, "test") as session, session.transaction():
        session.execute("SET LOCAL lock_timeout = '4s'")
        session.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
    assert shop.sql("SELECT count(*) FROM users WHERE name = 'late'") == [(0,)]


def test_an_exit_code_alone_decides_nothing(shop: Shop):
    shop.go("0002")
    step = RunTool(StepId("up"), Direction.UP, ("alembic", "upgrade", "0002"), ("0002",), ("0003",))
    with pytest.raises(ToolFailedError) as failed:
        run_tool(shop.place(), step, shop.rows)
    assert "SHOP_URL" in failed.value.message
    atexit = "import atexit; atexit.register(lambda: (sys.stdout.flush(), os._exit(9)))"
    write(shop, "0004", "0003", atexit)
    (warning,) = shop.go()
    assert warning == ("ToolExit: alembic upgrade 0004 failed, yet the database is at 0004")


def test_an_existing_database_is_adopted_without_running_anything(shop: Shop):
    shop.sql("CREATE TABLE users (id bigint, name text, email text)")
    shop.migrations["baseline"] = "0002"
    users = frozenset({CatalogObject("table", "public", "users")})
    shop.go("0002", catalog=users)
    assert shop.rows() == ("0002",)
    assert shop.sql("SELECT count(*) FROM users") == [(0,)]


# ---- branches: the rows that we predict are the rows that Alembic writes ----

GRAPHS = {
    "two branches": [("a1", None, None), ("b1", None, None), ("a2", "a1", None)],
    "a fork and its merge": [
        ("r", None, None),
        ("a", "r", None),
        ("b", "r", None),
        ("m", ("a", "b"), None),
    ],
    "one branch depends on another": [
        ("a1", None, None),
        ("b1", None, None),
        ("b2", "b1", "a1"),
        ("a2", "a1", None),
    ],
}


def possible_down(shop: Shop, to: str) -> RunnerPlan | None:
    """Return the way down, or None where it is refused because branches would stay."""
    with suppress(RefusedError):
        return plan_down(shop.spec(), OWNER, shop.facts(), shop.project(), to)
    return None


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.sampled("rows of Alembic")
def test_predicted_rows_are_written_rows(shop: Shop, graph):
    shutil.rmtree(shop.folder / "migrations/versions")
    (shop.folder / "migrations/versions").mkdir()
    for revision, down, depends in graph:
        write(shop, revision, down, depends=depends)
    names = [revision for revision, _, _ in graph]
    for to in [names[0], "heads"]:
        shop.go(to)
    for to in reversed(names):
        plan = possible_down(shop, to)
        if plan is not None:
            shop.carry_out(plan)
    shop.go("base")
    assert shop.rows() == ()
