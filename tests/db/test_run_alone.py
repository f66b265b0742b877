"""Statements outside a transaction: begun, cut off, cleared, ended, on real servers."""

import threading
from contextlib import contextmanager

import pytest

from tests.db.sql_work import open_shop
from whimbrel.planning.dialects.postgresql_errors import Fate
from whimbrel.runner.records import steps_done, steps_started
from whimbrel.runner.step_work import StepFailedError
from whimbrel.runner.transactions import End

ALONE = "-- whimbrel: no-transaction\n"
INDEX = {
    "001_i.up.sql": ALONE + "CREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a);",
    "001_i.down.sql": ALONE + "DROP INDEX CONCURRENTLY t_a;",
}
STEP = "up:default:001"


@pytest.fixture
def shop(any_database):
    with open_shop(any_database) as opened:
        opened.run("CREATE TABLE t (a int)", "INSERT INTO t SELECT generate_series(1, 100)")
        yield opened


@pytest.fixture
def one_shop(database):
    with open_shop(database) as opened:
        opened.run("CREATE TABLE t (a int)", "INSERT INTO t SELECT generate_series(1, 100)")
        yield opened


def indexes(shop):
    return shop.run(
        "SELECT indexrelid::regclass::text, indisvalid FROM pg_index WHERE indrelid = 't'::regclass"
    )


@contextmanager
def old_transaction(database):
    """Hold a transaction that every CONCURRENTLY has to wait for."""
    with database.connect() as session:
        session.execute("BEGIN")
        session.execute("INSERT INTO t VALUES (1000)")
        yield session


def while_waiting(shop, act):
    """Return a started thread that acts once the worker waits for the old transaction.

    Not for a lock on the table, which autovacuum may have in the beginning.
    """
    pid = shop.session.info.backend_pid
    query = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"

    def watch():
        while shop.database.run(query, pid) != [("virtualxid",)]:
            pass
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def leave_invalid_index(shop):
    """Leave what a worker leaves that was killed in the middle of its work."""
    with old_transaction(shop.database), shop.database.connect() as victim:
        pid = victim.info.backend_pid
        query = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"

        def kill():
            while shop.database.run(query, pid) != [("virtualxid",)]:
                pass
            shop.database.run("SELECT pg_terminate_backend(%s)", pid)

        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(Exception, match="terminating"):
            victim.execute("CREATE UNIQUE INDEX CONCURRENTLY t_a ON t (a)")
        thread.join()
    assert indexes(shop) == [("t_a", False)]


def test_index_there_and_back(shop):
    assert [each.ran for each in shop.up(INDEX)] == [True]
    assert indexes(shop) == [("t_a", True)]
    assert shop.versions() == ["001"]
    assert STEP in steps_done(shop.work.ledger, "run1")
    assert {str(each) for row in shop.facts().applied for each in row.added} == {"index public.t_a"}
    shop.down(INDEX)
    assert indexes(shop) == []
    assert shop.versions() == []


def test_index_that_fails_leaves_nothing(shop):
    shop.run("INSERT INTO t VALUES (1)")
    with pytest.raises(StepFailedError) as failed:
        shop.up(INDEX)
    assert failed.value.sqlstate == "23505"
    assert failed.value.end is End.ABORTED
    assert failed.value.file == "001_i.up.sql"
    assert indexes(shop) == []
    assert shop.versions() == []
    # Nothing is left: what somebody else makes under this name is not taken for ours.
    assert steps_started(shop.work.ledger) == frozenset()
    shop.run("DELETE FROM t WHERE ctid = (SELECT max(ctid) FROM t WHERE a = 1)")
    shop.up(INDEX)
    assert indexes(shop) == [("t_a", True)]


def test_invalid_index_of_an_earlier_attempt_is_built_again(shop):
    leave_invalid_index(shop)
    again = shop.started_before(STEP)
    assert [each.ran for each in again.up(INDEX)] == [True]
    assert indexes(shop) == [("t_a", True)]
    assert shop.versions() == ["001"]


def test_index_that_an_earlier_attempt_finished_is_only_recorded(shop):
    shop.run("CREATE UNIQUE INDEX t_a ON t (a)")
    again = shop.started_before(STEP)
    assert [each.ran for each in again.up(INDEX)] == [False]
    assert shop.versions() == ["001"]


def test_index_of_somebody_else_is_neither_taken_nor_dropped(shop):
    leave_invalid_index(shop)
    with pytest.raises(StepFailedError, match="already exists"):
        shop.up(INDEX)
    assert indexes(shop) == [("t_a", False)]
    assert steps_started(shop.work.ledger) == frozenset()


def test_if_not_exists_does_not_hide_an_invalid_index(shop):
    leave_invalid_index(shop)
    sql = ALONE + "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_a ON t (a);"
    with pytest.raises(StepFailedError, match="half done"):
        shop.up({"001_i.up.sql": sql})
    assert shop.versions() == []


def test_cancel_drops_the_invalid_index(one_shop):
    shop = one_shop
    with old_transaction(shop.database) as old:
        canceller = while_waiting(shop, shop.session.cancel_safe)
        # The DROP has to wait for the old transaction as well.
        with ended_when_dropping(shop, old), pytest.raises(StepFailedError) as failed:
            shop.up(INDEX)
        canceller.join()
    assert failed.value.sqlstate == "57014"
    assert failed.value.end is End.ABORTED
    assert indexes(shop) == []
    assert shop.session.execute("SHOW lock_timeout").fetchone() == ("1s",)


@contextmanager
def ended_when_dropping(shop, old):
    """End the old transaction once the worker drops an index, for which it waits as well."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND query LIKE 'DROP INDEX%%'"
    over, dropped = threading.Event(), threading.Event()

    def end():
        while not over.is_set() and not dropped.is_set():
            if shop.database.run(query, shop.session.info.backend_pid) == [(1,)]:
                dropped.set()
                old.execute("ROLLBACK")

    thread = threading.Thread(target=end)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert dropped.is_set(), "nothing was dropped"


def test_killed_worker_is_taken_up_by_the_next(one_shop):
    shop = one_shop
    pid = shop.session.info.backend_pid
    with old_transaction(shop.database):
        thread = while_waiting(
            shop, lambda: shop.database.run("SELECT pg_terminate_backend(%s)", pid)
        )
        with pytest.raises(StepFailedError) as failed:
            shop.up(INDEX)
        thread.join()
    assert failed.value.end is End.UNKNOWN
    assert failed.value.fate is Fate.UNKNOWN
    assert indexes(shop) == [("t_a", False)]
    with open_shop(shop.database) as again:
        assert steps_started(again.work.ledger) == {STEP}
        again.started_before(STEP).up(INDEX)
    assert indexes(shop) == [("t_a", True)]


REINDEX = {"001_r.up.sql": ALONE + "REINDEX TABLE CONCURRENTLY t;"}


@contextmanager
def two_indexes(shop):
    """Two indexes on t, and a transaction that their rebuilding waits for."""
    shop.run("CREATE INDEX t_a ON t (a)", "CREATE INDEX t_b ON t ((a + 1))")
    with old_transaction(shop.database) as old:
        yield old
    assert sorted(indexes(shop)) == [("t_a", True), ("t_b", True)]
    assert shop.run("SELECT version FROM whimbrel.applied") == [("001",)]


def test_killed_rebuild_leaves_no_transient_index(one_shop):
    shop = one_shop
    pid = shop.session.info.backend_pid
    with two_indexes(shop) as old:
        thread = while_waiting(
            shop, lambda: shop.database.run("SELECT pg_terminate_backend(%s)", pid)
        )
        with pytest.raises(StepFailedError):
            shop.up(REINDEX)
        thread.join()
        assert ("t_a_ccnew", False) in indexes(shop)
        old.execute("ROLLBACK")
        with open_shop(shop.database) as again:
            again.started_before(STEP).up(REINDEX)


def test_cancelled_rebuild_drops_its_transient_indexes_and_nobody_elses(one_shop):
    shop = one_shop
    with two_indexes(shop) as old:
        canceller = while_waiting(shop, shop.session.cancel_safe)
        with ended_when_dropping(shop, old), pytest.raises(StepFailedError) as failed:
            shop.up(REINDEX)
        canceller.join()
        assert failed.value.sqlstate == "57014"
        assert sorted(indexes(shop)) == [("t_a", True), ("t_b", True)]
        shop.up(REINDEX)


def test_partition_is_detached_and_a_pending_detach_finalized(one_shop):
    shop = one_shop
    shop.run(
        "CREATE TABLE p (id int) PARTITION BY RANGE (id)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)",
    )
    files = {
        f"00{n}_d.up.sql": ALONE + f"ALTER TABLE p DETACH PARTITION p{n} CONCURRENTLY"
        for n in (1, 2)
    }
    first = {"001_d.up.sql": files["001_d.up.sql"]}
    with shop.database.connect() as old, old.transaction():
        old.execute("SELECT * FROM p")
        with pytest.raises(StepFailedError) as failed:
            shop.up(first)
    assert failed.value.sqlstate == "55P03"
    assert failed.value.end is End.RUNNING
    assert pending(shop) == [("p1", True), ("p2", False)]
    # The same attempt may try again: the ledger knows that it began.
    assert [each.ran for each in shop.up(files)] == [False, True]
    assert pending(shop) == []
    assert shop.versions() == ["001", "002"]


def pending(shop):
    return shop.run(
        "SELECT inhrelid::regclass::text, inhdetachpending FROM pg_inherits "
        "WHERE inhparent = 'p'::regclass ORDER BY 1"
    )


def test_enum_value_and_repeatable_statements(shop):
    shop.run("CREATE TYPE mood AS ENUM ('fine')", "CREATE TABLE log (id int)")
    shop.run(
        "CREATE PROCEDURE note() LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO log VALUES (1); COMMIT; END'"
    )
    files = {
        "001_e.up.sql": ALONE + "ALTER TYPE mood ADD VALUE 'well'",
        "002_v.up.sql": ALONE + "VACUUM t",
        "003_c.up.sql": ALONE + "-- whimbrel: repeatable\nCALL note()",
        "004_r.up.sql": ALONE + "REINDEX TABLE CONCURRENTLY t",
    }
    assert [each.ran for each in shop.started_before(STEP).up(files)] == [True] * 4
    assert shop.versions() == ["001", "002", "003", "004"]
    assert shop.run("SELECT count(*) FROM log") == [(1,)]


def test_enum_value_of_an_earlier_attempt_is_only_recorded(shop):
    shop.run("CREATE TYPE mood AS ENUM ('fine', 'well')")
    files = {"001_e.up.sql": ALONE + "ALTER TYPE mood ADD VALUE 'well'"}
    assert [each.ran for each in shop.started_before(STEP).up(files)] == [False]


def test_other_files_stay_in_their_transactions(shop):
    files = {
        "001_a.up.sql": "CREATE TABLE a (id int)",
        "002_b.up.sql": ALONE + "CREATE INDEX CONCURRENTLY a_id ON a (id)",
        "003_c.up.sql": "SELECT 1/0",
    }
    with pytest.raises(StepFailedError):
        shop.up(files)
    assert shop.versions() == ["001", "002"]
