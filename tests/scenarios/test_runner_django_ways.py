"""Where a Django run was cut, or a release is not what it seems: what is said, and what follows."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.django_project import ONE, THREE, TWO, write
from tests.postgres import Postgres
from tests.runner_process import Attempt
from tests.scenarios import test_runner_django as plain
from tests.scenarios.test_runner_django import rows
from tests.scenarios.tool_runs import SLEEP, to, wait_for_sleep

pytestmark = pytest.mark.sampled("Django beside its main path")

project, attempt = plain.project, plain.attempt
ORDERS = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [{below}]
    replaces = {replaces!r}
    operations = [migrations.RunSQL({up!r}, {down!r})]
"""


def orders(project: Path, name: str, up: str, **further: object) -> None:
    """Write a migration of a second app and install the app."""
    folder = project / "orders/migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for each in (folder, folder.parent):
        (each / "__init__.py").touch()
    words = {"below": "", "replaces": [], "down": "SELECT 1", **further}
    (folder / f"{name}.py").write_text(ORDERS.format(up=up, **words))
    settings = project / "shop/settings.py"
    if "orders" not in settings.read_text():
        settings.write_text(settings.read_text() + "\nINSTALLED_APPS += ['orders']\n")


@pytest.mark.sampled("half done by Django")
def test_a_rollback_after_a_failed_run_does_not_take_the_release_before(
    attempt: Attempt, project: Path, database: Postgres
):
    """In between a run failed by halves, and was taken back."""
    assert to(attempt, ONE, 1).run_to_end().code == 0
    write(project, "0004_broken", "SELECT nonsense()")
    two = to(attempt, "people:0004_broken", 2)
    two = replace(two, spec=(*two.spec, ("rollback.onFailure", "Manual")))
    assert two.run_to_end().code == 3
    back = replace(to(attempt, "people:0004_broken", 3), segment="Rollback").run_to_end()
    assert (back.code, rows(database)) == (0, [ONE]), back
    second = project / "people/migrations/0002_fill_email.py"
    text = second.read_text()
    broken = "\n    operations.insert(0, migrations.RunSQL('SELECT nonsense()', 'SELECT 1'))\n"
    second.write_text(text + broken)
    assert to(attempt, TWO, 4).run_to_end().code == 1
    second.write_text(text)
    again = replace(to(attempt, TWO, 5), segment="Rollback").run_to_end()
    assert (again.code, again.result["reason"]) == (2, "NothingToRollBack"), again
    assert rows(database) == [ONE]


@pytest.mark.sampled("half done by Django")
def test_a_squash_whose_row_is_there_does_not_run_again(
    attempt: Attempt, project: Path, database: Postgres
):
    """The image of the release before still says what it replaced; Django would run it."""
    database.run("CREATE TABLE seen (n int)")
    orders(project, "0001_squashed", "INSERT INTO seen VALUES (1)")
    assert to(attempt, "head", 1).run_to_end().code == 0
    replaced = [("orders", "0001_initial"), ("orders", "0002_more")]
    orders(project, "0001_squashed", "INSERT INTO seen VALUES (1)", replaces=replaced)
    refused = to(attempt, "head", 2).run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "PartlySquashed"), refused
    assert "orders:0002_more" in refused.result["message"]
    assert database.run("SELECT count(*) FROM seen") == [(1,)]


@pytest.mark.sampled("half done by Django")
def test_half_of_a_second_migration_does_not_run_again(
    attempt: Attempt, project: Path, database: Postgres
):
    """The start had applied another one whole, so the bookkeeping moved on."""
    assert to(attempt, THREE, 1).run_to_end().code == 0
    write(project, "0004_fine", "SELECT 1")
    up = ["CREATE TABLE IF NOT EXISTS half (n int)", "INSERT INTO half VALUES (1)"]
    up.append("ALTER TABLE people ADD COLUMN z int")
    write(project, "0005_half", up, below="0004_fine", atomic=False)
    one = to(attempt, "people:0005_half", 2)
    with database.connect() as session:
        session.autocommit = False
        session.execute("SELECT * FROM people")
        blocked = one.run_to_end()
        session.rollback()
    assert (blocked.code, blocked.result["reason"]) == (3, "HalfDone"), blocked
    assert "[people:0005_half: INSERT INTO half VALUES (…]" in blocked.result["message"]
    held = one.next().run_to_end()
    assert (held.code, held.result["reason"]) == (3, "HalfDone"), held
    assert "0005_half" in held.result["message"]
    assert database.run("SELECT count(*) FROM half") == [(1,)]
    database.run("DROP TABLE half")
    again = to(attempt, "people:0005_half", 3)
    again = replace(again, order=(*again.order, ("retry", "now"))).run_to_end()
    assert (again.code, database.run("SELECT count(*) FROM half")) == (0, [(1,)]), again


@pytest.mark.sampled("half done by Django")
def test_an_image_without_a_newer_app_is_older(attempt: Attempt, project: Path, database: Postgres):
    assert to(attempt, "head", 1).run_to_end().code == 0
    settings = project / "shop/settings.py"
    old = settings.read_text()
    table = "CREATE TABLE orders (id int, person bigint REFERENCES people(id))"
    below = "('people', '0003_email_is_unique')"
    orders(project, "0001_initial", table, down="DROP TABLE orders", below=below)
    two = to(attempt, "head", 2)
    assert replace(two, spec=(*two.spec, ("migrations.image", "shop:2"))).run_to_end().code == 0
    settings.write_text(old)
    back = replace(to(attempt, "head", 3), segment="Rollback").run_to_end()
    assert (back.code, back.result["reason"]) == (2, "NeedsNewerImage"), back
    assert back.result["image"] == "shop:2"
    lower = to(attempt, "people:zero", 4).run_to_end()
    assert (lower.code, lower.result["reason"]) == (2, "NeedsNewerImage"), lower


@pytest.mark.sampled("half done by Django")
def test_a_way_back_of_several_apps_that_stops_half_way_is_not_called_as_before(
    attempt: Attempt, project: Path, database: Postgres
):
    """Nothing was there to be salvaged: only the rows tell that the first start did its work."""
    orders(project, "0001_initial", "SELECT 1")
    assert to(attempt, "head", 1).run_to_end().code == 0
    index = "CREATE INDEX x ON people (name)"
    first = "('orders', '0001_initial')"
    orders(project, "0002_x", index, down="DROP INDEX x", below=first)
    write(project, "0004_a", "CREATE INDEX a ON people (name)", down="SELECT nonsense()")
    assert to(attempt, "head", 2).run_to_end().code == 0
    back = replace(to(attempt, "head", 3), segment="Rollback").run_to_end()
    assert (back.code, back.result["reason"]) == (3, "RollbackFailed"), back
    assert "as before this run" not in back.result["message"]
    assert "people/migrations/0004_a.py" in back.result["message"]


@pytest.mark.sampled("half done by Django")
def test_an_approved_run_that_is_stopped_between_two_migrations_goes_on(
    attempt: Attempt, project: Path, database: Postgres
):
    write(project, "0004_slow", SLEEP)
    spec = (*attempt.spec, ("migrations.to", "people:0004_slow"), ("approval.before", ["Start"]))
    attempt = replace(attempt, spec=spec, run=f"{attempt.run}-ok")
    digest = replace(attempt, segment="Look").run_to_end().result["planDigest"]
    first = replace(attempt, attempt=2, order=(("approved", digest),))
    for number in (2, 3):
        running = replace(first, attempt=number).start()
        wait_for_sleep(database, running)
        running.process.send_signal(signal.SIGTERM)
        answer = running.finish(20)
        assert (answer.code, answer.result["reason"]) == (75, "Stopped"), answer
        assert rows(database) == [ONE, TWO, THREE]
    write(project, "0004_slow", "SELECT 1")
    other = replace(first, attempt=4).run_to_end()
    assert (other.code, other.result["reason"]) == (3, "PlanChanged"), other
    assert database.run("SELECT state FROM whimbrel.run") == [("held",)]


def test_a_look_writes_nothing_even_where_the_project_would(
    attempt: Attempt, project: Path, database: Postgres
):
    (project / "people/apps.py").write_text(
        """
from django.apps import AppConfig
class PeopleConfig(AppConfig):
    name = "people"
    def ready(self):
        from django.db import connection
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE written (n int)")
"""
    )
    look = replace(attempt, run=f"{attempt.run}-look", segment="Look").run_to_end()
    assert look.code == 2, look
    assert "read-only" in look.result["message"]
    assert database.run("SELECT to_regclass('written') IS NULL") == [(True,)]
