"""An image or a project of Alembic that cannot be used: one sentence each."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.db import test_alembic as plain
from tests.db.test_alembic import Open, write
from tests.db.tool_shop import Shop, refused
from whimbrel.model.errors import RefusedError
from whimbrel.runner.run_tool import ToolFailedError, run_tool
from whimbrel.runner.target import render_url

pytestmark = pytest.mark.sampled("Alembic named wrong")

shop, shop_in = plain.shop, plain.shop_in


def test_driver_that_the_image_lacks(shop: Shop):
    place = shop.place()
    url = render_url(shop.target, "postgresql+psycopg2")
    place = replace(place, url=url)
    plan = shop.plan("head")
    with pytest.raises(ToolFailedError) as failed:
        run_tool(place, plan.steps[0], shop.rows)
    assert "set migrations.databaseURL.scheme" in failed.value.message


def test_an_image_without_alembic(shop_in: Open, tmp_path: Path):
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "python3").symlink_to("/usr/bin/python3")
    if (
        subprocess.run(
            [bare / "python3", "-c", "import alembic"], check=False, capture_output=True
        ).returncode
        == 0
    ):
        pytest.skip("the system's python has alembic")
    error = refused(shop_in(str(bare)))
    assert error.reason == "AlembicMissing"
    assert "No module named 'alembic'" in error.message


def test_an_image_without_python(shop_in: Open, tmp_path: Path):
    assert refused(shop_in(str(tmp_path))).reason == "PythonMissing"


def test_a_wrong_directory(shop: Shop):
    shop.migrations["workingDir"] = "/no/such/place"
    error = refused(shop)
    assert (error.reason, error.message) == (
        "WorkingDirMissing",
        "migrations.workingDir /no/such/place cannot be entered: No such file or directory",
    )


def test_a_missing_ini(shop: Shop):
    shop.migrations["alembic"] = {"config": "other.ini"}
    error = refused(shop)
    assert error.reason == "ConfigMissing"
    assert error.message.startswith(f"other.ini does not exist in {shop.folder}")


def test_an_ini_that_points_nowhere(shop: Shop):
    shutil.rmtree(shop.folder / "migrations")
    assert refused(shop).reason == "ConfigWrong"


def test_an_unknown_revision(shop: Shop):
    shop.migrations["to"] = "0009"
    with pytest.raises(RefusedError) as error:
        shop.go("0009")
    assert error.value.reason == "UnknownRevision"
    assert "(its newest: 0003)" in error.value.message


def test_several_heads(shop: Shop):
    write(shop, "0003b", "0002")
    error = refused(shop)
    assert error.reason == "SeveralHeads"
    assert "(0003, 0003b)" in error.message


def test_one_id_in_two_files(shop: Shop):
    shutil.copy(
        shop.folder / "migrations/versions/0003_email_is_unique.py",
        shop.folder / "migrations/versions/copy.py",
    )
    error = refused(shop)
    assert error.reason == "DuplicateRevision"
    assert "0003" in error.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param(
            "import nowhere", ("broken.py, line 1", "No module named 'nowhere'"), id="import error"
        ),
        pytest.param("x = 1\ndef f(:\n", ("broken.py, line 2", "SyntaxError"), id="syntax error"),
    ],
)
def test_a_migration_that_cannot_be_loaded(shop: Shop, text: str, words: tuple[str, ...]):
    (shop.folder / "migrations/versions/broken.py").write_text(text)
    error = refused(shop)
    assert error.reason == "BrokenMigration"
    assert all(word in error.message for word in words), error.message


def test_a_folder_named_alembic_hides_nothing(shop: Shop):
    (shop.folder / "alembic").mkdir()
    (shop.folder / "alembic/__init__.py").write_text("raise RuntimeError('the wrong one')")
    ini = shop.folder / "alembic.ini"
    ini.write_text(ini.read_text().replace("prepend_sys_path = .", "prepend_sys_path ="))
    shop.go()
    assert shop.rows() == ("0003",)
