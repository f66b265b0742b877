"""An image or a project of Django that cannot be used: one sentence each."""

from pathlib import Path

import pytest

from tests.db import test_django as plain
from tests.db.test_django import TWO, write
from tests.db.tool_shop import Shop, opened_shop, refused
from tests.postgres import Postgres

pytestmark = pytest.mark.sampled("Django named wrong")

app, shop = plain.app, plain.shop


def test_an_image_without_django(app: Path, database: Postgres, tmp_path: Path):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "python3").symlink_to("/usr/bin/python3")
    with opened_shop(app, database, str(bare), {"tool": "django"}) as shop:
        error = refused(shop)
    assert error.reason == "DjangoMissing"
    assert "No module named 'django'" in error.message


def test_an_image_without_python(app: Path, database: Postgres, tmp_path: Path):
    with opened_shop(app, database, str(tmp_path), {"tool": "django"}) as shop:
        assert refused(shop).reason == "PythonMissing"


@pytest.mark.parametrize(
    ("migrations", "reason", "words"),
    [
        ({"workingDir": "/no/such/place"}, "WorkingDirMissing", "cannot be entered"),
        ({"workingDir": "/"}, "ManageMissing", "manage.py does not exist in /"),
        ({"django": {"manage": "other.py"}}, "ManageMissing", "other.py does not exist"),
        ({"django": {"settings": "shop.other"}}, "SettingsMissing", "shop.other cannot be found"),
        ({"django": {"manage": "shop/__init__.py"}}, "ManageSilent", "shop/__init__.py ended"),
        ({"to": "people:0009"}, "UnknownRevision", "no revision people:0009"),
        ({"to": "poeple:zero"}, "UnknownRevision", "no revision poeple:zero"),
    ],
    ids=["directory", "no manage.py", "manage", "settings", "no project", "revision", "app"],
)
def test_what_is_named_wrong_is_one_sentence(shop: Shop, migrations, reason: str, words: str):
    shop.migrations |= migrations
    error = refused(shop, migrations.get("to", "head"))
    assert error.reason == reason
    assert words in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("import nowhere", "0004_broken.py, line 1: No module", id="import error"),
        pytest.param("x = 1\ndef f(:\n", "0004_broken.py, line 2: invalid", id="syntax error"),
        pytest.param("x = 1", "has no Migration class", id="no migration"),
    ],
)
def test_a_migration_that_cannot_be_loaded(shop: Shop, text: str, words: str):
    (shop.folder / "people/migrations/0004_broken.py").write_text(text)
    error = refused(shop)
    assert error.reason == "BrokenMigration"
    assert words in error.message


def test_settings_that_fail_are_named_with_their_line(shop: Shop):
    settings = shop.folder / "shop/settings.py"
    settings.write_text(settings.read_text() + '\nos.environ["NOT_THERE"]\n')
    error = refused(shop)
    assert error.reason == "BrokenMigration"
    assert "shop/settings.py, line" in error.message


def test_an_image_without_the_driver(shop: Shop):
    for name in ("psycopg", "psycopg2"):
        (shop.folder / f"{name}.py").write_text("raise ImportError('not installed')")
    error = refused(shop)
    assert error.reason == "DriverMissing"
    assert "install the driver" in error.message


def test_two_newest_migrations_of_one_app_are_named(shop: Shop):
    write(shop, "people:0003_other", TWO)
    error = refused(shop)
    assert error.reason == "SeveralHeads"
    assert "people:0003_other" in error.message


def test_a_dependency_that_is_not_there(shop: Shop):
    write(shop, "people:0004_lost", "people:0003_gone")
    error = refused(shop)
    assert error.reason == "BrokenMigration"
    assert "0003_gone" in error.message
