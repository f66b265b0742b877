"""What launcher, lock and verification cost: a tool behind the runner against the bare tool.

usage: python -m bench.overhead [ROUNDS]

Each tool's example with migrations up to ten, each of them a table, rows and an index. Every run,
bare or not, goes from an empty database to the tenth migration; the two take turns.
"""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bench.ground import machine, say
from tests.matrix.project import Project
from tests.matrix.projects import PROJECTS
from tests.matrix.server import PostgresServer
from tests.postgres import Postgres, create_database, running_postgres
from tests.processes import built_launcher
from tests.runner_process import Attempt

MIGRATIONS = 10
ROWS = 20_000
UP = (
    "CREATE TABLE bench{n} (id int PRIMARY KEY, word text NOT NULL)",
    "INSERT INTO bench{n} SELECT i, md5(i::text) FROM generate_series(1, {rows}) AS i",
    "CREATE INDEX bench{n}_word ON bench{n} (word)",
)
DOWN = ("DROP TABLE bench{n}",)
# What a person would type in the image.
BARE = {
    "alembic": ("alembic", "-c", "bare.ini", "upgrade", "head"),
    "django": ("python", "manage.py", "migrate", "--noinput"),
    "sequelize": ("node", "node_modules/.bin/sequelize-cli", "db:migrate"),
    "typeorm": (
        *("node", "node_modules/typeorm/cli.js", "migration:run"),
        *("-d", "dist/data-source.js", "-t", "each"),
    ),
}


@dataclass(frozen=True)
class Place:
    """A tool's project and the server that it migrates on."""

    tool: str
    project: Project
    fresh: Callable[[], Postgres]
    folder: Path

    def bare(self) -> float:
        """Return the seconds of the tool alone."""
        url = self.fresh().url
        scheme = self.project.migrations["databaseURL"]["scheme"]
        mine = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "NODE_ENV": "production",
            "DATABASE_URL": url.replace("postgresql", scheme, 1),
        }
        if self.tool == "alembic":
            _write_ini(self.project.folder, mine["DATABASE_URL"])
        started = time.monotonic()
        subprocess.run(
            BARE[self.tool], cwd=self.project.folder, env=mine, check=True, capture_output=True
        )
        return time.monotonic() - started

    def ours(self, number: int) -> float:
        """Return the seconds of runner, launcher and tool together."""
        spec = {f"migrations.{name}": value for name, value in self.project.migrations.items()}
        attempt = Attempt(
            self.folder,
            self.fresh().url,
            (),
            self.project.folder,
            run=f"{self.tool}{number}",
            spec=tuple(spec.items()),
            anew=True,
        )
        started = time.monotonic()
        answer = attempt.run_to_end()
        if answer.code != 0:
            raise RuntimeError(f"{self.tool} failed: {answer}")
        return time.monotonic() - started


def _write_ini(folder: Path, url: str) -> None:
    """Write the URL where the example's env.py looks for it."""
    text = (folder / "alembic.ini").read_text()
    line = "sqlalchemy.url = " + url.replace("%", "%%")
    (folder / "bare.ini").write_text(re.sub(r"(?m)^sqlalchemy\.url = .*$", lambda _: line, text))


def prepared(tool: str, folder: Path, fresh: Callable[[], Postgres]) -> Place:
    """Return a project with ten migrations."""
    project = PROJECTS[tool](folder / "project", PostgresServer(fresh()))
    add_migrations(project)
    return Place(tool, project, fresh, folder)


def add_migrations(project: Project) -> None:
    """Write migrations until there are ten."""
    for number in range(len(project.revisions) + 1, MIGRATIONS + 1):
        up = [each.format(n=number, rows=ROWS) for each in UP]
        project.add(f"bench{number}", up, [each.format(n=number) for each in DOWN])


def compared(tool: str, pairs: Sequence[tuple[float, float]]) -> str:
    """Return the line of a tool, from the seconds of each round: bare, and ours."""
    bare, ours = (statistics.median(each) for each in zip(*pairs, strict=True))
    return (
        f"{tool}: {bare:.2f} s bare, {ours:.2f} s ours: {ours - bare:+.2f} s (bar 1.5),"
        f" {ours / bare:.2f} times (bar 1.2) (medians)"
    )


def main(rounds: int) -> None:
    """Measure and print medians, differences and ratios."""
    built_launcher()
    numbers = count(1)
    say(f"machine: {machine()}; rounds: {rounds}; {MIGRATIONS} migrations")
    with running_postgres(16) as server:
        for tool in BARE:
            with tempfile.TemporaryDirectory(prefix="w") as folder:
                place = prepared(
                    tool,
                    Path(folder),
                    lambda: create_database(server, f"bench{next(numbers)}"),
                )
                pairs = [(place.bare(), place.ours(number)) for number in range(rounds)]
            say(compared(tool, pairs))
    say(f"machine: {machine()}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
