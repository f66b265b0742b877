"""Kill the runner at every word it says to the database: each migration runs exactly once.

The number of crash points follows from a run without faults, times three moments. `make test`
draws a seeded sample of which each moment is part; `make soak` takes them all.
"""

import itertools
import os
import random
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
UPPER_BOUND = 90  # requests of a run without faults are counted below and must stay above this
SEED = int(os.environ.get("WHIMBREL_SEED", "1"))
SAMPLE = 5  # crash points of each moment in `make test`


def points() -> list[tuple[Moment, int]]:
    """Return the crash points of this session: all of them, or a seeded sample."""
    every = list(itertools.product(Moment, range(1, UPPER_BOUND + 1)))
    if os.environ.get("WHIMBREL_SOAK"):
        return every
    draw = random.Random(SEED)
    per_moment = [[point for point in every if point[0] is moment] for moment in Moment]
    return [point for group in per_moment for point in sorted(draw.sample(group, SAMPLE), key=str)]


def through(attempt: Attempt, proxy: Proxy, database: Postgres) -> Attempt:
    """Return the attempt with the proxy in front of its database."""
    url = attempt.url.replace(f":{database.port}/", f":{proxy.port}/")
    return replace(attempt, url=url)


def finish(attempt: Attempt) -> Answer:
    """Do what the controller does after an unknown end: try again until it is no 75."""
    for number in range(2, 12):
        answer = replace(attempt, attempt=number).run_to_end()
        if answer.code != 75:
            return answer
    raise AssertionError(f"still not finished: {answer}")


def assert_exactly_once(database: Postgres, answer: Answer) -> None:
    """Look at what the database shows after everything is over."""
    assert answer.code == 0, answer
    assert database.run("SELECT n FROM counted") == [(EXPECTED,)]
    versions = database.run("SELECT version FROM whimbrel.applied ORDER BY version")
    assert [version for (version,) in versions] == ["001", "002", "003", "004", "005"]
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert database.run(invalid) == [(0,)]
    assert database.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
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
    assert fault_free_requests * len(Moment) >= 200
    assert fault_free_requests <= UPPER_BOUND


@pytest.mark.parametrize(
    ("moment", "number"),
    [pytest.param(*each, id=f"request {each[1]} {each[0].value}") for each in points()],
)
def test_killed_at(moment: Moment, number: int, database: Postgres, tmp_path: Path):
    attempt = attempt_on(database, tmp_path, FILES)
    with Proxy(database.port) as proxy:

        def kill() -> None:
            running.process.kill()

        proxy.strike = Strike(number, moment, kill)
        running = through(attempt, proxy, database).start()
        running.finish()
        answer = finish(attempt)
    assert_exactly_once(database, answer)
