"""An image whose folder of migrations is empty, or not there at all: never called done."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests import django_project, sequelize_project, typeorm_shop
from tests.postgres import Postgres
from tests.processes import ROOT
from tests.scenarios.tool_runs import first_attempt, to

pytestmark = pytest.mark.sampled("a project without migrations")


def alembic(folder: Path) -> Path:
    """Copy the example; `versions` is in its .dockerignore."""
    ignore = shutil.ignore_patterns("versions")
    return Path(shutil.copytree(ROOT / "examples/tools/alembic", folder, ignore=ignore))


def alembic_with_a_folder(folder: Path) -> Path:
    (alembic(folder) / "migrations/versions").mkdir()
    return folder


def django(folder: Path) -> Path:
    """Copy the example without Django's own apps: they always have migrations."""
    settings = django_project.copied(folder) / "shop/settings.py"
    shutil.rmtree(folder / "people/migrations")
    text = settings.read_text()
    own = text.replace('["django.contrib.contenttypes", "django.contrib.auth", "people"]', "[]")
    assert own != text
    settings.write_text(own.replace("INSTALLED_APPS = []", 'INSTALLED_APPS = ["people"]'))
    return folder


def sequelize(folder: Path) -> Path:
    for file in (sequelize_project.copied(folder) / "migrations").iterdir():
        file.unlink()
    return folder


def typeorm(folder: Path) -> Path:
    shutil.rmtree(typeorm_shop.copied(folder) / "dist/migrations")
    return folder


MADE = [alembic, alembic_with_a_folder, django, sequelize, typeorm]


@pytest.mark.parametrize("made", [pytest.param(each, id=each.__name__) for each in MADE])
def test_nothing_to_apply_is_refused_and_not_called_done(made, database: Postgres, tmp_path: Path):
    tool = made.__name__.partition("_")[0]
    with first_attempt(database, made(tmp_path / "app"), tool) as base:
        driver = "+psycopg" if tool == "alembic" else ""
        scheme = ("migrations.databaseURL.scheme", f"postgresql{driver}")
        attempt = replace(base, spec=(*base.spec, scheme))
        refused = attempt.run_to_end()
        assert (refused.code, refused.result["reason"]) == (2, "NoMigrations"), refused
        assert ".dockerignore" in refused.result["message"]
        assert database.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
        if tool != "typeorm":  # without one, its DataSource is refused as it is
            nothing = to(attempt, "base", 2).run_to_end()
            assert (nothing.code, nothing.result["reason"]) == (0, "NoChange"), nothing


@pytest.mark.parametrize(
    ("tool", "code", "reason"),
    [
        ("alembic", 2, "BookkeepingForeign"),
        ("sequelize", 2, "BookkeepingForeign"),
        ("django", 0, "NoChange"),
    ],
)
def test_rows_that_nobody_knows_are_not_called_a_newer_state(
    tool: str, code: int, reason: str, database: Postgres, tmp_path: Path
):
    """Rows of apps that a project of Django does not have are no newer ones."""
    rows = {
        "alembic": ["CREATE TABLE alembic_version (version_num text)",
                    "INSERT INTO alembic_version VALUES ('0003')"],
        "sequelize": ['CREATE TABLE "SequelizeMeta" (name text)',
                      "INSERT INTO \"SequelizeMeta\" VALUES ('20260101090000-create-people.js')"],
        "django": ["CREATE TABLE django_migrations (id int, app text, name text)",
                   "INSERT INTO django_migrations VALUES (1, 'people', '0001_create_people')"],
    }  # fmt: skip
    for statement in rows[tool]:
        database.run(statement)
    made = {each.__name__: each for each in MADE}[tool]
    with first_attempt(database, made(tmp_path / "app"), tool) as base:
        driver = "+psycopg" if tool == "alembic" else ""
        scheme = ("migrations.databaseURL.scheme", f"postgresql{driver}")
        answer = replace(base, spec=(*base.spec, scheme)).run_to_end()
    assert (answer.code, answer.result["reason"]) == (code, reason), answer
