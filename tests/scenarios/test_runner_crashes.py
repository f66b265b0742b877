"""Kill the runner at every word it says to the database: each migration runs exactly once.

A run without faults is counted first; a hundred points are spread evenly over its requests, each
at three moments.
"""

import itertools
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.postgres import Postgres, create_database
from tests.proxy import Moment, Proxy, Strike
from tests.runner_process import Answer, Attempt, attempt_on

FILES = {
    "001_counted.up.sql": "CREATE TABLE counted (n int); INSERT INTO counted VALUES (0);",
    "002_count.up.sql": "UPDATE counted SET n = n + 1;",
    "003_index.up.sql": "-- whimbrel: no-transaction\n"
    "CREATE INDEX CONCURRENTLY by_n ON counted (n);",
    "004_count.up.sql": "UPDATE counted SET n = n + 1; SELECT pg_sleep(0.2);",
    "005_value.up.sql": "CREATE TYPE mood AS ENUM ('good'); UPDATE counted SET n = n + 1;",
}
EXPECTED = 3
POINTS = 100  # of each moment
PATIENCE = 60  # seconds until sessions of a lost node have gone by themselves, and more


def through(attempt: Attempt, proxy: Proxy, database: Postgres) -> Attempt:
    """Return the attempt with the proxy in front of its database."""
    url = attempt.url.replace(f":{database.port}/", f":{proxy.port}/")
    return replace(attempt, url=url)


def finish(attempt: Attempt) -> Answer:
    """Do what the controller does after an unknown end: try again until it is no 75."""
    end = time.monotonic() + PATIENCE
    for number in itertools.count(2):
        answer = replace(attempt, attempt=number).run_to_end()
        if answer.code != 75 or time.monotonic() > end:
            return answer
    raise AssertionError("unreachable")


def assert_exactly_once(database: Postgres, answer: Answer) -> None:
    """Look at what the database shows after everything is over."""
    assert answer.code == 0, answer
    assert database.run("SELECT n FROM counted") == [(EXPECTED,)]
    versions = database.run("SELECT version FROM whimbrel.applied ORDER BY version")
    assert [version for (version,) in versions] == ["001", "002", "003", "004", "005"]
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert database.run(invalid) == [(0,)]
    locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    ours = "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
    assert database.run(locks + ours) == [(0,)]
    assert answer.result["revision"] == "005"


@pytest.fixture(scope="module")
def fault_free_requests(postgres_server, tmp_path_factory) -> int:
    """Count the requests of a run without faults."""
    database = create_database(postgres_server(16), f"calm{next(NUMBERS)}")
    attempt = attempt_on(database, tmp_path_factory.mktemp("calm"), FILES)
    with Proxy(database.port) as proxy:
        answer = through(attempt, proxy, database).run_to_end()
        assert_exactly_once(database, answer)
        return proxy.requests


def test_there_are_at_least_200_crash_points(fault_free_requests: int):
    assert min(fault_free_requests, POINTS) * len(Moment) >= 200


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param(moment, number, id=f"point {number} of {POINTS}, {moment.value}")
        for moment, number in itertools.product(Moment, range(1, POINTS + 1))
    ],
)
@pytest.mark.sampled("a killed runner")
def test_killed_at(
    moment: Moment, number: int, fault_free_requests: int, database: Postgres, tmp_path: Path
):
    request = max(1, number * fault_free_requests // POINTS)
    attempt = attempt_on(database, tmp_path, FILES)
    with Proxy(database.port) as proxy:

        def kill() -> None:
            running.process.kill()

        proxy.strike = Strike(request, moment, kill)
        running = through(attempt, proxy, database).start()
        running.finish()
        answer = finish(attempt)
    assert_exactly_once(database, answer)
