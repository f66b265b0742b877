"""A way back that stands in a newer image, and projects of several tools in one database."""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from tests import django_project as django, sequelize_project as sequelize
from tests.postgres import Postgres
from tests.processes import ROOT
from tests.runner_process import Attempt
from tests.scenarios.tool_runs import first_attempt, to

pytestmark = pytest.mark.sampled("a way back in a newer image")
NEWER, OLDER = "shop:2", "shop:1"
FOUR = "0004_new"
ROWS = "SELECT app || ':' || name FROM django_migrations ORDER BY id"


def rows(database: Postgres) -> list[str]:
    return [row[0] for row in database.run(ROWS)]


def in_image(attempt: Attempt, image: str, **order: object) -> Attempt:
    """Return an attempt whose Pod has an image, while the object says the older one."""
    spec = (*attempt.spec, ("migrations.image", OLDER))
    return replace(attempt, spec=spec, order=(*attempt.order, ("image", image), *order.items()))


@pytest.fixture
def release(database: Postgres, tmp_path: Path) -> Iterator[tuple[Attempt, Path]]:
    """A project whose newer image has one more migration, which is applied: the older image."""
    project = django.copied(tmp_path / "app")
    with first_attempt(database, project, "django") as attempt:
        assert in_image(attempt, OLDER).run_to_end().code == 0
        file = django.write(project, FOUR, "SELECT 1")
        assert in_image(to(attempt, "head", 1), NEWER).run_to_end().code == 0
        assert rows(database)[-1] == f"people:{FOUR}"
        yield attempt, file


@pytest.mark.parametrize("asked", ["a lower target", "a rollback"])
def test_the_run_goes_on_in_the_image_that_the_answer_names(
    release: tuple[Attempt, Path], database: Postgres, asked: str
):
    attempt, file = release
    text = file.read_text()
    file.unlink()
    first = to(attempt, django.THREE if asked == "a lower target" else "head", 2)
    if asked == "a rollback":
        first = replace(first, segment="Rollback")
    refused = in_image(first, OLDER).run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "NeedsNewerImage"), refused
    assert refused.result["image"] == NEWER
    file.write_text(text)
    back = in_image(first.next(), NEWER).run_to_end()
    assert (back.code, rows(database)[-1]) == (0, django.THREE), back
    assert database.run("SELECT state FROM whimbrel.run ORDER BY number DESC LIMIT 1") != [
        ("failed",)
    ]


def test_the_look_before_it_names_the_image_too(release: tuple[Attempt, Path]):
    attempt, file = release
    file.unlink()
    look = replace(to(attempt, django.THREE, 2), segment="Look")
    refused = in_image(look, OLDER).run_to_end()
    assert (refused.code, refused.result["image"]) == (2, NEWER), refused


def test_the_ledger_keeps_the_image_of_the_pod(release: tuple[Attempt, Path], database: Postgres):
    """Also of a way back, after which another one asks for it again."""
    attempt, file = release
    started = "SELECT image FROM whimbrel.tool_run ORDER BY seq"
    assert database.run(started) == [(OLDER,), (NEWER,)]
    django.write(attempt.project, "0005_more", "SELECT 1", below=FOUR)
    assert in_image(to(attempt, "head", 2), NEWER).run_to_end().code == 0
    assert in_image(to(attempt, f"people:{FOUR}", 3), NEWER).run_to_end().code == 0
    file.unlink()
    (file.parent / "0005_more.py").unlink()
    refused = in_image(to(attempt, django.THREE, 4), OLDER).run_to_end()
    assert refused.result.get("image") == NEWER, refused


def test_at_a_terminal_the_run_ends_there(release: tuple[Attempt, Path], database: Postgres):
    """There is no other image to be had: nothing may stay reserved."""
    attempt, file = release
    file.unlink()
    refused = to(attempt, django.THREE, 2).run_to_end()
    assert (refused.code, refused.result["reason"]) == (2, "NeedsNewerImage"), refused
    newest = "SELECT state, closed_at IS NULL FROM whimbrel.run ORDER BY number DESC LIMIT 1"
    assert database.run(newest) == [("failed", False)]


def test_projects_that_share_a_database_take_back_their_own(database: Postgres, tmp_path: Path):
    with ExitStack() as stack:
        shops = []
        for copied, tool in ((django.copied, "django"), (sequelize.copied, "sequelize")):
            folder = tmp_path / tool
            folder.mkdir()
            project = copied(folder / "app")
            attempt = stack.enter_context(first_attempt(database, project, tool))
            shops.append(replace(attempt, name=tool, uid=f"uid-{tool}"))
        python, node = shops
        assert to(python, django.ONE, 1).run_to_end().code == 0
        database.run("ALTER TABLE people RENAME TO persons")
        up = to(node, "head", 1).run_to_end()
        assert up.code == 0, up
        database.run("ALTER TABLE people RENAME TO customers")
        database.run("ALTER TABLE persons RENAME TO people")
        back = replace(to(python, "head", 2), segment="Rollback").run_to_end()
    assert (back.code, rows(database)) == (0, []), back
    assert database.run("SELECT count(*) FROM customers") != [(0,)]
    ((source,),) = database.run("SELECT DISTINCT source FROM whimbrel.salvage")
    assert "people" in source


def test_a_table_of_another_project_is_not_taken_for_a_newer_state(
    database: Postgres, tmp_path: Path
):
    """Its env.py names a table of its own, which is not made yet, and the object does not."""
    with ExitStack() as stack:
        shops = []
        for name in ("one", "two"):
            folder = tmp_path / name
            shutil.copytree(ROOT / "examples/tools/alembic", folder)
            attempt = stack.enter_context(first_attempt(database, folder, "alembic"))
            spec = (*attempt.spec, ("migrations.databaseURL.scheme", "postgresql+psycopg"))
            shops.append(replace(attempt, name=name, uid=f"uid-{name}", spec=spec))
        one, two = shops
        assert one.run_to_end().code == 0
        for each in (two.project / "migrations/versions").glob("*.py"):
            each.unlink()
        (two.project / "migrations/versions/a.py").write_text(FIRST)
        env = two.project / "migrations/env.py"
        text = env.read_text()
        named = text.replace("context.configure(", "context.configure(version_table='two_version',")
        env.write_text(named)
        refused = two.run_to_end()
        assert (refused.code, refused.result.get("reason")) == (2, "BookkeepingForeign"), refused
        spec = (*two.spec, ("migrations.bookkeeping.table", "two_version"))
        done = replace(two, run=f"{two.run}-2", spec=spec).run_to_end()
        assert (done.code, done.result.get("revision")) == (0, "first"), done
        # And whoever was there first still knows what is his.
        back = replace(one, run=f"{one.run}-2", segment="Rollback").run_to_end()
    assert (back.code, back.result["outcome"]) == (0, "RolledBack"), back
    assert database.run("SELECT count(*) FROM of_two") == [(1,)]


FIRST = """
from alembic import op
revision, down_revision = "first", None
def upgrade():
    op.execute("CREATE TABLE of_two AS SELECT 1 AS n")
def downgrade():
    op.execute("DROP TABLE of_two")
"""
