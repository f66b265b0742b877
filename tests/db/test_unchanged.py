"""What decides that the tool is started: a real project, launcher and database."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.db.orders import a_ledger, an_order, manners, until
from tests.db.tool_shop import opened_shop
from tests.postgres import Postgres, create_database
from tests.processes import ROOT
from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.migrations import EnvVar, Tool as Named
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.spec import Spec
from whimbrel.planning.tools.project import Project
from whimbrel.runner.bench import Bench, SeenImage
from whimbrel.runner.bookkeeping import read_revisions
from whimbrel.runner.findings import Findings
from whimbrel.runner.holding import Holding
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note, read_note, write_note
from whimbrel.runner.project import reading_place
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.tool import Tool, ToolEnd
from whimbrel.runner.unchanged import (
    Found,
    digest_now,
    distrust_image,
    find_source,
    still_unchanged,
)

pytestmark = pytest.mark.sampled("what is new for a tool")

KEY = "cluster-1/shop/schema/uid-1"
# It reads a file that is neither below the working directory nor a part of a package.
FOURTH = """
import json, thing
from pathlib import Path
revision, down_revision = "0004", "0003"
OPTIONS = json.loads(Path("{options}").read_text())
def upgrade(): pass
def downgrade(): pass
"""


class Counting:
    """The real tool, with the number of its starts."""

    def __init__(self, tool: Tool) -> None:
        self.tool, self.starts = tool, 0
        self.meanwhile: Callable[[], Any] = int

    def run(self, *words: Any) -> ToolEnd:
        self.starts += 1
        self.meanwhile()
        return self.tool.run(*words)

    def look(self, *words: Any) -> str:
        return self.tool.look(*words)

    def signal(self, number: int) -> None:
        self.tool.signal(number)

    def close(self) -> None:
        self.tool.close()


@dataclass
class Image:
    """A project, with a package and a file that it reads elsewhere, and what was seen of it."""

    app: Path
    lib: Path
    ledger: Ledger
    place: Surroundings
    order: Order

    def find(self, **changes: Any) -> Found:
        order = self.order.model_copy(update=changes)
        return find_source(order, self.place, str, manners())

    def starts(self, **changes: Any) -> int:
        """Return how often the tool is started, whatever it says then."""
        before = self.place.tool.starts
        with suppress(RefusedError):
            self.find(**changes)
        return self.place.tool.starts - before

    def other(self, **migrations: Any) -> Spec:
        """Return another spec."""
        spec = self.order.spec
        wanted = spec.migrations.model_copy(update=migrations)
        return spec.model_copy(update={"migrations": wanted})

    def bench(self, known: SeenImage | None = None, **migrations: Any) -> Bench:
        """Return an attempt at work, with another spec."""
        order = self.order.model_copy(update={"spec": self.other(**migrations)})
        held = Holding(order, self.ledger, self.place.target, manners(), None, None, None)
        return Bench(order, self.place, held, Findings(order), {}, str, known)

    def remember(self) -> None:
        """Record what a good run would, whatever the age of the files."""
        source = self.find(retry="now").source
        assert isinstance(source, Project)
        where = reading_place(self.order, self.place, str, manners())
        digest, _ = digest_now(where, self.place, source.look)
        look = [source.look.files, source.look.folders]
        rows = read_revisions(self.ledger.session, self.order.spec)
        write_note(self.ledger, Kind.IMAGE, KEY, [digest, *look, rows])


@pytest.fixture(scope="module")
def shared(postgres_server: Callable[[int], Postgres], tmp_path_factory) -> Iterator[Image]:
    database = create_database(postgres_server(16), "unchanged")
    tmp_path = tmp_path_factory.mktemp("image")
    app = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    lib = tmp_path / "lib"
    (lib / "thing-1.dist-info").mkdir(parents=True)
    (lib / "thing.py").write_text("VALUE = 1\n")
    (lib / "thing-1.dist-info/RECORD").write_text("thing.py,sha256=one,10\n")
    (tmp_path / "options.json").write_text("{}")
    text = FOURTH.format(options=tmp_path / "options.json")
    (app / "migrations/versions/0004_thing.py").write_text(text)
    config = (app / "alembic.ini").read_text()
    (app / "alembic.ini").write_text(
        config.replace("prepend_sys_path = .", f"prepend_sys_path = {lib}")
    )
    assert str(lib) in (app / "alembic.ini").read_text()
    database.run("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    database.run("INSERT INTO alembic_version VALUES ('0003')")
    migrations = {"tool": "alembic", "databaseURL": {"scheme": "postgresql+psycopg"}}
    path = f"{Path(os.sys.executable).parent}:{os.environ['PATH']}"
    with a_ledger(database) as ledger, opened_shop(app, database, path, migrations) as shop:
        tool = Counting(shop.tool)
        place = Surroundings(shop.target, None, None, tool, print, threading.Event())
        found = Image(app, lib, ledger, place, an_order(spec=shop.spec()))
        found.remember()
        yield found


@pytest.fixture
def image(shared: Image, tmp_path: Path) -> Iterator[Image]:
    """Give the image as it was remembered; afterwards it is so again."""
    files = shared.app.parent
    shutil.copytree(files, tmp_path / "kept", ignore=shutil.ignore_patterns("*.sock"))
    seen = read_note(shared.ledger, Kind.IMAGE, KEY)
    yield replace(shared)
    shutil.rmtree(shared.app)
    shutil.rmtree(shared.lib)
    shutil.copytree(tmp_path / "kept", files, dirs_exist_ok=True)
    shared.ledger.session.execute("UPDATE alembic_version SET version_num = '0003'")
    write_note(shared.ledger, Kind.IMAGE, KEY, seen)


def edit(path: str, text: str = "\n# edited\n") -> Callable[[Image], None]:
    def act(image: Image) -> None:
        with (image.app / path).open("a") as file:
            file.write(text)

    return act


@pytest.mark.sampled("the main path")
def test_the_same_again_starts_nothing(image: Image):
    assert image.find().unchanged is not None
    assert image.starts() == 0


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda image: (image.app / "migrations/versions/0005_x.py").write_text(
                'revision, down_revision = "0005", "0004"'
            ),
            id="a new migration",
        ),
        pytest.param(edit("migrations/versions/0004_thing.py"), id="an edited migration"),
        pytest.param(edit("migrations/env.py"), id="edited settings"),
        pytest.param(
            lambda image: next((image.app / "migrations/versions").glob("0001*")).rename(
                image.app / "migrations/versions/0001_y.py"
            ),
            id="a file with another name",
        ),
        pytest.param(edit("../lib/thing-1.dist-info/RECORD"), id="a changed package"),
        pytest.param(
            lambda image: (image.lib / "thing-2.dist-info").mkdir(), id="a further package"
        ),
        pytest.param(edit("../options.json", " "), id="a file elsewhere"),
        pytest.param(
            lambda image: (image.app.parent / "options.json").rename(image.app.parent / "gone"),
            id="a file elsewhere that is gone",
        ),
        pytest.param(
            lambda image: (image.app / "link").symlink_to(image.lib), id="a link that leads out"
        ),
        pytest.param(
            lambda image: image.ledger.session.execute(
                "UPDATE alembic_version SET version_num='1'"
            ),
            id="other bookkeeping",
        ),
        pytest.param(
            lambda image: forget_note(image.ledger, Kind.IMAGE, KEY), id="a last run that failed"
        ),
    ],
)
def test_each_of_these_starts_it(image: Image, change: Callable[[Image], Any]):
    assert image.starts() == 0
    change(image)
    assert image.starts() == 1


def test_what_is_no_part_of_the_project_starts_nothing(image: Image):
    (image.app / "node_modules").mkdir()
    (image.app / "migrations/__pycache__").mkdir(exist_ok=True)
    (image.app / "migrations/__pycache__/env.pyc").write_bytes(b"x")
    os.utime(image.app / "alembic.ini", (1, 1))
    assert image.starts() == 0


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"to": "0003"}, id="another revision"),
        pytest.param({"image": "shop:2"}, id="another image"),
        pytest.param({"working_dir": "/"}, id="another directory"),
        pytest.param({"env": (EnvVar(name="X", value="1"),)}, id="another variable"),
    ],
)
def test_another_spec_starts_it(image: Image, asked: dict):
    assert image.starts(spec=image.other(**asked)) == 1


def test_a_person_who_retries_and_a_way_back_start_it(image: Image):
    for changes in ({"retry": "now"}, {"segment": Segment.ROLLBACK}, {"uid": "of another object"}):
        assert image.starts(**changes) == 1


def test_another_database_starts_it(image: Image):
    image.place = replace(image.place, target=replace(image.place.target, dbname="postgres"))
    assert image.starts() == 1


def test_files_that_change_meanwhile_are_not_remembered(image: Image):
    """What is read after `inspect` may then not be what `inspect` had read."""
    forget_note(image.ledger, Kind.IMAGE, KEY)
    newest = max(each.stat().st_ctime for each in image.app.rglob("*"))
    until(lambda: time.time() > newest + 0.1)
    assert image.find().seen is not None
    image.place.tool.meanwhile = lambda: edit("migrations/env.py")(image)
    assert image.find().seen is None
    image.place.tool.meanwhile = int


def test_what_changes_before_the_lock_is_taken_is_seen_under_it(image: Image):
    known = image.find().unchanged
    bench = image.bench(known)
    plan = still_unchanged(bench, known)
    assert (plan.to, plan.steps) == ("0003", ())
    for change in ("UPDATE alembic_version SET version_num = '1'", "DELETE FROM whimbrel.note"):
        image.ledger.session.execute(change)
        with pytest.raises(TransientError) as error:
            still_unchanged(bench, known)
        assert error.value.reason == "DatabaseChanged"
        image.ledger.session.execute("UPDATE alembic_version SET version_num = '0003'")


@pytest.mark.parametrize("tool", Named)
def test_only_of_a_tool_that_is_started_an_image_is_distrusted(image: Image, tool: Named):
    distrust_image(image.bench(tool=tool))
    assert (read_note(image.ledger, Kind.IMAGE, KEY) is None) is tool.is_foreign
