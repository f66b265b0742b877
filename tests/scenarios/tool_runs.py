"""Runs of a foreign tool, as the stories of each of them begin."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from tests.postgres import Postgres
from tests.processes import is_dead_within
from tests.runner_process import Attempt, RunnerProcess

SLEEP = "SELECT pg_sleep(20)"
_SLEEPS = (
    "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(20)%%'"
    " AND state = 'active' AND datname = %s AND pid <> pg_backend_pid()"
)


@contextmanager
def first_attempt(database: Postgres, project: Path, tool: str) -> Iterator[Attempt]:
    """Give the first attempt of a run whose id no other test has: a process is known by it."""
    spec = (("migrations.tool", tool), ("migrations.databaseURL.scheme", "postgresql"))
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        run = f"{tool[:2]}{uuid4().hex[:6]}"
        yield Attempt(Path(folder), database.url, (), project, run=run, spec=spec)


def to(base: Attempt, revision: str, number: int, *, retry: str = "", **changes: object) -> Attempt:
    """Return a run of its own that asks for a revision."""
    spec = (*base.spec, ("migrations.to", revision))
    order = (("number", number), ("retry", retry))
    return replace(base, run=f"{base.run}x{number}", spec=spec, order=order, **changes)


def as_admin(database: Postgres) -> Postgres:
    """Return the database as a superuser reaches it."""
    return replace(database, user="postgres", password="postgres")


def wait_for_sleep(database: Postgres, running: RunnerProcess) -> None:
    """Wait until the tool's statement runs; a runner that ended instead says why."""
    # Only a superuser sees what the tool's own login runs.
    with as_admin(database).connect() as session:
        while session.execute(_SLEEPS, [database.dbname]).fetchone() == (0,):
            assert running.process.poll() is None, running.finish()
            threading.Event().wait(0.02)


def kill_in_sleep(database: Postgres, attempt: Attempt) -> None:
    """Kill the runner while the tool's statement runs; the tool goes with it."""
    running = attempt.start()
    wait_for_sleep(database, running)
    running.process.kill()
    assert running.tool is not None
    assert is_dead_within(running.tool.pid, 5)
    running.finish()


def url_that_makes_roles(database: Postgres) -> str:
    """Make a login that may make roles and grant the owner, which PostgreSQL 16 wants said."""
    admin, login = as_admin(database), f"{database.user}_login"
    admin.run(f"CREATE ROLE {login} LOGIN PASSWORD 'x1y2z3' CREATEROLE")
    admin.run(f"GRANT {database.user} TO {login} WITH ADMIN OPTION")
    admin.run(f"ALTER ROLE {login} SET role = '{database.user}'")
    return replace(database, user=login, password="x1y2z3").url
