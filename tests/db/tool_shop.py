"""A user's project of a foreign tool behind the real launcher, and the database it migrates."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from tests.postgres import Postgres
from tests.processes import built_launcher
from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.steps import RunTool
from whimbrel.planning.build import plan_down, plan_up
from whimbrel.planning.tools.project import Project
from whimbrel.runner.bookkeeping import read_revisions
from whimbrel.runner.launcher_tool import LauncherTool
from whimbrel.runner.postgresql_session import tool_options
from whimbrel.runner.redact import Redactor
from whimbrel.runner.run_tool import ToolPlace, read_project, run_tool
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import connect
from whimbrel.runner.target import Target, render_url
from whimbrel.runner.tool import Tool
from whimbrel.runner.urls import parse_target

NAME = "whimbrel:run:shop/schema"
OPTIONS = tool_options(Manners(NAME, 0.1))
OWNER = "shop/schema"
PASSWORD = "p%@#:/?&= '\"x%40"


@dataclass
class Shop:
    """A project in its image, and the database that it migrates; `read` tells what it holds."""

    folder: Path
    tool: Tool
    target: Target
    migrations: dict[str, Any]
    said: list[str] = field(default_factory=list)
    read: Callable[[ToolPlace], Project] = read_project

    def spec(self) -> Spec:
        return parse_spec(
            {
                "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
                "migrations": {
                    "image": "shop:1",
                    "databaseURL": {"env": "SHOP_URL"},
                    "workingDir": str(self.folder),
                    **self.migrations,
                },
            }
        )

    def place(self) -> ToolPlace:
        clean = Redactor([self.target.password]).clean
        scheme = self.spec().migrations.database_url.scheme
        url = render_url(self.target, scheme, options=OPTIONS, application_name=NAME)
        return ToolPlace(self.tool, self.spec(), url, NAME, OPTIONS, clean, self.hear)

    def hear(self, line: str) -> None:
        self.said.append(line)

    def rows(self, *, answered: bool = True) -> tuple[str, ...]:
        """Return what the tool's own table shows."""
        with connect(self.target, "test") as session:
            return read_revisions(session, self.spec())

    def facts(self, **further: Any) -> Facts:
        return Facts(self.target.dbname, 160000, revisions=self.rows(), **further)

    def project(self) -> Project:
        return self.read(self.place())

    def carry_out(self, plan: RunnerPlan) -> tuple[str, ...]:
        warnings: list[str] = []
        for step in plan.steps:
            if isinstance(step, RunTool):
                warnings += run_tool(self.place(), step, self.rows)
        return tuple(warnings)

    def plan(self, to: str, **further: Any) -> RunnerPlan:
        self.migrations["to"] = to
        return plan_up(self.spec(), OWNER, self.facts(**further), self.project())

    def go(self, to: str = "head", **further: Any) -> tuple[str, ...]:
        return self.carry_out(self.plan(to, **further))

    def back(self, to: str) -> tuple[str, ...]:
        return self.carry_out(plan_down(self.spec(), OWNER, self.facts(), self.project(), to))

    def sql(self, statement: str) -> list[tuple]:
        with connect(self.target, "test") as session:
            cursor = session.execute(statement)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def opened_shop(
    folder: Path, database: Postgres, path: str, migrations: dict[str, Any]
) -> Iterator[Shop]:
    """Give the project in an "image" with a PATH of its own, reached by a difficult password."""
    password = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(database.user), sql.Literal(PASSWORD)
    )
    with database.connect() as session:
        session.execute(password)
    target = parse_target(database.url)
    address = {"host": "127.0.0.1", "port": database.port, "password": PASSWORD}
    target = type(target)(**{**vars(target), **address})
    socket = folder.parent / "tool.sock"
    tool = LauncherTool(socket)
    process = subprocess.Popen(
        [built_launcher(), "serve", socket], env={"PATH": path, "HOME": "/"}, cwd="/"
    )
    try:
        tool.wait_hello(20)
        yield Shop(folder, tool, target, dict(migrations))
    finally:
        tool.close()
        assert process.wait(5) == 0


def refused(shop: Shop, to: str = "head") -> RefusedError:
    """Check that it is refused in one sentence, with nothing recorded; return the refusal."""
    with pytest.raises(RefusedError) as error:
        shop.go(to)
    assert shop.rows() == ()
    assert "\n" not in error.value.message
    return error.value
