"""An Alembic project shows no SQL: a dump is its way back, of what it committed half-way too."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint_shop import migrator
from tests.dump_runs import ACCEPTED, DUMP, RICH, Shop, content
from tests.postgres import BINARIES, Postgres
from tests.processes import ROOT
from tests.runner_process import Attempt
from tests.scenarios.test_dump_freeze import LEFT

pytestmark = pytest.mark.sampled("a dump of Alembic")

MIGRATION = '''"""{0}"""
from alembic import op
revision = "{0}"
down_revision = {1}
def upgrade():
    with op.get_context().autocommit_block():
        op.execute("UPDATE keyless SET n = 5")
        op.execute("ALTER TABLE orders ADD COLUMN added int")
        op.execute("{2}")
def downgrade():
    raise NotImplementedError
'''
FROZEN = (("checkpoint", {"dump": DUMP, "writeFreeze": True}),)
LOSSY = (("checkpoint", {"dump": DUMP}), ACCEPTED)


@pytest.fixture(params=[FROZEN, LOSSY], ids=["writes are stopped", "a loss is accepted"])
def shop(request, database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    project = Path(shutil.copytree(ROOT / "examples/tools/alembic", tmp_path / "app"))
    for each in (project / "migrations/versions").glob("*.py"):
        each.unlink()
    database.run(RICH)
    url, programs = migrator(database).url, BINARIES[database.version]
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        attempt = Attempt(Path(folder), url, (), project, spec=request.param, dumper=programs)
        yield Shop(database, attempt, content(database))
    assert database.run(LEFT) == []


def write(shop: Shop, revision: str, before: str | None, last: str) -> None:
    assert shop.attempt.project is not None
    text = MIGRATION.format(revision, repr(before), last)
    (shop.attempt.project / f"migrations/versions/{revision}.py").write_text(text)


def test_a_part_that_was_committed_is_taken_back(shop: Shop):
    write(shop, "0001", None, "SELECT 1/0")
    failed = shop.run()
    assert failed["outcome"] == "Failed", failed["message"]
    assert "the whole database was restored from the dump" in failed["message"]
    shop.expect_as_before()
    assert list(shop.database.run("SELECT run FROM whimbrel.tool_run")) == []


def test_a_person_takes_it_back_and_it_may_be_applied_again(shop: Shop):
    write(shop, "0001", None, "SELECT 1")
    release = (("release", True),)
    done = shop.run(order=release)
    assert (done["outcome"], done["revision"]) == ("Done", "0001"), done["message"]
    back = shop.run(1, "Rollback", attempt=2, order=release)
    assert back["outcome"] == "RolledBack", back["message"]
    assert back.get("revision", "") == ""
    shop.expect_as_before()
    again = shop.run(2, order=(("retry", "now"),))
    assert (again["outcome"], again["revision"]) == ("Done", "0001"), again["message"]
