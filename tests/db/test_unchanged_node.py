"""What decides that a tool written in Node is started: real projects, launcher and database."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import sequelize_project, typeorm_shop
from tests.db.orders import a_ledger, an_order
from tests.db.test_unchanged import Counting, Image, edit
from tests.db.tool_shop import opened_shop
from tests.postgres import Postgres, create_database
from whimbrel.runner.surroundings import Surroundings

pytestmark = pytest.mark.sampled("what is new for a tool of Node")

TOOLS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "sequelize": (sequelize_project.copied, "config/config.js"),
    "typeorm": (typeorm_shop.copied, "dist/data-source.js"),
}
OUTSIDE = "shared/options.js"
LIST = "node_modules/.package-lock.json"


@pytest.fixture(scope="module", params=TOOLS)
def image(
    request, postgres_server: Callable[[int], Postgres], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Image]:
    """Give a project with packages of its own, whose configuration requires a file elsewhere."""
    copied, config = TOOLS[request.param]
    place = tmp_path_factory.mktemp("image")
    app, lib = copied(place / "app"), place / "shared"
    packages = (app / "node_modules").resolve()
    (app / "node_modules").unlink()
    shutil.copytree(packages, app / "node_modules", symlinks=True)
    lib.mkdir()
    (place / OUTSIDE).write_text("module.exports = {};\n")
    with (app / config).open("a") as file:
        file.write(f"\nrequire({str(place / 'shared/options')!r});\n")
    database = create_database(postgres_server(16), f"unchanged_{request.param}")
    path = f"{Path(shutil.which('node') or '').parent}:/usr/bin:/bin"
    opened = opened_shop(app, database, path, {"tool": request.param})
    with a_ledger(database) as ledger, opened as shop:
        tool = Counting(shop.tool)
        around = Surroundings(shop.target, None, None, tool, print, threading.Event())
        yield Image(app, lib, ledger, around, an_order(spec=shop.spec()))


def config_of(image: Image) -> str:
    return TOOLS[image.order.spec.migrations.tool][1]


def new_migration(image: Image) -> None:
    (folder,) = {*image.app.glob("migrations"), *image.app.glob("dist/migrations")}
    (folder / "1767484800000-fourth.js").write_text("exports.up = 1;\n")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(new_migration, id="a new migration"),
        pytest.param(lambda image: edit(config_of(image), "// \n")(image), id="configuration"),
        pytest.param(edit(LIST, " "), id="a changed package"),
        pytest.param(lambda image: (image.app / "node_modules/a").mkdir(), id="a further package"),
        pytest.param(edit(f"../{OUTSIDE}", "// \n"), id="a file elsewhere"),
        pytest.param(
            lambda image: (image.lib / "options").write_text("{}\n"), id="one that is found first"
        ),
    ],
)
def test_each_of_these_starts_it(image: Image, change: Callable[[Image], Any]):
    image.remember()
    assert image.starts() == 0
    change(image)
    assert image.starts() == 1
    (image.lib / "options").unlink(missing_ok=True)
