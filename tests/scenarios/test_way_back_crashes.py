"""Kill the runner at every word of a way back: what was applied comes down once, salvaged once.

Three files in transactions of their own are applied and a fourth fails. A run without faults is
counted first, from the failing statement on; the crash points are spread evenly over that part.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.postgres import Postgres, create_database
from tests.proxy import Moment, Proxy, Strike
from tests.runner_process import Answer, Attempt, attempt_on
from tests.scenarios.held.asking import GATE, PATIENT, await_waiter, closed_gate
from tests.scenarios.test_runner_crashes import finish, through

# An INSERT destroys nothing: a down that tells by one that it ran needs nobody's consent.
FILES = {
    "001_first.up.sql": "CREATE TABLE first (n int); INSERT INTO log VALUES ('up 1');",
    "001_first.down.sql": "INSERT INTO log VALUES ('down 1'); DROP TABLE first;",
    "002_index.up.sql": "-- whimbrel: no-transaction\n"
    "CREATE INDEX CONCURRENTLY by_what ON log (what);",
    "002_index.down.sql": "-- whimbrel: no-transaction\nDROP INDEX CONCURRENTLY by_what;",
    "003_third.up.sql": "ALTER TABLE first ADD COLUMN m int; INSERT INTO log VALUES ('up 3');",
    "003_third.down.sql": "INSERT INTO log VALUES ('down 3'); ALTER TABLE first DROP COLUMN m;",
    "004_fails.up.sql": f"{GATE} SELECT nonsense();",
    "004_fails.down.sql": "SELECT 1;",
}
ONCE = ["up 1", "up 3", "down 3", "down 1"]
LOSSY = FILES | {"001_first.down.sql": "DROP TABLE first; DELETE FROM log;"}
# Crash points of each moment.
POINTS, LOSSY_POINTS, SALVAGE_POINTS = 40, 4, 6


def at_points(of: int) -> pytest.MarkDecorator:
    """Run a test at every crash point, at each moment of it."""
    found = [
        pytest.param(number, moment, id=f"point {number} of {of}, {moment.value}")
        for number, moment in itertools.product(range(1, of + 1), Moment)
    ]
    return pytest.mark.parametrize(("point", "moment"), found)


@dataclass(frozen=True)
class Calm:
    """A run without faults: the requests of its way back, the first and the last one."""

    first: int
    last: int

    def request(self, point: int, of: int) -> int:
        """Return the request of a point, 1 to `of`."""
        return self.first + (point - 1) * (self.last - self.first) // (of - 1)


def failing(database: Postgres, folder: Path, files: dict[str, str]) -> Attempt:
    """Return the first attempt at files of which the last one fails; the log is there before."""
    database.run("CREATE TABLE log (what text, at serial)")
    spec = (
        ("migrations.atomicity", "File"),
        ("rollback.onFailure", "Automatic"),
        *((f"limits.{name}", value) for name, value in PATIENT.items()),
    )
    return attempt_on(database, folder, files, spec=spec)


def calm_run(database: Postgres, folder: Path, files: dict[str, str]) -> tuple[Calm, Answer]:
    """Let a run fail and take itself back; count its requests from the failing statement on."""
    attempt = failing(database, folder, files)
    with closed_gate(database) as gate, Proxy(database.port) as proxy:
        running = through(attempt, proxy, database).start()
        await_waiter(database, "advisory")
        first = proxy.requests + 1
        gate.execute("SELECT pg_advisory_unlock(42)")
        answer = running.finish()
        return Calm(first, proxy.requests), answer


def killed(request: int, moment: Moment, attempt: Attempt, database: Postgres) -> Answer:
    """Kill the first attempt at a request; then do what the controller does until it is over."""
    with Proxy(database.port) as proxy:

        def kill() -> None:
            running.process.kill()

        proxy.strike = Strike(request, moment, kill)
        running = through(attempt, proxy, database).start()
        running.finish()
        return finish(attempt)


def log_of(database: Postgres) -> list[str]:
    """Return what the files have done, in order."""
    return [what for (what,) in database.run("SELECT what FROM log ORDER BY at")]


def assert_over(database: Postgres, state: str) -> None:
    """Check that no attempt is open, no lock is held and no index is invalid."""
    assert database.run("SELECT state FROM whimbrel.run ORDER BY number DESC LIMIT 1") == [(state,)]
    assert database.run("SELECT count(*) FROM whimbrel.attempt WHERE state = 'open'") == [(0,)]
    assert database.run("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    locks = "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    ours = "WHERE l.locktype = 'advisory' AND d.datname = current_database()"
    assert database.run(locks + ours) == [(0,)]


def assert_as_before(database: Postgres, answer: Answer) -> None:
    """Check that everything of the run is gone, and that message and ledger say so."""
    assert (answer.code, answer.result["reason"]) == (1, "StatementFailed"), answer
    for words in ("004_fails.up.sql", "taken back", "the database is as before this run"):
        assert words in answer.result["message"], answer
    assert log_of(database) == ONCE
    shown = "SELECT to_regclass('first'), to_regclass('by_what')"
    assert database.run(shown) == [(None, None)]
    assert database.run("SELECT count(*) FROM whimbrel.applied") == [(0,)]
    assert_over(database, "failed")


def assert_asked(database: Postgres, answer: Answer) -> None:
    """Check that a person is asked, that nothing was taken back, and that the ledger says so."""
    assert (answer.code, answer.result["reason"]) == (3, "RollbackFailed"), answer
    assert "004_fails.up.sql" in answer.result["message"], answer
    assert answer.result["command"].startswith("kubectl patch dbm shop -n team"), answer
    assert log_of(database) == ["up 1", "up 3"]
    assert database.run("SELECT to_regclass('first') IS NULL") == [(False,)]
    applied = database.run("SELECT version FROM whimbrel.applied ORDER BY version")
    assert applied == [("001",), ("002",), ("003",)]
    assert_over(database, "held")


@pytest.fixture(scope="module")
def calm(postgres_server, tmp_path_factory) -> Calm:
    """Count the requests of a way back without faults."""
    database = create_database(postgres_server(16), f"calm{next(NUMBERS)}")
    counted, answer = calm_run(database, tmp_path_factory.mktemp("calm"), FILES)
    assert_as_before(database, answer)
    return counted


@pytest.fixture(scope="module")
def calm_question(postgres_server, tmp_path_factory) -> Calm:
    """Count the requests of a way back that would lose data and ends with a question."""
    database = create_database(postgres_server(16), f"calm{next(NUMBERS)}")
    counted, answer = calm_run(database, tmp_path_factory.mktemp("calm"), LOSSY)
    assert_asked(database, answer)
    return counted


def test_there_are_at_least_100_crash_points(calm: Calm):
    assert min(calm.last - calm.first, POINTS) * len(Moment) >= 100


@at_points(POINTS)
@pytest.mark.sampled("a killed way back")
def test_killed_way_back_of_a_failed_run_takes_everything_back(
    point: int, moment: Moment, calm: Calm, database: Postgres, tmp_path: Path
):
    attempt = failing(database, tmp_path, FILES)
    request = calm.request(point, POINTS)
    assert_as_before(database, killed(request, moment, attempt, database))


@at_points(LOSSY_POINTS)
@pytest.mark.sampled("a killed way back that would lose data")
def test_killed_way_back_that_would_lose_data_asks_a_person(
    point: int, moment: Moment, calm_question: Calm, database: Postgres, tmp_path: Path
):
    attempt = failing(database, tmp_path, LOSSY)
    request = calm_question.request(point, LOSSY_POINTS)
    assert_asked(database, killed(request, moment, attempt, database))


WITH_DATA = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY);",
    "001_users.down.sql": "DROP TABLE users;",
    "002_email.up.sql": "ALTER TABLE users ADD COLUMN email text;",
    "002_email.down.sql": "ALTER TABLE users DROP COLUMN email;",
}


def rollback_with_data(database: Postgres, folder: Path) -> Attempt:
    """Apply two files, let the application write, and return the first attempt at going back."""
    done = attempt_on(database, folder, WITH_DATA).run_to_end()
    assert done.code == 0, done
    database.run("INSERT INTO users VALUES (1, 'ann@example.org')")
    order = (("to", "001"), ("number", 2))
    return attempt_on(database, folder, WITH_DATA, run="back", segment="Rollback", order=order)


def assert_salvaged_once(database: Postgres, answer: Answer) -> None:
    """Check that the column is gone, and its value is in one table, known to the ledger."""
    assert (answer.code, answer.result["outcome"]) == (0, "RolledBack"), answer
    assert answer.result["revision"] == "001", answer
    columns = "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0"
    assert database.run(f"{columns} AND NOT attisdropped") == [("id",)]
    assert database.run("SELECT id FROM users") == [(1,)]
    ((table, rows),) = database.run("SELECT table_name, rows FROM whimbrel.salvage")
    assert (rows, answer.result["salvage"]) == (1, [table]), answer
    made = "SELECT relname FROM pg_class WHERE relname LIKE 'salvage%' AND relkind = 'r'"
    assert sorted(database.run(made)) == sorted([("salvage",), (table,)])
    assert database.run(f'SELECT id, email FROM whimbrel."{table}"') == [(1, "ann@example.org")]
    assert_over(database, "rolled_back")


@pytest.fixture(scope="module")
def calm_salvage(postgres_server, tmp_path_factory) -> Calm:
    """Count the requests of a rollback that salvages, without faults."""
    database = create_database(postgres_server(16), f"calm{next(NUMBERS)}")
    attempt = rollback_with_data(database, tmp_path_factory.mktemp("calm"))
    with Proxy(database.port) as proxy:
        answer = through(attempt, proxy, database).run_to_end()
        assert_salvaged_once(database, answer)
        return Calm(1, proxy.requests)


@at_points(SALVAGE_POINTS)
@pytest.mark.sampled("a killed rollback that salvages")
def test_killed_rollback_salvages_once(
    point: int, moment: Moment, calm_salvage: Calm, database: Postgres, tmp_path: Path
):
    attempt = rollback_with_data(database, tmp_path)
    request = calm_salvage.request(point, SALVAGE_POINTS)
    assert_salvaged_once(database, killed(request, moment, attempt, database))
