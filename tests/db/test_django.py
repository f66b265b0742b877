"""Django in a user's project through the real launcher, against a real PostgreSQL."""

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.db.tool_shop import NAME, PASSWORD, Shop, opened_shop
from tests.postgres import Postgres
from tests.processes import ROOT
from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import CatalogObject, Direction, RunTool, StepId
from whimbrel.planning.tools.project import WayBack
from whimbrel.runner.bookkeeping import UnreadableError
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.run_tool import ToolFailedError, run_tool
from whimbrel.runner.sessions import connect

pytestmark = pytest.mark.sampled("Django asked and told")

EXAMPLE = ROOT / "examples/tools/django"
VENV_BIN = str(Path(sys.executable).parent)
ONE, TWO, THREE = (
    "people:0001_create_people",
    "people:0002_fill_email",
    "people:0003_email_is_unique",
)
MIGRATION = """
import os, sys
from django.db import migrations, models
def forth(apps, editor):
    run = editor.connection.cursor().execute
    {up}
class Migration(migrations.Migration):
    dependencies = {depends!r}
    replaces = {replaces!r}
    atomic = {atomic!r}
    operations = [migrations.RunPython(forth, {back})]
"""
FREE = "migrations.RunPython.noop"


@pytest.fixture
def app(tmp_path: Path) -> Path:
    ignore = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(EXAMPLE, tmp_path / "app", ignore=ignore))


@pytest.fixture
def shop(app: Path, database: Postgres) -> Iterator[Shop]:
    path = f"{VENV_BIN}:/usr/bin:/bin"
    with opened_shop(app, database, path, {"tool": "django"}) as opened:
        yield opened


def write(shop: Shop, name: str, below: str, up: str = "pass", **further: object) -> None:
    """Write a migration; `app:name` names it, and `below` what it depends on."""
    app, _, last = name.partition(":")
    words = {"depends": [tuple(below.split(":"))] if below else [], "replaces": [], "atomic": True}
    folder = shop.folder / app / "migrations"
    folder.mkdir(parents=True, exist_ok=True)
    for place in (folder.parent, folder):
        (place / "__init__.py").touch()
    text = MIGRATION.format(**{**words, "up": up, "back": FREE, **further})
    (folder / f"{last}.py").write_text(text)


def install(shop: Shop, app: str) -> None:
    """Add an app to the project's settings."""
    settings = shop.folder / "shop/settings.py"
    settings.write_text(settings.read_text() + f"\nINSTALLED_APPS += [{app!r}]\n")


def own(rows: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(row for row in rows if not row.startswith(("auth:", "contenttypes:")))


def columns(shop: Shop) -> list[tuple]:
    return shop.sql(
        "SELECT table_name, column_name, is_nullable, data_type FROM information_schema.columns "
        "WHERE table_schema = 'public' AND table_name <> 'django_migrations' ORDER BY 1, 2"
    )


def test_the_project_is_read_without_a_database(shop: Shop):
    shop.target = type(shop.target)(**{**vars(shop.target), "port": 1})
    project = shop.project()
    assert project.heads[-1] == THREE
    mine = [each for each in project.in_order(project.revisions) if each.id.startswith("people:")]
    assert [(each.id, each.below) for each in mine] == [(ONE, ()), (TWO, (ONE,)), (THREE, (TWO,))]
    assert {each.way_back for each in project.revisions.values()} == {WayBack.WRITTEN}
    assert project.revisions[TWO].file == "people/migrations/0002_fill_email.py"
    # The order of a fresh database, across apps.
    auth, types = "auth:0001_initial", "contenttypes:0001_initial"
    assert types in project.revisions[auth].depends


@pytest.mark.sampled("the main path")
def test_up_down_up_leads_to_the_same_schema(shop: Shop):
    assert shop.go() == ()
    there, everything = columns(shop), shop.rows()
    assert own(everything) == (ONE, TWO, THREE)
    assert shop.sql("SELECT email FROM people ORDER BY id") == [
        ("ada.lovelace@example.com",),
        ("grace.hopper@example.com",),
    ]
    shop.go(ONE)
    assert own(shop.rows()) == (ONE,)
    assert [row[1] for row in columns(shop) if row[0] == "people"] == ["id", "name"]
    shop.go()
    assert (columns(shop), sorted(shop.rows())) == (there, sorted(everything))
    shop.go("base")
    assert (shop.rows(), columns(shop)) == ((), [])


@pytest.mark.sampled("Django beside its main path")
def test_a_migration_is_applied_with_what_it_needs_and_nothing_else(shop: Shop):
    shop.go(TWO)
    assert shop.rows() == (ONE, TWO)
    shop.go()
    assert "auth:0001_initial" in shop.rows()


@pytest.mark.sampled("Django beside its main path")
def test_one_app_goes_back_and_the_others_stay(shop: Shop):
    write(shop, "orders:0001_initial", ONE)
    install(shop, "orders")
    shop.go()
    shop.go("people:zero")
    rows = shop.rows()
    assert own(rows) == ()  # orders is built on people
    assert "auth:0001_initial" in rows
    shop.go()
    shop.go("orders:zero")
    assert set(own(shop.rows())) == {ONE, TWO, THREE}


def test_nothing_to_do_plans_nothing(shop: Shop):
    shop.go()
    assert [shop.plan(to).steps for to in ("head", THREE)] == [(), ()]


def test_settings_that_name_another_database_are_overruled(shop: Shop):
    settings = shop.folder / "shop/settings.py"
    theirs = '{"ENGINE": "django.db.backends.sqlite3", "NAME": "x", "OPTIONS": {"timeout": 5}}'
    settings.write_text(settings.read_text() + f"\nDATABASES = {{'default': {theirs}}}\n")
    shop.go(ONE)
    assert shop.rows() == (ONE,)


def test_what_the_project_sets_beside_the_address_stays(shop: Shop):
    settings = shop.folder / "shop/settings.py"
    theirs = "OPTIONS'] = {'options': '-csearch_path=mine', 'pool': True}"
    settings.write_text(settings.read_text() + f"\nDATABASES['default']['{theirs}\n")
    shop.sql("CREATE SCHEMA mine")
    shop.go(ONE)
    assert shop.sql("SELECT to_regclass('mine.people') IS NOT NULL") == [(True,)]


def test_its_sessions_carry_our_name_and_limits(shop: Shop):
    query = "CREATE TABLE seen AS SELECT current_setting(%s) AS name, current_setting(%s) AS wait"
    write(shop, "people:0004_seen", THREE, f"run({query!r}, ['application_name', 'lock_timeout'])")
    shop.go()
    assert shop.sql("SELECT * FROM seen") == [(NAME, "100ms")]


def test_manage_py_and_settings_can_be_named(shop: Shop):
    (shop.folder / "manage.py").rename(shop.folder / "run.py")
    (shop.folder / "shop/settings.py").rename(shop.folder / "shop/live.py")
    shop.migrations["django"] = {"manage": "run.py", "settings": "shop.live"}
    shop.go(ONE)
    assert shop.rows() == (ONE,)


def test_a_terminal_runs_the_same_project(shop: Shop):
    (shop.folder / ".venv").symlink_to(Path(VENV_BIN).parent)
    shop.tool = LocalTool(shop.folder)
    shop.migrations["workingDir"] = "/app"
    shop.go(ONE)
    assert shop.rows() == (ONE,)


@pytest.mark.sampled("the main path")
def test_the_password_is_nowhere_in_what_is_shown(shop: Shop):
    leaks = (
        "print('URL', os.environ['SHOP_URL']); "
        "print('SET', editor.connection.settings_dict['PASSWORD']); "
        "raise RuntimeError('cannot reach ' + os.environ['SHOP_URL'])"
    )
    write(shop, "people:0004_loud", THREE, leaks)
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    everything = "\n".join([*shop.said, failed.value.message])
    assert "URL postgresql://" in everything
    assert "cannot reach" in failed.value.message
    assert "***" in failed.value.message
    assert not [word for word in (PASSWORD, "p%25", "x%2540") if word in everything]


def test_a_failing_migration_in_the_middle_says_what_stayed(shop: Shop):
    shop.go(TWO)
    write(shop, "people:0004_bad", THREE, "run('INSERT INTO missing VALUES (1)')")
    write(shop, "people:0005_more", "people:0004_bad")
    with pytest.raises(ToolFailedError) as failed:
        shop.go("people:0005_more")
    error = failed.value
    assert error.sqlstate == "42P01"
    assert 'relation "missing" does not exist' in error.message
    assert "people/migrations/0004_bad.py, line 6" in error.message
    assert "[INSERT INTO missing VALUES (…]" in error.message
    assert error.after[-1] == THREE
    assert own(error.after) == (ONE, TWO, THREE)


def test_rows_of_the_database_do_not_get_into_the_message(shop: Shop):
    insert = "INSERT INTO people (name, email) SELECT 'secret', email FROM people"
    write(shop, "people:0004_twice", THREE, f"run({insert!r})")
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.sqlstate == "23505"
    assert "people_email" in failed.value.message
    assert "Key (email)" not in "\n".join([failed.value.message, *shop.said])


@pytest.mark.sampled("Django beside its main path")
def test_a_lock_is_not_waited_for_longer_than_the_limit(shop: Shop):
    shop.go(TWO)
    with connect(shop.target, "application") as session, session.transaction():
        session.execute("SELECT * FROM people")
        with pytest.raises(ToolFailedError) as failed:
            shop.go(THREE)
    assert failed.value.sqlstate == "55P03"
    shop.go(THREE)


@pytest.mark.sampled("Django beside its main path")
def test_a_killed_tool_is_reported_and_its_statement_ends(shop: Shop):
    shop.go()
    insert = "INSERT INTO people (name, email) SELECT 'late', 'late' FROM pg_sleep(20)"
    write(shop, "people:0004_late", THREE, f"print('now', flush=True); run({insert!r})")

    def kill(line: str) -> None:
        if line.endswith("now"):
            shop.tool.signal(signal.SIGKILL)

    shop.hear = kill
    with pytest.raises(ToolFailedError) as failed:
        shop.go()
    assert failed.value.message.startswith("manage.py migrate was killed by SIGKILL")
    with connect(shop.target, "test") as session, session.transaction():
        session.execute("SET LOCAL lock_timeout = '4s'")
        session.execute("LOCK TABLE people IN ACCESS EXCLUSIVE MODE")
    assert shop.sql("SELECT count(*) FROM people WHERE name = 'late'") == [(0,)]


@pytest.mark.sampled("Django beside its main path")
def test_an_exit_code_alone_decides_nothing(shop: Shop):
    shop.go(TWO)
    rows = shop.rows()
    words = ("manage.py", "migrate", "people", "0002_fill_email")
    step = RunTool(StepId("up"), Direction.UP, words, rows, (*rows, THREE))
    with pytest.raises(ToolFailedError) as failed:
        run_tool(shop.place(), step, shop.rows)
    assert "DATABASES['default']" in failed.value.message
    atexit = "import atexit; atexit.register(lambda: (sys.stdout.flush(), os._exit(9)))"
    write(shop, "people:0004_exit", THREE, atexit)
    (warning,) = shop.go("people:0004_exit")
    assert warning.startswith("ToolExit: manage.py migrate people 0004_exit failed, yet")


def test_an_existing_database_is_adopted_without_running_anything(shop: Shop):
    shop.sql("CREATE TABLE people (id bigint, name text, email text)")
    shop.migrations["baseline"] = TWO
    users = frozenset({CatalogObject("table", "public", "people")})
    shop.carry_out(shop.plan(TWO, catalog=users))
    assert shop.rows() == (ONE, TWO)
    assert shop.sql("SELECT count(*) FROM people") == [(0,)]


def test_a_row_that_is_there_twice_is_a_question(shop: Shop):
    shop.go(ONE)
    shop.sql(
        "INSERT INTO django_migrations (app, name, applied) "
        "SELECT app, name, applied FROM django_migrations"
    )
    with pytest.raises(UnreadableError) as refused:
        shop.rows()
    assert refused.value.reason == "AppliedTwice"
    assert ONE in refused.value.message


# ---- squashed migrations ----


def squash(shop: Shop, *, with_replaces: bool) -> None:
    replaces = [("people", ONE.split(":")[1]), ("people", TWO.split(":")[1])]
    make = "run('CREATE TABLE people (id bigint, name text, email text)')"
    write(shop, "people:0001_squashed", "", make, replaces=replaces if with_replaces else [])
    three = shop.folder / "people/migrations/0003_email_is_unique.py"
    three.write_text("raise SystemExit")
    three.unlink()


@pytest.mark.sampled("Django beside its main path")
def test_a_squash_is_recorded_though_nothing_has_to_run(shop: Shop):
    shop.go(TWO)
    squash(shop, with_replaces=True)
    assert shop.go("people:0001_squashed") == ()
    assert shop.rows() == (ONE, TWO, "people:0001_squashed")
    assert shop.plan("people:0001_squashed").steps == ()
    # Later the old files and the word `replaces` go; their rows stay and mean nothing.
    squash(shop, with_replaces=False)
    for name in (ONE, TWO):
        (shop.folder / f"people/migrations/{name.split(':')[1]}.py").unlink()
    assert shop.plan("people:0001_squashed").steps == ()


@pytest.mark.sampled("Django beside its main path")
def test_a_squash_on_an_empty_database_is_recorded_with_what_it_replaces(shop: Shop):
    squash(shop, with_replaces=True)
    shop.go("people:0001_squashed")
    assert set(shop.rows()) == {ONE, TWO, "people:0001_squashed"}
    shop.go("people:zero")
    assert shop.rows() == ()


@pytest.mark.sampled("Django beside its main path")
def test_a_squash_of_which_a_part_is_applied_is_refused(shop: Shop):
    shop.go(ONE)
    squash(shop, with_replaces=True)
    with pytest.raises(RefusedError) as refused:
        shop.go("people:0001_squashed")
    assert refused.value.reason == "PartlySquashed"
    assert TWO in refused.value.message


@pytest.mark.sampled("Django beside its main path")
def test_an_irreversible_migration_is_said_before_and_refused_after(shop: Shop):
    write(shop, "people:0004_oneway", THREE, back="None")
    plan = shop.plan("people:0004_oneway")
    assert any(
        "0004_oneway.py: an operation of it is not reversible" in each for each in plan.notes
    )
    shop.carry_out(plan)
    with pytest.raises(RefusedError) as refused:
        shop.back(THREE)
    assert refused.value.reason == "NoDown"


# ---- images and projects that cannot work: one sentence each ----
