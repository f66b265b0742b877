"""Alembic in a user's project through the real launcher, against a real PostgreSQL."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from psycopg import sql

from tests.postgres import Postgres
from tests.processes import ROOT, built_launcher
from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.steps import CatalogObject, Direction, RunTool, StepId
from whimbrel.planning.tools.alembic import ALEMBIC
from whimbrel.planning.tools.foreign_down import plan_down
from whimbrel.planning.tools.foreign_up import plan_up
from whimbrel.planning.tools.project import Project, WayBack
from whimbrel.runner.bookkeeping import read_revisions
from whimbrel.runner.launcher_tool import LauncherTool
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.postgresql_session import tool_options
from whimbrel.runner.redact import Redactor
from whimbrel.runner.run_tool import ToolFailedError, ToolPlace, read_project, run_tool
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import connect
from whimbrel.runner.target import Target, render_url
from whimbrel.runner.tool import Tool
from whimbrel.runner.urls import parse_target

EXAMPLE = ROOT / "examples/tools/alembic"
VENV_BIN = str(Path(sys.executable).parent)
NAME = "whimbrel:run:shop/schema"
OPTIONS = tool_options(Manners(NAME, 0.1))
PASSWORD = "p%@#:/?&= '\"x%40"
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


@dataclass
class Shop:
    """A user's project in its image, and the database that it migrates."""

    folder: Path
    database: Postgres
    tool: Tool
    target: Target
    said: list[str] = field(default_factory=list)
    migrations: dict[str, object] = field(default_factory=dict)
    seen: dict[object, Project] = field(default_factory=dict)

    def spec(self) -> Spec:
        url = {"env": "SHOP_URL", "scheme": "postgresql+psycopg"}
        return parse_spec(
            {
                "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
                "migrations": {
                    "tool": "alembic",
                    "image": "shop:1",
                    "databaseURL": url,
                    "workingDir": str(self.folder),
                    **self.migrations,
                },
            }
        )

    def place(self) -> ToolPlace:
        clean = Redactor([self.target.password]).clean
        url = render_url(self.target, "postgresql+psycopg")
        return ToolPlace(self.tool, self.spec(), url, NAME, OPTIONS, clean, self.hear)

    def hear(self, line: str) -> None:
        self.said.append(line)

    def revisions(self, *, answered: bool = True) -> tuple[str, ...]:
        with connect(self.target, "test") as session:
            return read_revisions(session, self.spec())

    def facts(self, **further) -> Facts:
        return Facts(self.database.dbname, 160000, revisions=self.revisions(), **further)

    def project(self) -> Project:
        """Read the project; once for the same files, because each start of Alembic costs time."""
        files = sorted((self.folder / "migrations").rglob("*.py"))
        place = {**self.migrations, "to": "", "baseline": ""}
        key = (str(place), *((path.name, path.read_text()) for path in files))
        if key not in self.seen:
            self.seen[key] = read_project(self.place())
        return self.seen[key]

    def carry_out(self, plan: RunnerPlan) -> tuple[str, ...]:
        warnings: list[str] = []
        for step in plan.steps:
            if isinstance(step, RunTool):
                warnings += run_tool(self.place(), step, self.revisions)
        return tuple(warnings)

    def go(self, to: str = "head", **migrations: object) -> tuple[str, ...]:
        self.migrations |= {"to": to, **migrations}
        return self.carry_out(
            plan_up(ALEMBIC, self.spec(), "shop/schema", self.facts(), self.project())
        )

    def write(self, revision: str, down: object, up: str = "pass", **further: object) -> None:
        words = {"title": f"step {revision}", "depends": None, "back": "pass", **further}
        text = MIGRATION.format(revision=revision, down=down, up=up, **words)
        (self.folder / f"migrations/versions/{revision}.py").write_text(text)


Open = Callable[..., Shop]


@pytest.fixture
def shop_in(tmp_path: Path, database: Postgres) -> Iterator[Open]:
    """Return a function that opens the example project in an "image" with a PATH of its own."""
    password = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(database.user), sql.Literal(PASSWORD)
    )
    with database.connect() as session:
        session.execute(password)
    address = {"host": "127.0.0.1", "port": str(database.port), "dbname": database.dbname}
    target = parse_target(database.url)
    target = type(target)(**{**vars(target), **address, "port": target.port, "password": PASSWORD})
    folder = tmp_path / "app"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    tools: list[LauncherTool] = []
    processes: list[subprocess.Popen] = []

    def open_shop(path: str = f"{VENV_BIN}:/usr/bin:/bin") -> Shop:
        socket = tmp_path / f"{len(tools)}.sock"
        tools.append(LauncherTool(socket))
        command = [built_launcher(), "serve", socket]
        processes.append(subprocess.Popen(command, env={"PATH": path, "HOME": "/"}, cwd="/"))
        tools[-1].wait_hello(20)
        return Shop(folder, database, tools[-1], target)

    yield open_shop
    for tool in tools:
        tool.close()
    for process in processes:
        assert process.wait(5) == 0


@pytest.fixture
def shop(shop_in: Open) -> Shop:
    return shop_in()


def admin(shop: Shop, statement: str, *values: object) -> list[tuple]:
    """Run a statement as the login of the shop, whose password is another one by now."""
    with connect(shop.target, "test") as session:
        cursor = session.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []


def columns(shop: Shop) -> list[tuple]:
    return admin(
        shop,
        "SELECT table_name, column_name, is_nullable FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2",
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


def test_up_down_up_leads_to_the_same_schema(shop: Shop):
    assert shop.go("0003") == ()
    there = columns(shop)
    assert shop.revisions() == ("0003",)
    assert admin(shop, "SELECT email FROM users ORDER BY id") == [
        ("ada.lovelace@example.com",),
        ("grace.hopper@example.com",),
    ]
    shop.go("0001")
    assert shop.revisions() == ("0001",)
    assert [row[1] for row in columns(shop)] == ["id", "name"]
    shop.go("head")
    assert columns(shop) == there
    shop.go("base")
    assert (shop.revisions(), columns(shop)) == ((), [])


def test_nothing_to_do_starts_nothing(shop: Shop):
    shop.go()
    plan = plan_up(ALEMBIC, shop.spec(), "shop/schema", shop.facts(), shop.project())
    assert (plan.steps, plan.to, plan.ahead) == ((), "0003", False)


def test_an_unreadable_ini_of_its_own_default_is_not_needed(shop: Shop):
    assert "driver://user:pass@localhost/dbname" in (shop.folder / "alembic.ini").read_text()
    shop.go("0001")
    assert shop.revisions() == ("0001",)


def test_a_terminal_runs_the_same_project(shop: Shop, tmp_path: Path):
    (tmp_path / "app/.venv").symlink_to(Path(VENV_BIN).parent)
    shop.tool = LocalTool(shop.folder)
    shop.migrations["workingDir"] = "/app"
    shop.go()
    assert shop.revisions() == ("0003",)


def test_the_password_is_nowhere_in_what_is_shown(shop: Shop):
    leaks = (
        "print('URL', os.environ['SHOP_URL']); "
        "print('INI', op.get_context().config.get_main_option('sqlalchemy.url'));"
        "raise RuntimeError('cannot reach ' + os.environ['SHOP_URL'])"
    )
    shop.write("0004", "0003", leaks)
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
    shop.write("0004", "0003", "op.execute('CREATE TABLE more (id int)')")
    shop.write("0005", "0004", "op.execute('INSERT INTO missing VALUES (1)')")
    shop.write("0006", "0005")
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
    shop.write("0004", "0003", "op.execute('SELECT 1/0')")
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert (failed.value.before, failed.value.after) == ((), ("0003",))


def test_rows_of_the_database_do_not_get_into_the_message(shop: Shop):
    insert = "INSERT INTO users (name, email) VALUES (''secret'', ''ada.lovelace@example.com'')"
    shop.write("0004", "0003", f"op.execute({insert!r}.replace(\"''\", chr(39)))")
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
    shop.write("0004", "0003", "op.execute('CREATE TABLE seen AS SELECT current_setting(''x'')')")
    query = "CREATE TABLE seen AS SELECT current_setting('application_name') AS name"
    shop.write("0004", "0003", f"op.execute({query!r})")
    shop.go()
    assert admin(shop, "SELECT name FROM seen") == [(NAME,)]


def test_a_killed_tool_is_reported_and_its_statement_ends(shop: Shop):
    shop.go()
    insert = "INSERT INTO users (name, email) SELECT 'late', 'late' FROM pg_sleep(20)"
    shop.write("0004", "0003", f"print('now', flush=True); op.execute({insert!r})")

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
    assert admin(shop, "SELECT count(*) FROM users WHERE name = 'late'") == [(0,)]


def test_an_exit_code_alone_decides_nothing(shop: Shop):
    shop.go("0002")
    step = RunTool(StepId("up"), Direction.UP, ("alembic", "upgrade", "0002"), ("0002",), ("0003",))
    with pytest.raises(ToolFailedError) as failed:
        run_tool(shop.place(), step, shop.revisions)
    assert "SHOP_URL" in failed.value.message
    atexit = "import atexit; atexit.register(lambda: (sys.stdout.flush(), os._exit(9)))"
    shop.write("0004", "0003", atexit)
    (warning,) = shop.go()
    assert warning == ("ToolExit: alembic upgrade 0004 failed, yet the database is at 0004")


def test_an_existing_database_is_adopted_without_running_anything(shop: Shop):
    admin(shop, "CREATE TABLE users (id bigint, name text, email text)")
    shop.migrations |= {"to": "0002", "baseline": "0002"}
    users = frozenset({CatalogObject("table", "public", "users")})
    plan = plan_up(ALEMBIC, shop.spec(), "shop/schema", shop.facts(catalog=users), shop.project())
    shop.carry_out(plan)
    assert shop.revisions() == ("0002",)
    assert admin(shop, "SELECT count(*) FROM users") == [(0,)]


# ---- images and projects that cannot work: one sentence each ----


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
        return plan_down(ALEMBIC, shop.spec(), shop.facts(), shop.project(), to)
    return None


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
def test_predicted_rows_are_written_rows(shop: Shop, graph):
    shutil.rmtree(shop.folder / "migrations/versions")
    (shop.folder / "migrations/versions").mkdir()
    for revision, down, depends in graph:
        shop.write(revision, down, depends=depends)
    names = [revision for revision, _, _ in graph]
    for to in [names[0], "heads"]:
        shop.go(to)
    for to in reversed(names):
        plan = possible_down(shop, to)
        if plan is not None:
            shop.carry_out(plan)
    shop.go("base")
    assert shop.revisions() == ()
