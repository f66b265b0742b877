"""What is asked before anything is locked, behind a real PgBouncer and of a real standby."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.checkpoint_shop import admin
from tests.db.orders import a_session, an_order, manners, target_of, until
from tests.db.pgbouncer import load, running_pgbouncer
from tests.db.silent_wire import silent_wire
from tests.postgres import (
    BINARIES,
    Postgres,
    create_database,
    free_port,
    run_unprivileged,
    running_postgres,
)
from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.runner.known import open_ledger
from whimbrel.runner.ledger import Ledger, raise_epoch
from whimbrel.runner.lock import assert_step_may_run, take_lock
from whimbrel.runner.preflight import check_server

ADVISORY = "select count(*) from pg_locks where locktype = 'advisory'"
NAME = manners().application_name


def test_a_direct_database_passes(any_database):
    server = check_server(target_of(any_database), NAME)
    assert (server.version, server.database) == (any_database.version, any_database.dbname)
    assert server.warnings == ()


def test_a_direct_database_under_load_passes(database):
    with load(database, 8):
        assert check_server(target_of(database), NAME).version == 16


def test_a_pooler_in_session_mode_passes(database):
    with running_pgbouncer(database, "session", 20) as pooled:
        assert check_server(target_of(pooled), NAME).version == 16


@pytest.mark.parametrize("size", [1, 20])
@pytest.mark.parametrize(
    ("mode", "clients"),
    [
        pytest.param("transaction", 0, id="transaction mode, idle"),
        pytest.param("transaction", 30, id="transaction mode, loaded"),
        # Its clients may open no transaction, so nothing like the load above can exist there.
        pytest.param("statement", 0, id="statement mode, idle"),
    ],
)
@pytest.mark.sampled("a pooler before the server")
def test_a_pooler_in_transaction_mode_is_refused_and_nothing_is_locked(
    database, size, clients, mode
):
    with running_pgbouncer(database, mode, size) as pooled:
        with load(pooled, clients) if clients else contextlib.nullcontext():
            for _ in range(3):
                with pytest.raises(RefusedError) as refused:
                    check_server(target_of(pooled), NAME)
                assert refused.value.reason == "PoolerInTransactionMode"
                assert refused.value.message.endswith("give a direct URL")
        assert database.run(ADVISORY) == [(0,)]
        assert database.run("select to_regnamespace('whimbrel')::text") == [(None,)]


def test_a_step_behind_a_pooler_that_was_not_seen_does_nothing(database):
    """The second line: the step's own backend does not hold the lock."""
    with running_pgbouncer(database, "transaction", 20) as pooled:
        with a_session(database) as direct:
            open_ledger(Ledger(direct, "whimbrel"), an_order())
            epoch = raise_epoch(Ledger(direct, "whimbrel"))
        with a_session(pooled) as session, a_session(pooled) as neighbour:
            take_lock(session, patience=0)
            with neighbour.transaction():  # it gets the backend that holds the lock
                neighbour.execute("select 1")
                with pytest.raises(RefusedError, match="give a direct URL"), session.transaction():
                    assert_step_may_run(Ledger(session, "whimbrel"), epoch)


def test_a_login_that_may_only_read_is_refused(database):
    database.run(f"alter role {database.user} set default_transaction_read_only = on")
    with pytest.raises(RefusedError) as refused:
        check_server(target_of(database), NAME)
    assert refused.value.reason == "ReadOnly"


@pytest.fixture
def primary() -> Iterator[Postgres]:
    """Give a server of its own: a copy of the one of all tests has hundreds of databases."""
    with running_postgres(16) as server:
        yield server


def test_a_standby_is_waited_for(primary: Postgres):
    database = create_database(primary, "shop")
    home = primary.home / "standby"
    source = f"host=127.0.0.1 port={primary.port} user=postgres password=postgres"
    run_unprivileged([
        str(BINARIES[16] / "pg_basebackup"), "-D", str(home / "data"), "-R", "-X", "stream",
        "-c", "fast", "--no-sync", "-d", source,
    ])  # fmt: skip
    standby = replace(primary, home=home, port=free_port())
    options = {"port": standby.port, "unix_socket_directories": home, "max_connections": 200}
    options["fsync"] = "off"  # else it begins with a sync of every file
    standby.pg_ctl("-o", " ".join(f"-c {name}={value}" for name, value in options.items()), "start")
    try:
        target = target_of(replace(database, port=standby.port))
        until(lambda: knows(target))
        with pytest.raises(TransientError) as transient:
            check_server(target, NAME)
        assert transient.value.reason == "ReadOnly"
        standby.pg_ctl("promote")
        assert check_server(target, NAME).version == 16
    finally:
        standby.pg_ctl("-m", "immediate", "stop")


def knows(target) -> bool:
    try:
        check_server(target, NAME)
    except TransientError as error:
        return error.reason == "ReadOnly"
    return True


@pytest.mark.parametrize("stopped", ["at once", "after the start-up"])
@pytest.mark.sampled("a pooler before the server")
def test_a_slow_database_is_no_pooler(database, stopped):
    """The wire is silent: a wait, but the pids are those of the start-up packet."""
    with silent_wire(database, answers=stopped == "after the start-up") as slow:
        with pytest.raises(TransientError) as transient:
            check_server(target_of(slow), NAME)
        assert transient.value.reason in {"DatabaseSlow", "DatabaseUnreachable"}


@pytest.mark.parametrize("power", ["superuser", "bypassrls", "replication"])
def test_a_login_that_can_do_more_than_any_owner_is_a_warning(database, power):
    name = f"{database.user}_strong"
    admin(database).run(f"create role {name} login password 'x7q' {power}")
    strong = replace(database, user=name, password="x7q")
    try:
        (warning,) = check_server(target_of(strong), "test").warnings
    finally:
        admin(database).run(f"drop role {name}")
    assert warning.startswith(f"LoginTooPowerful: the login {name} is {power.upper()}")
