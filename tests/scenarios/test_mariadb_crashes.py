"""Kill the runner at every word it says to MariaDB: nothing runs twice, nothing is left half.

The server goes on with a statement whose client is dead, and commits what DDL it was at; the next
attempt finds out. The same files run as those of tool `sql` and as a directory of Prisma's, whose
table must be true as well.
"""

import itertools
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.mariadb import MariaDB, create_database
from tests.proxy import Moment, Proxy, Strike
from tests.runner_process import Answer, Attempt
from tests.scenarios.test_runner_crashes import finish, through

FILES = {
    "001_counted.up.sql": "CREATE TABLE counted (n int);\nINSERT INTO counted VALUES (0);",
    "002_count.up.sql": "UPDATE counted SET n = n + 1;\nALTER TABLE counted ADD COLUMN b int;\n"
    "UPDATE counted SET n = n + 1;\nCREATE INDEX by_n ON counted (n);\nDROP INDEX by_n ON counted;",
    "003_more.up.sql": "CREATE TABLE more (n int);\nCREATE VIEW seen AS SELECT n FROM more;\n"
    "RENAME TABLE more TO most;\nUPDATE counted SET n = n + 1;",
}
EXPECTED = 3
# A failing file: its part is taken back, whoever is killed meanwhile.
BROKEN = {
    "004_broken.up.sql": "CREATE TABLE broken (n int);\nALTER TABLE counted ADD COLUMN c int;\n"
    "INSERT INTO nowhere VALUES (1);",
    "004_broken.down.sql": "ALTER TABLE counted DROP COLUMN c;\nDROP TABLE broken;",
}
POINTS = 100  # of each moment
MOMENTS = (Moment.BEFORE, Moment.AFTER)
STORIES = tuple(itertools.product(("sql", "prisma"), ("up", "back")))
Story = tuple[str, str]  # tool and way
KEPT = (
    "SELECT migration_name, COUNT(*), SUM(finished_at IS NOT NULL AND rolled_back_at IS NULL)"
    " FROM _prisma_migrations GROUP BY migration_name ORDER BY migration_name"
)


def assert_exactly_once(database: MariaDB, answer: Answer, tool: str) -> None:
    """Look at what the database shows after everything is over."""
    assert database.run("SELECT n FROM counted") == [(EXPECTED,)]
    versions = [each for (each,) in database.run("SELECT version FROM whimbrel_applied")]
    assert sorted(versions) == ["001", "002", "003"]
    assert database.run("SELECT COUNT(*) FROM whimbrel_piece") == [(0,)]
    theirs = {name for (name,) in database.run("SHOW TABLES") if "whimbrel_" not in name}
    assert theirs - {"_prisma_migrations"} == {"counted", "most", "seen"}
    if tool == "prisma":
        assert database.run(KEPT) == [("001", 1, 1), ("002", 1, 1), ("003", 1, 1)]
    columns = [row[0] for row in database.run("SHOW COLUMNS FROM counted")]
    assert columns == ["n", "b"]
    assert answer.result["revision"] == "003"


def attempt_at(
    database: MariaDB, folder: Path, tool: str, files: dict[str, str], run: str = "run1"
) -> Attempt:
    """Return the first attempt at applying files, under the names that the tool gives them."""
    if tool == "prisma":
        words = ((name[:3], name.partition(".")[2], text) for name, text in files.items())
        files = {f"{no}.{end.replace('up', 'migration')}": text for no, end, text in words}
    spec = (("migrations", {"tool": tool, "inline": {"files": files}}),)
    return Attempt(folder, database.url, (), spec=spec, run=run)


def attempt_of(database: MariaDB, story: Story, folder: Path) -> Attempt:
    """Return the attempt that a story is about, after what a way back begins with."""
    tool, way = story
    if way == "up":
        return attempt_at(database, folder, tool, FILES)
    attempt_at(database, folder, tool, FILES, run="run0").run_to_end()
    return attempt_at(database, folder, tool, FILES | BROKEN)


@pytest.fixture(scope="module")
def requests_of(mariadb_server, tmp_path_factory) -> dict[Story, int]:
    """Count the requests of runs without faults."""
    found = {}
    for story in STORIES:
        database = create_database(mariadb_server, f"calm{next(NUMBERS)}")
        attempt = attempt_of(database, story, tmp_path_factory.mktemp("calm"))
        with Proxy(database.port, speaks_mysql=True) as proxy:
            answer = through(attempt, proxy, database).run_to_end()
            assert answer.code == (0 if story[1] == "up" else 1), answer
            assert_exactly_once(database, answer, story[0])
            found[story] = proxy.requests
    return found


@pytest.mark.parametrize("number", range(1, POINTS + 1), ids="point {}".format)
@pytest.mark.parametrize(
    "at",
    list(itertools.product(STORIES, MOMENTS)),
    ids=lambda it: f"{' '.join(it[0])}, {it[1].value}",
)
@pytest.mark.sampled("a runner killed on MariaDB")
def test_killed_at(
    at: tuple[Story, Moment],
    number: int,
    requests_of: dict[Story, int],
    mariadb: MariaDB,
    tmp_path: Path,
):
    story, moment = at
    attempt = attempt_of(mariadb, story, tmp_path)
    with Proxy(mariadb.port, speaks_mysql=True) as proxy:

        def kill() -> None:
            running.process.kill()

        proxy.strike = Strike(max(1, number * requests_of[story] // POINTS), moment, kill)
        running = through(attempt, proxy, mariadb).start()
        running.finish()
        answer = finish(attempt)
    assert answer.code == (0 if story[1] == "up" else 1), answer
    assert_exactly_once(mariadb, answer, story[0])
