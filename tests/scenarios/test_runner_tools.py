"""The whole runner with a real project of each tool: the stories that are the same for all."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests import django_project as django, sequelize_project as sequelize, typeorm_shop as typeorm
from tests.postgres import Postgres
from tests.runner_process import Attempt
from tests.scenarios.tool_runs import (
    SLEEP,
    first_attempt,
    kill_in_sleep,
    to,
    url_that_makes_roles,
    wait_for_sleep,
)

pytestmark = pytest.mark.sampled("each tool once more")


@dataclass(frozen=True)
class Example:
    """A tool's example, of three migrations.

    Attributes:
        copy: Copies it into a folder that is not there yet.
        write: Writes a fourth migration of one statement; returns its file.
        first: Name of the first.
        third: Name of the last.
        fourth: Name of what `write` writes.
        table: The tool's own table.
        shown: How names stand in it, in SQL.
        order: By what it is ordered.
    """

    tool: str
    copy: Callable[[Path], Path]
    write: Callable[[Path, str], Path]
    first: str
    third: str
    fourth: str
    table: str
    shown: str = "name"
    order: str = "id"

    def rows(self, database: Postgres) -> list[str]:
        """Return what the tool has written down."""
        asked = f"SELECT {self.shown} FROM {self.table} ORDER BY {self.order}"
        return [row[0] for row in database.run(asked)]


DJANGO = Example(
    tool="django",
    copy=django.copied,
    write=lambda project, up: django.write(project, "0004_new", up),
    first=django.ONE,
    third=django.THREE,
    fourth="people:0004_new",
    table="django_migrations",
    shown="app || ':' || name",
)
TYPEORM = Example(
    tool="typeorm",
    copy=typeorm.copied,
    write=lambda project, up: typeorm.migration(
        project, "Fourth1767484800000", up=typeorm.query(up)
    ),
    first=typeorm.ONE,
    third=typeorm.THREE,
    fourth="Fourth1767484800000",
    table="migrations",
)
SEQUELIZE = Example(
    tool="sequelize",
    copy=sequelize.copied,
    write=lambda project, up: sequelize.write(project, "20260104090000-four.js", up),
    first=sequelize.ONE,
    third=sequelize.THREE,
    fourth="20260104090000-four.js",
    table='"SequelizeMeta"',
    order="name",
)


@dataclass(frozen=True)
class Shop:
    """A copy of the example, its database, and the first attempt at it."""

    example: Example
    project: Path
    database: Postgres
    attempt: Attempt

    def write(self, up: str) -> Path:
        return self.example.write(self.project, up)

    def rows(self) -> list[str]:
        return self.example.rows(self.database)


@pytest.fixture
def shop(request, database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    project = request.param.copy(tmp_path / "app")
    with first_attempt(database, project, request.param.tool) as attempt:
        yield Shop(request.param, project, database, attempt)


def of(*examples: Example) -> pytest.MarkDecorator:
    """Tell the story of these tools."""
    told = [pytest.param(each, id=each.tool) for each in examples]
    return pytest.mark.parametrize("shop", told, indirect=True)


@pytest.mark.sampled("the main path")
@of(DJANGO, TYPEORM, SEQUELIZE)
def test_up_again_and_back(shop: Shop):
    up = shop.attempt.run_to_end()
    assert (up.code, up.result.get("revision")) == (0, shop.example.third), up
    again = replace(shop.attempt, run=f"{shop.attempt.run}-2").run_to_end()
    assert (again.code, again.result["outcome"]) == (0, "NothingToDo"), again
    assert shop.database.run("SELECT count(*) FROM whimbrel.tool_run") == [(1,)]
    back = replace(shop.attempt, run=f"{shop.attempt.run}-3", segment="Rollback").run_to_end()
    assert (back.code, back.result["outcome"], shop.rows()) == (0, "RolledBack", []), back
    assert back.result["salvage"]
    salvaged = str(shop.database.run("SELECT source FROM whimbrel.salvage"))
    assert "people" in salvaged
    assert shop.example.table.strip('"') not in salvaged


# What Sequelize does then is its own: it opens no transaction.
@of(DJANGO, TYPEORM)
@pytest.mark.sampled("a fault of each tool")
def test_killed_in_mid_statement_and_started_again(shop: Shop):
    shop.database.run("CREATE TABLE naps AS SELECT 1")
    shop.write(f"CREATE TABLE late AS SELECT n FROM ({SLEEP}, 1 AS n FROM naps) s")
    kill_in_sleep(shop.database, shop.attempt)
    shop.database.run("TRUNCATE naps")
    answer = shop.attempt.next().run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, shop.example.fourth), answer
    assert answer.result["fence"] == "Process"
    assert shop.database.run("SELECT count(*) FROM late") == [(0,)]


@of(DJANGO, TYPEORM)
@pytest.mark.sampled("a fault of each tool")
def test_a_login_of_its_own_owns_nothing_and_is_the_fence(shop: Shop):
    url = url_that_makes_roles(shop.database)
    shop.database.run("CREATE TABLE naps AS SELECT 1")
    shop.write(f"{SLEEP} FROM naps")
    lost = replace(shop.attempt, url=url, machine="another-node")
    kill_in_sleep(shop.database, lost)
    shop.database.run("TRUNCATE naps")
    answer = lost.next(machine="").run_to_end()
    assert (answer.code, answer.result.get("revision")) == (0, shop.example.fourth), answer
    assert answer.result["fence"] == "Role"
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert shop.database.run(owners) == [(shop.database.user,)]


@of(DJANGO, TYPEORM)
@pytest.mark.sampled("a fault of each tool")
def test_sigterm_between_two_migrations_takes_nothing_back(shop: Shop):
    shop.database.run("CREATE TABLE naps AS SELECT 1")
    shop.write(f"{SLEEP} FROM naps")
    running = shop.attempt.start()
    wait_for_sleep(shop.database, running)
    running.process.send_signal(signal.SIGTERM)
    answer = running.finish(20)
    assert (answer.code, answer.result.get("reason")) == (75, "Stopped"), answer
    assert answer.result["revision"] == shop.example.third
    shop.database.run("TRUNCATE naps")
    on = shop.attempt.next().run_to_end()
    assert (on.code, on.result.get("revision")) == (0, shop.example.fourth), on


@of(DJANGO, TYPEORM, SEQUELIZE)
@pytest.mark.sampled("a fault of each tool")
def test_two_runs_at_once_apply_once(shop: Shop):
    """Without a lock both would say OK, and the data would be there twice (finding 0.1)."""
    to(shop.attempt, shop.example.third, 1).run_to_end()
    shop.database.run("CREATE TABLE seen (n int)")
    shop.write("INSERT INTO seen SELECT 1 FROM pg_sleep(2)")
    first = to(shop.attempt, "head", 2)
    second = to(shop.attempt, "head", 3, name="twin", uid="uid-twin")
    both = [each.start() for each in (first, second)]
    answers = [each.finish() for each in both]
    assert sorted(each.code for each in answers) in ([0, 0], [0, 75]), answers
    assert shop.database.run("SELECT count(*) FROM seen") == [(1,)]
    assert shop.rows().count(shop.example.fourth) == 1
    assert len(set(shop.rows())) == len(shop.rows())


@of(DJANGO, TYPEORM, SEQUELIZE)
@pytest.mark.sampled("a fault of each tool")
def test_an_older_image_changes_nothing(shop: Shop):
    file = shop.write("SELECT 1")
    assert shop.attempt.run_to_end().code == 0
    there = shop.rows()
    assert shop.example.fourth in there
    file.unlink()
    ahead = to(shop.attempt, "head", 2).run_to_end()
    assert (ahead.code, ahead.result["reason"]) == (0, "DatabaseAhead"), ahead
    lower = to(shop.attempt, shop.example.first, 3).run_to_end()
    assert (lower.code, lower.result["reason"]) == (2, "NeedsNewerImage"), lower
    assert lower.result["image"] == "shop:1"
    assert shop.rows() == there
