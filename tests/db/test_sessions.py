"""Sessions on real servers: named, mannered, and errors that say what happens next."""

import os
import socket
from dataclasses import replace

import psycopg
import pytest

from tests.db.orders import RUN, a_session, manners, target_of, until
from tests.postgres import free_port, running_postgres
from whimbrel.model.errors import FailedError, TransientError
from whimbrel.runner.postgresql_session import connect_error, tool_options
from whimbrel.runner.sessions import (
    application_name,
    connect,
    open_session,
    own,
    sorted_error,
)


def test_a_session_names_object_and_run_and_gives_way(any_database):
    with a_session(any_database) as session:
        shown = {
            name: session.execute(f"show {name}").fetchone()[0]
            for name in (
                "application_name", "lock_timeout", "client_connection_check_interval",
                "idle_in_transaction_session_timeout",
            )
        }  # fmt: skip
        parameters = session.info.get_parameters()
        assert session.autocommit
    assert shown == {
        "application_name": f"whimbrel:{RUN[:12]}:shop/schema",
        "lock_timeout": "100ms",
        "client_connection_check_interval": "1s",
        "idle_in_transaction_session_timeout": "15s",
    }
    assert (parameters["keepalives_idle"], parameters["tcp_user_timeout"]) == ("5", "15000")


def test_the_name_fits_into_what_the_server_keeps():
    name = application_name("0123456789abcdef", "n" * 60 + "/schema")
    assert (name[:22], len(name.encode())) == ("whimbrel:0123456789ab:", 63)


def test_options_for_tools_reach_the_server(database):
    with psycopg.connect(database.url, options=tool_options(manners())) as session:
        assert session.execute("show lock_timeout").fetchone() == ("100ms",)
        assert session.execute("show client_connection_check_interval").fetchone() == ("1s",)


def test_the_author_sees_the_search_path_of_the_login(database):
    database.run(f"alter role {database.user} set search_path = app, public")
    with a_session(database) as session:
        assert session.execute("show search_path").fetchone() == ("app, public",)
        own(session, "select 1")
        assert session.execute("show search_path").fetchone() == ("app, public",)


def test_the_server_ends_the_statement_of_a_client_that_died(database):
    """client_connection_check_interval: else it would run on, and commit."""
    session = open_session(target_of(database), manners())
    pid = session.info.backend_pid
    session.pgconn.send_query(b"select pg_sleep(600)")
    session.pgconn.flush()
    asked = "select 1 from pg_stat_activity where pid = %s and wait_event = 'PgSleep'"
    until(lambda: database.run(asked, pid))
    # Not close(): that would say good-bye. The kernel's FIN is all that a killed client sends.
    with socket.socket(fileno=os.dup(session.pgconn.socket)) as wire:
        wire.shutdown(socket.SHUT_RDWR)
    until(lambda: not database.run("select 1 from pg_stat_activity where pid = %s", pid), 10)
    session.close()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"password": "hunter2"}, "WrongPassword", id="wrong password"),
        pytest.param({"password": ""}, "WrongPassword", id="no password"),
        pytest.param({"user": "nobody-here"}, "WrongPassword", id="no such login"),
        pytest.param({"dbname": "nothing-here"}, "DatabaseMissing", id="no such database"),
        pytest.param({"host": "no-such-host.invalid"}, "DatabaseUnreachable", id="no such host"),
        pytest.param(
            {"parameters": (("sslmode", "require"),)}, "TLSFailed", id="the server has no TLS"
        ),
        pytest.param(
            {"parameters": (("sslmode", "verify-full"), ("sslrootcert", "/none"))}, "TLSFailed",
            id="no authority file",
        ),
    ],
)  # fmt: skip
def test_a_login_that_fails_heals_and_names_the_place(database, changes, reason):
    target = replace(target_of(database), **changes)
    with pytest.raises(TransientError) as error:
        open_session(target, manners())
    assert error.value.reason == reason, error.value.message
    assert str(target) in error.value.message
    assert "hunter2" not in error.value.message
    assert target_of(database).password not in error.value.message


def test_nothing_listens(database):
    target = replace(target_of(database), port=free_port())
    with pytest.raises(TransientError, match="nothing listens there"):
        open_session(target, manners())


def test_no_connection_left_and_a_server_that_stops():
    with running_postgres(16, "max_connections=5", "superuser_reserved_connections=0") as server:
        server.run("create role ann login password 'ann'")
        target = target_of(replace(server, user="ann", password="ann"))
        held = []
        with pytest.raises(TransientError) as full:
            held.extend(open_session(target, manners()) for _ in range(1000))
        for _ in range(10):
            try:
                held.append(connect(target, "x"))
            except TransientError as error:
                full_again = error
                break
        assert full.value.reason == "TooManyConnections"
        assert full_again.reason == "TooManyConnections"
        for session in held:
            session.close()


def test_a_server_that_starts_or_stops_heals(database):
    for text in (
        "FATAL:  the database system is starting up",
        "FATAL:  the database system is shutting down",
        "FATAL:  the database system is in recovery mode",
    ):
        assert connect_error(target_of(database), text).reason == "DatabaseStarting"
    unknown = connect_error(target_of(database), f"odd: {target_of(database).password}")
    assert unknown.message.endswith("odd: ***")


@pytest.mark.parametrize(
    ("statement", "kind", "reason"),
    [
        pytest.param("select 1/0", FailedError, "StatementFailed", id="permanent"),
        pytest.param("selec", FailedError, "StatementFailed", id="syntax"),
        pytest.param(
            "set statement_timeout = 50; select pg_sleep(5)", TransientError, "Busy", id="cancelled"
        ),
        pytest.param(
            "select pg_terminate_backend(pg_backend_pid())", TransientError, "ConnectionLost",
            id="the session is gone",
        ),
    ],
)  # fmt: skip
def test_errors_are_sorted(database, statement, kind, reason):
    with a_session(database) as session, pytest.raises(psycopg.Error) as raised:
        session.execute(statement)
    error = sorted_error(raised.value, "001_a.up.sql, line 1")
    assert (type(error), error.reason) == (kind, reason)
    assert error.message.startswith("001_a.up.sql, line 1: ")
