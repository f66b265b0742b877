"""A migration of SQL files with a checkpoint: taken back, and no write of the application lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoint_runs import EACH_FILE, FAILS, Shop, files, opened
from tests.postgres import Postgres


@pytest.fixture
def shop(any_database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    yield from opened(any_database, tmp_path)


def test_a_run_that_fails_after_its_first_transaction_is_restored(shop: Shop):
    failed = shop.run(files=files(FAILS), spec=(EACH_FILE,))
    assert (failed["outcome"], failed["reason"]) == ("Failed", "StatementFailed"), failed
    assert f"1 table(s) were restored from the checkpoint of run {shop.id(1)}" in failed["message"]
    assert failed["checkpoint"]["state"] == "Restored"
    assert shop.writer.errors == []
    shop.expect_as_before()
    assert shop.database.run("SELECT count(*) FROM whimbrel.applied") == [(0,)]


def test_a_person_takes_a_run_back_and_writes_made_since_stay(shop: Shop):
    done = shop.run()
    assert (done["outcome"], done["reason"]) == ("Done", "Applied"), done["message"]
    assert done["checkpoint"]["restorable"] is True
    assert done["checkpoint"]["tables"] == ["public.users"]
    shop.writer.wait(200)
    back = shop.run(2, "Rollback")
    assert (back["outcome"], back["reason"]) == ("RolledBack", "RolledBack"), back
    assert f"restored from the checkpoint of run {shop.id(1)}" in back["message"]
    assert shop.writer.errors == []
    shop.expect_as_before()
    again = shop.run(3)
    assert (again["outcome"], again["reason"]) == ("Held", "WasRolledBack"), again
