"""The whole runner behind a real PgBouncer in session mode, which makes up the pids it tells."""

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.db.orders import until
from tests.db.pgbouncer import running_pgbouncer
from tests.postgres import Postgres
from tests.runner_process import Attempt, attempt_on


@pytest.fixture
def through(database: Postgres) -> Iterator[Attempt]:
    with (
        tempfile.TemporaryDirectory(prefix="w") as folder,
        running_pgbouncer(database, "session", 20) as pooled,
    ):
        files = {"001_a.up.sql": "CREATE TABLE users (id int)"}
        yield replace(attempt_on(database, Path(folder), files), url=pooled.url)


def test_files_are_applied(through: Attempt, database: Postgres):
    answer = through.run_to_end()
    assert (answer.code, answer.result["revision"]) == (0, "001"), answer
    assert database.run("SELECT count(*) FROM users") == [(0,)]


def test_a_worker_that_is_gone_is_fenced_and_the_watchdog_is_spared(
    through: Attempt, database: Postgres
):
    slow = replace(through, files=(("001_a.up.sql", "SELECT pg_sleep(20)"),)).start()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    until(lambda: database.run(asleep) != [(0,)])
    slow.process.kill()
    slow.finish()
    answer = through.next().run_to_end()
    assert (answer.code, answer.result["fence"]) == (0, "Epoch"), answer


def test_a_wait_for_a_lock_names_who_holds_it(through: Attempt, database: Postgres):
    assert through.run_to_end().code == 0
    alter = ("002_b.up.sql", "SET lock_timeout = 0; ALTER TABLE users ADD COLUMN mail text")
    # After its deadline nothing is tried again; without one that goes on for half a minute.
    order = (("number", 2), ("deadline", time.time() + 1.0))
    second = replace(through, run="run2", files=(*through.files, alter), order=order)
    with database.connect(application_name="report") as holder, holder.transaction():
        holder.execute("SELECT * FROM users")
        running = second.start()
        waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: database.run(waits) != [(0,)] or running.process.poll() is not None)
        answer = running.finish()
        pid = holder.info.backend_pid
    assert (answer.code, answer.result["reason"]) == (75, "Blocked"), answer
    assert f"for a lock held by pid {pid} (report, login" in answer.result["message"]
