"""What the runner makes of a statement that was cancelled: a lock, or something else."""

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.db.orders import until
from tests.mariadb import MariaDB
from tests.postgres import Postgres
from tests.runner_process import attempt_on

TWO = """ALTER TABLE users ADD COLUMN mail text;
SET LOCAL statement_timeout = '100ms';
SELECT pg_sleep(20);
"""


def test_a_timeout_after_a_wait_that_was_got_over_is_no_lock(database: Postgres):
    database.run("CREATE TABLE users (id int)")
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        limits = (("limits.lockTimeout", "10s"),)
        attempt = attempt_on(database, Path(folder), {"001_a.up.sql": TWO}, spec=limits)
        with database.connect(application_name="report") as holder:
            holder.execute("BEGIN")
            holder.execute("SELECT * FROM users")
            running = attempt.start()
            waits = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted"
                " AND waitstart < clock_timestamp() - interval '0.5s'"
            )
            until(lambda: database.run(waits) == [(1,)] or running.process.poll() is not None)
            holder.execute("COMMIT")
        answer = running.finish()
    assert (answer.code, answer.result["reason"]) == (1, "StatementFailed"), answer
    assert "57014" in answer.result["message"]


ENDLESS = ", ".join(f"information_schema.COLUMNS c{n}" for n in range(5))
# What holds a lock for long, and what then waits for it.
HOLDS = {"database": "LOCK TABLE users; SELECT pg_sleep(30);"}
HOLDS["mariadb"] = f"INSERT INTO users SELECT COUNT(*) FROM {ENDLESS};"
WAITS = {"database": "SELECT FROM users", "mariadb": "LOCK TABLES users WRITE"}


@contextmanager
def application(database: Postgres | MariaDB, statement: str) -> Iterator[None]:
    """Run a statement all the time in three sessions, which come one after the other."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            database.run(statement)
            over.wait(0.05)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(timeout=30)


@pytest.mark.parametrize("server", HOLDS)
def test_several_that_wait_for_too_long_are_known_as_the_reason(server: str, request):
    database: Postgres | MariaDB = request.getfixturevalue(server)
    database.run("CREATE TABLE users (id int)")
    files = {"001_a.up.sql": HOLDS[server], "001_a.down.sql": "SELECT 1;"}
    with tempfile.TemporaryDirectory(prefix="w") as folder, application(database, WAITS[server]):
        limits = (("limits.lockHold", "300ms"),)
        answer = attempt_on(database, Path(folder), files, spec=limits).run_to_end()
    assert (answer.code, answer.result["reason"]) == (1, "LockHeldTooLong"), answer
    assert "3 times" in answer.result["message"]
