"""An index that is built outside a transaction leaves nothing when its run ends before its time."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres
from tests.runner_process import Attempt, RunnerProcess, attempt_on

INDEX = {
    "001_index.up.sql": "-- whimbrel: no-transaction\nCREATE INDEX CONCURRENTLY by_id ON old (id);"
}


@contextmanager
def old_transaction(database: Postgres) -> Iterator[Any]:
    """Hold a transaction that every CONCURRENTLY has to wait for."""
    database.run("CREATE TABLE IF NOT EXISTS old (id int)")
    with database.connect() as session:
        session.execute("BEGIN")
        session.execute("INSERT INTO old VALUES (1)")
        yield session


def waiting(attempt: Attempt, database: Postgres) -> RunnerProcess:
    """Start a runner; return once the building of the index waits for the old transaction."""
    running = attempt.start()
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE 'CREATE INDEX%' AND wait_event = 'virtualxid'"
    )
    while database.run(query) == [(0,)]:
        assert running.process.poll() is None, running.finish()
    return running


def killed(attempt: Attempt, database: Postgres) -> None:
    """Kill a runner while the building of its index waits."""
    running = waiting(attempt, database)
    running.process.kill()
    running.finish()


def indexes(database: Postgres) -> list:
    return database.run("SELECT indisvalid FROM pg_index WHERE indrelid = 'old'::regclass")


def test_a_stop_waits_until_the_invalid_index_is_dropped(database: Postgres, tmp_path: Path):
    with old_transaction(database) as old:
        running = waiting(attempt_on(database, tmp_path, INDEX), database)
        running.process.send_signal(signal.SIGTERM)
        threading.Timer(2, old.execute, ["ROLLBACK"]).start()
        answer = running.finish()
    assert (answer.code, answer.result["reason"]) == (75, "Stopped"), answer
    assert indexes(database) == []


@pytest.mark.soak
def test_but_not_for_ever(database: Postgres, tmp_path: Path):
    with old_transaction(database):
        running = waiting(attempt_on(database, tmp_path, INDEX), database)
        running.process.send_signal(signal.SIGTERM)
        assert running.finish(29).code == 75
    assert indexes(database) == [(False,)]


def test_abort_drops_what_a_killed_runner_left(database: Postgres, tmp_path: Path):
    attempt = attempt_on(database, tmp_path, INDEX)
    with old_transaction(database):
        killed(attempt, database)
        blocked = attempt.next(segment="Abort").run_to_end()
        assert (blocked.code, blocked.result["reason"]) == (75, "Blocked"), blocked
        assert "by_id" in blocked.result["message"]
    done = replace(attempt, segment="Abort", attempt=3).run_to_end()
    assert (done.code, done.result["reason"]) == (0, "Aborted"), done
    assert indexes(database) == []
    assert database.run("SELECT count(*) FROM whimbrel.step") == [(0,)]


def test_abort_leaves_what_somebody_else_built(database: Postgres, tmp_path: Path):
    attempt = attempt_on(database, tmp_path, INDEX)
    with old_transaction(database):
        killed(attempt, database)
    database.run("DROP INDEX by_id")
    database.run("CREATE INDEX by_id ON old (id)")
    done = attempt.next(segment="Abort").run_to_end()
    assert (done.code, indexes(database)) == (0, [(True,)]), done
