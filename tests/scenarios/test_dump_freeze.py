"""Writes are stopped for the time of a run: proven, said to the application, and over in time."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.checkpoint_shop import admin, application, migrator, until
from tests.dump_runs import EACH_FILE, FAILS, ON_EACH, Shop, content, files, opened, ordering
from tests.postgres import Postgres

pytestmark = pytest.mark.sampled("stopped writes")

GATE = "SELECT pg_advisory_xact_lock_shared(42);"
LEFT = """
SELECT tgname::text FROM pg_trigger WHERE tgname ~ 'whimbrel'
UNION ALL SELECT proname::text FROM pg_proc WHERE proname ~ '^freeze_'
"""
RELEASE = (("release", True),)
PATIENT = ("limits", {"lockTimeout": "60s", "lockHold": "60s"})
# Whatever an application may try, and which SQLSTATE it is told.
ATTEMPTS = (
    "INSERT INTO orders DEFAULT VALUES",
    "UPDATE orders SET buyer = NULL WHERE id = 1",
    "UPDATE orders SET buyer = NULL WHERE id = -1",
    "DELETE FROM orders WHERE id = 1",
    "TRUNCATE orders",
    "INSERT INTO events_2026 VALUES ('2026-02-02', 'past its parent')",
    "INSERT INTO events VALUES ('2026-02-02', 'by its parent')",
    "MERGE INTO keyless k USING (VALUES (1)) v (n) ON k.n = v.n WHEN MATCHED THEN DELETE",
    "WITH w AS (DELETE FROM keyless RETURNING n) SELECT * FROM w",
    "SET session_replication_role = replica; DELETE FROM keyless",
)


SMALL = {"001_small.up.sql": "UPDATE keyless SET n = 2", "001_small.down.sql": "SELECT 1/0"}


def frozen(database: Postgres, folder: Path, **more: object) -> Shop:
    return opened(database, folder, {"writeFreeze": True}, **more)


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    shop = frozen(database, tmp_path)
    yield shop
    assert shop.database.run(LEFT) == []


def refused(database: Postgres, statement: str) -> str:
    """Return what an application is told; its statement must not go through."""
    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as told,
        database.connect() as session,
    ):
        session.execute(statement)
    return str(told.value)


def test_the_plan_says_that_writes_are_stopped_and_for_how_long(shop: Shop):
    log = shop.start(1, "Look").finish().log
    for words in (
        "Dump first: the whole database, while applications cannot write, by postgres:17 to the",
        "the application's writes are stopped from before the dump to the end of this run",
        "fails meanwhile (SQLSTATE 25006)",
        "rung 5, restore of a dump of the whole database by pg_dump 16",
        "because checkpoint.writeFreeze is true, so nothing is lost until the run is over",
        "afterwards the restore would lose every write since: it waits for allowDataLoss",
    ):
        assert words in log, log
    assert "Checkpoint first" not in log


@ON_EACH
def test_a_failed_run_loses_no_write_that_was_acknowledged(any_database: Postgres, tmp_path: Path):
    shop = frozen(any_database, tmp_path)
    with ordering(shop.database) as told:
        shop.before["shape"][:] = content(shop.database)["shape"]  # with the application's rights
        failed = shop.run(files=files(FAILS), spec=(EACH_FILE,))
        assert failed["outcome"] == "Failed", failed
        assert "no write was possible since, so none is lost" in failed["message"]
        number = len(told)
        until(lambda: "done" in told[number:])
    assert set(told) == {"done", "25006"}, "nothing but the freeze was in its way"
    ((orders, bought),) = shop.database.run("SELECT count(*), count(buyer) FROM orders")
    assert (orders, bought) == (200 + told.count("done"), 200)
    shop.database.run("DELETE FROM orders WHERE id > 200")
    shop.expect_as_before()
    assert shop.database.run(LEFT) == []


@pytest.mark.sampled("the main path")
def test_whatever_an_application_tries_it_is_told_the_same(shop: Shop):
    """In the window of the run; the migration's login writes as it likes."""
    done = shop.run(files=files(SMALL), order=RELEASE)
    assert (done["outcome"], done["goesOn"]) == ("Done", True), done
    superuser = admin(shop.database)
    before = content(shop.database)["rows"]
    for statement in ATTEMPTS:
        told = refused(superuser, statement)
        assert f"writes are stopped while the Whimbrel run {shop.id(1)} changes this database" in (
            told
        )
    assert content(shop.database)["rows"] == before
    finished = shop.run(1, "Finish", attempt=2, order=RELEASE, files=files(SMALL))
    assert finished["outcome"] == "Done", finished
    superuser.run("INSERT INTO orders DEFAULT VALUES")


def test_a_table_that_the_migration_made_is_no_exception(shop: Shop):
    new = {"001_new.up.sql": "CREATE TABLE fresh (n int)", "001_new.down.sql": "SELECT 1/0"}
    assert shop.run(files=files(new), order=RELEASE)["outcome"] == "Done"
    refused(application(shop.database, "fresh"), "INSERT INTO fresh VALUES (1)")
    back = shop.run(1, "Rollback", attempt=2, order=RELEASE, files=files(new))
    assert back["outcome"] == "RolledBack", back["message"]
    assert "no write was possible since, so none is lost" in back["message"]
    shop.expect_as_before()


def test_once_the_run_is_over_the_loss_has_to_be_accepted(shop: Shop):
    assert shop.run()["outcome"] == "Done"
    shop.database.run("INSERT INTO orders DEFAULT VALUES")
    held = shop.run(2, "Rollback")
    assert (held["outcome"], held["reason"]) == ("Held", "DumpLosesWrites"), held
    assert "triggers that stop writes are not as they were made" in held["message"]
    accepted = ("rollback", {"allowDataLoss": {"by": "Ada", "reason": "a test"}})
    back = shop.run(3, "Rollback", spec=(accepted,))
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_a_freeze_that_somebody_broke_is_found_and_nothing_is_believed(shop: Shop):
    broken = FAILS | {"001_damage.up.sql": "ALTER TABLE keyless DISABLE TRIGGER ALL"}
    held = shop.run(files=files(broken), spec=(EACH_FILE,))
    assert (held["outcome"], held["reason"]) == ("Held", "FreezeBroken"), held
    assert "not as they were made" in held["message"]
    back = shop.run(2, "Rollback", files=files(broken), spec=(EACH_FILE,))
    assert (back["outcome"], back["reason"]) == ("Held", "DumpLosesWrites"), back
    accepted = ("rollback", {"allowDataLoss": {"by": "Ada", "reason": "a test"}})
    back = shop.run(3, "Rollback", files=files(broken), spec=(EACH_FILE, accepted))
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_a_login_that_others_use_too_is_refused(shop: Shop):
    with migrator(shop.database).connect() as other:
        other.execute("SELECT 1")
        told = shop.run()
    assert (told["outcome"], told["reason"]) == ("Refused", "LoginShared"), told
    shop.expect_as_before()


def test_writes_go_on_while_a_dump_cannot_be_made(shop: Shop):
    shop.claim.write_text("no folder")
    waits = shop.run()
    assert (waits["outcome"], waits["reason"]) == ("NotFinished", "DumpNotWritten"), waits
    assert "no step ran: see that the claim has room" in waits["message"]
    assert shop.database.run(LEFT) == []
    app = application(shop.database, "keyless")
    app.run("INSERT INTO keyless VALUES (5, NULL)")
    shop.claim.unlink()
    assert shop.run(attempt=2)["outcome"] == "Done"


def test_it_ends_by_itself_where_nobody_is_left_to_end_it(shop: Shop):
    short = ("limits", {"progressDeadline": "15s"})
    done = shop.run(files=files(SMALL), order=RELEASE, spec=(short,))
    assert done["outcome"] == "Done", done
    app = application(shop.database, "keyless")
    refused(app, "INSERT INTO keyless VALUES (5, NULL)")

    def writes() -> bool:
        try:
            app.run("INSERT INTO keyless VALUES (5, NULL)")
        except psycopg.errors.ReadOnlySqlTransaction:
            return False
        return True

    until(writes)
    held = shop.run(1, "Rollback", attempt=2, order=RELEASE, files=files(SMALL), spec=(short,))
    assert (held["outcome"], held["reason"]) == ("Held", "DumpLosesWrites"), held
    assert "writes are possible again since" in held["message"]
    # The next run of anybody takes away what is left.
    assert shop.run(1, "Abort", attempt=3, files=files(SMALL))["outcome"] == "Done"


def test_a_killed_runner_leaves_a_freeze_that_the_next_attempt_goes_on_with(shop: Shop):
    slow = {"001_slow.up.sql": f"UPDATE keyless SET n = n; {GATE}"}
    with shop.database.connect() as gate:
        gate.execute("SELECT pg_advisory_lock(42)")
        running = shop.start(files=files(slow), spec=(PATIENT,))
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: shop.database.run(waits) == [(1,)])
        running.process.kill()
        running.finish()
        refused(application(shop.database, "orders"), "DELETE FROM orders")
        gate.execute("SELECT pg_advisory_unlock(42)")
    (file,) = shop.claim.iterdir()
    made = file.stat().st_mtime_ns
    done = shop.run(attempt=2, files=files(slow), spec=(PATIENT,))
    assert done["outcome"] == "Done", done
    assert file.stat().st_mtime_ns == made, "the dump of before is the one that counts"
