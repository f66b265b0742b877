"""Writes are stopped for whoever has the migration's login too, by hand or by a job of his own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint_shop import RENAMINGS, asleep, migrator, until
from tests.dump_runs import EACH_FILE, FAILS, ON_EACH, Shop, files, opened
from tests.postgres import Postgres
from tests.scenarios.test_dump_freeze import LEFT, RELEASE, SMALL, frozen, refused

pytestmark = pytest.mark.sampled("stopped writes")

INSERT = "INSERT INTO keyless VALUES (77, NULL)"
PRISMA = {
    "20260105090000_a.migration.sql": "UPDATE keyless SET n = 2; CREATE TABLE fresh (n int);",
    "20260105090000_a.down.sql": "SELECT 1/0;",
    "20260106090000_b.migration.sql": "INSERT INTO fresh VALUES (1); UPDATE orders SET buyer = 1;",
    "20260106090000_b.down.sql": "SELECT 1/0;",
}


@pytest.fixture
def shop(any_database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    shop = frozen(any_database, tmp_path)
    yield shop
    assert shop.database.run(LEFT) == []


@ON_EACH
def test_who_comes_and_goes_while_a_step_runs_is_refused(shop: Shop):
    slow = {"002_fails.up.sql": "SELECT pg_sleep(3); SELECT 1/0"}
    running = shop.start(files=files(FAILS | slow), spec=(EACH_FILE,))
    until(lambda: asleep(shop.database))
    told = refused(migrator(shop.database), INSERT)
    assert f"writes are stopped while the Whimbrel run {shop.id(1)} changes this database" in told
    failed = running.finish().result
    assert failed["outcome"] == "Failed", failed["message"]
    assert "no write was possible since, so none is lost" in failed["message"]
    shop.expect_as_before()


@ON_EACH
@pytest.mark.parametrize("named", RENAMINGS)
def test_who_comes_after_the_steps_is_refused_and_the_migration_is_not(shop: Shop, named: str):
    steps = files(SMALL | {"001_small.up.sql": f"{named} UPDATE keyless SET n = 2"})
    done = shop.run(files=steps, order=RELEASE)
    assert (done["outcome"], done["goesOn"]) == ("Done", True), done
    refused(migrator(shop.database), INSERT)
    back = shop.run(1, "Rollback", attempt=2, order=RELEASE, files=steps)
    assert back["outcome"] == "RolledBack", back["message"]
    assert "no write was possible since, so none is lost" in back["message"]
    shop.expect_as_before()


def test_prisma_writes_and_nobody_else_with_its_login(database: Postgres, tmp_path: Path):
    migrations = ("migrations", {"tool": "prisma", "inline": {"files": PRISMA}})
    shop = opened(database, tmp_path, {"writeFreeze": True}, spec=(migrations,))
    done = shop.run(files=(), order=RELEASE)
    assert (done["outcome"], done["goesOn"]) == ("Done", True), done
    for table in ("keyless", "_prisma_migrations", "fresh"):
        refused(migrator(shop.database), f"DELETE FROM {table}")
    back = shop.run(1, "Rollback", attempt=2, order=RELEASE, files=())
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()
