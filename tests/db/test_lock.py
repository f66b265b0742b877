"""The worker's lock on a real server: exclusive, watched, asserted by every step."""

import threading

import pytest

from tests.db.orders import a_ledger, a_session
from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.runner.ledger import Ledger, raise_epoch
from whimbrel.runner.lock import Heartbeat, assert_step_may_run, release_lock, take_lock

ALL_ADVISORY = "select count(*) from pg_locks where locktype = 'advisory'"


def test_one_session_holds_it_and_the_other_names_the_holder(any_database):
    with a_session(any_database) as first, a_session(any_database, "run-2") as second:
        take_lock(first, patience=0)
        with pytest.raises(TransientError) as busy:
            take_lock(second, patience=0.6)
        assert busy.value.reason == "Busy"
        assert f"whimbrel:run-1-012345:shop/schema (pid {first.info.backend_pid})" in str(
            busy.value
        )
        release_lock(first)
        take_lock(second, patience=5)


def test_a_waiter_gets_it_as_soon_as_the_holder_dies(database):
    with a_session(database) as second, a_session(database) as first:
        take_lock(first, patience=0)
        threading.Timer(0.3, first.close).start()
        take_lock(second, patience=10)


def test_the_lock_is_of_one_database(database, any_database):
    with a_session(database) as first, a_session(any_database) as second:
        take_lock(first, patience=0)
        take_lock(second, patience=0)


def test_a_poll_never_waits_inside_the_server(database):
    """Else CREATE INDEX CONCURRENTLY next to it ends in a dead-lock."""
    with a_session(database) as first, a_session(database) as second:
        take_lock(first, patience=0)

        def poll() -> None:
            with pytest.raises(TransientError):
                take_lock(second, patience=1.0)

        tries = threading.Thread(target=poll)
        tries.start()
        while tries.is_alive():
            assert database.run("select count(*) from pg_locks where not granted") == [(0,)]
        tries.join()


def test_a_step_keeps_its_epoch_until_its_transaction_ends(database):
    with a_ledger(database) as ledger, a_session(database) as other:
        take_lock(ledger.session, patience=0)
        epoch = raise_epoch(ledger)
        with ledger.session.transaction():
            assert_step_may_run(ledger, epoch)
            with pytest.raises(Exception, match="lock timeout"):
                raise_epoch(Ledger(other, "whimbrel"))
        assert raise_epoch(Ledger(other, "whimbrel")) == epoch + 1


def test_a_step_of_an_old_epoch_does_nothing(database):
    with a_ledger(database) as ledger:
        take_lock(ledger.session, patience=0)
        epoch = raise_epoch(ledger)
        raise_epoch(ledger)
        with pytest.raises(TransientError) as old, ledger.session.transaction():
            assert_step_may_run(ledger, epoch)
        assert old.value.reason == "Superseded"


def test_a_step_whose_backend_holds_no_lock_blames_the_pooler(database):
    with a_ledger(database) as ledger, a_session(database) as other:
        epoch = raise_epoch(ledger)
        take_lock(other, patience=0)
        with pytest.raises(RefusedError, match="give a direct URL") as refused:
            assert_step_may_run(ledger, epoch)
        assert refused.value.reason == "PoolerInTransactionMode"


def test_the_heartbeat_is_silent_while_the_lock_is_held(database):
    called = threading.Event()
    with a_session(database) as session:
        take_lock(session, patience=0)
        with Heartbeat(session, called.set, interval=0.05) as heartbeat:
            session.execute("select pg_sleep(0.3)")
            with session.transaction():
                session.execute("select pg_sleep(0.3)")
            assert not called.wait(0.3)
        assert not heartbeat.lost.is_set()


def test_a_heartbeat_never_breaks_a_transaction_that_failed(database):
    called = threading.Event()
    with a_session(database) as session:
        take_lock(session, patience=0)
        with Heartbeat(session, called.set, interval=0.001):
            for _ in range(100):
                with pytest.raises(Exception, match="division"), session.transaction():
                    session.execute("select 1/0")
        assert not called.is_set()


@pytest.mark.parametrize(
    "lose",
    [
        pytest.param(lambda session, database: release_lock(session), id="the lock is gone"),
        pytest.param(
            lambda session, database: database.run(
                "select pg_terminate_backend(%s)", session.info.backend_pid
            ),
            id="the backend was terminated",
        ),
        pytest.param(lambda session, database: session.close(), id="the session was closed"),
    ],
)
def test_the_heartbeat_reports_a_loss_at_once(database, lose):
    called = threading.Event()
    with a_session(database) as session:
        take_lock(session, patience=0)
        with Heartbeat(session, called.set, interval=0.05) as heartbeat:
            lose(session, database)
            assert called.wait(2)
            assert heartbeat.lost.is_set()
