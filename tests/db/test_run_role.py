"""A login of its own for a tool, on 15, 16 and 18, with logins that are no superusers."""

from dataclasses import replace

import psycopg
import pytest

from tests.db.orders import RUN, a_ledger, a_session, an_order, manners, target_of, until
from tests.postgres import Postgres
from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.planning.dialects.postgresql_roles import grant_role_making, prepare_login
from whimbrel.runner import fence as fences
from whimbrel.runner.attempts import open_attempt, read_attempts, record_tool
from whimbrel.runner.fence import Fence, fence_run
from whimbrel.runner.ledger import raise_epoch
from whimbrel.runner.run_role import (
    describe_ways,
    end_role,
    make_role,
    may_make_roles,
    refresh_prepared,
    remove_role,
    role_name,
)
from whimbrel.runner.runs import reserve
from whimbrel.runner.target import with_login


def as_admin(database: Postgres) -> psycopg.Connection:
    return replace(database, user="postgres", password="postgres").connect()


@pytest.fixture
def deploy(any_database):
    """The database through a login that a DBA made with the statements that we print."""
    statements = grant_role_making(any_database.user, any_database.user)
    with as_admin(any_database) as admin:
        for statement in statements:
            admin.execute(statement.replace("choose-one", "secret"))
    return replace(any_database, user=f"{any_database.user}_deploy", password="secret")


def no_fence(_: str) -> str:
    return ""


def refused(target, login) -> bool:
    try:
        psycopg.connect(
            host=target.host, port=target.port, dbname=target.dbname, user=login.user,
            password=login.password,
        ).close()  # fmt: skip
    except psycopg.OperationalError:
        return True
    return False


def may_log_in(session, role: str) -> bool:
    asked = "select rolcanlogin from pg_roles where rolname = $1"
    return session.execute(asked, [role]).fetchone()[0]


def test_an_owner_cannot_make_roles_and_is_told_both_ways(any_database):
    with a_session(any_database) as session:
        assert not may_make_roles(session)
        sentence = describe_ways(session, "whimbrel")
    owner = any_database.user
    assert f'CREATE ROLE "{owner}_deploy" LOGIN CREATEROLE' in sentence
    assert f'GRANT "{owner}" TO "{owner}_deploy" WITH ADMIN OPTION' in sentence
    assert f'CREATE FUNCTION "whimbrel"."{owner}_runs"(secret text)' in sentence


def test_createrole_alone_is_enough_before_16_only(any_database):
    """PostgreSQL 16+: it needs ADMIN OPTION on the owner role, which no role has on itself."""
    with as_admin(any_database) as admin:
        admin.execute(f"alter role {any_database.user} createrole")
    with a_session(any_database) as session:
        assert may_make_roles(session) == (any_database.version < 16)


def test_the_try_leaves_no_role_behind(deploy):
    with a_session(deploy) as session:
        assert may_make_roles(session)
        assert session.execute(
            "select count(*) from pg_roles where rolname like 'whimbrel_try%'"
        ).fetchone() == (0,)


def test_the_tools_objects_belong_to_the_owner(deploy):
    with a_session(deploy) as session:
        login = make_role(session, role_name(deploy.dbname, 1), manners())
        tool = replace(deploy, user=login.user, password=login.password)
        tool.run("create table made_by_tool (n int)")
        owner = session.execute(
            "select tableowner from pg_tables where tablename = 'made_by_tool'"
        ).fetchone()
        assert owner == (deploy.dbname,)


def test_the_tool_has_the_settings_of_our_login_and_our_manners(deploy):
    with as_admin(deploy) as admin:
        admin.execute(f'alter role {deploy.user} set search_path = app, "Odd, one", public')
        admin.execute(
            f"alter role {deploy.user} in database {deploy.dbname} set statement_timeout = '77s'"
        )
        admin.execute(f"alter role {deploy.user} set log_min_duration_statement = 5")
    with a_session(deploy) as session:
        login = make_role(session, role_name(deploy.dbname, 1), manners())
    tool = replace(deploy, user=login.user, password=login.password)
    assert tool.run("show search_path") == [('app, "Odd, one", public',)]
    assert tool.run("show statement_timeout") == [("77s",)]
    assert tool.run("show lock_timeout") == [("100ms",)]
    assert tool.run("show client_connection_check_interval") == [("1s",)]
    assert tool.run("show application_name") == [(manners().application_name,)]
    assert tool.run("select session_user::text, current_user::text") == [
        (login.user, deploy.dbname)
    ]


def test_the_role_proves_that_a_tool_is_gone_and_stays_gone(deploy):
    order = an_order()
    with a_ledger(deploy) as ledger:
        reserve(ledger, order, no_fence)
        open_attempt(ledger, order, name=manners().application_name)
        name = role_name(deploy.dbname, 1)
        record_tool(ledger, order, run_role=name)
        login = make_role(ledger.session, name, manners())
        target = target_of(deploy)
        tool = replace(deploy, user=login.user, password=login.password)
        with tool.connect(application_name="I call myself differently") as zombie:
            assert not refused(target, login)
            fence = Fence(ledger, target, an_order(attempt=2))
            assert fence_run(fence, RUN) == "Role"
            with pytest.raises(psycopg.OperationalError):
                zombie.execute("create table late (n int)")
        assert refused(target, login)
        assert not may_log_in(ledger.session, name)
        assert read_attempts(ledger, RUN)[0].fence == "Role"
        count = ledger.session.execute(
            "select count(*) from pg_stat_activity where usename = $1", [name]
        )
        assert count.fetchone() == (0,)
        assert remove_role(ledger.session, target, "whimbrel", name)


def test_a_role_that_was_recorded_but_never_made_is_proven(deploy):
    with a_ledger(deploy) as ledger:
        assert end_role(ledger.session, target_of(deploy), "whimbrel", "whimbrel_run_never_1")


def test_a_role_that_is_committed_while_the_fence_works_is_ended_too(deploy, monkeypatch):
    """Its maker asked before anybody had recorded a higher epoch, and was slow."""
    name = role_name(RUN, 1)
    made = []

    def raise_late(ledger):
        if not made:
            with a_session(deploy, "run-9") as maker:
                made.append(make_role(maker, name, manners()))
        return raise_epoch(ledger)

    monkeypatch.setattr(fences, "raise_epoch", raise_late)
    with a_ledger(deploy) as ledger:
        reserve(ledger, an_order(), no_fence)
        open_attempt(ledger, an_order(), name=manners().application_name)
        record_tool(ledger, an_order(), run_role=name)
        fence = Fence(ledger, target_of(deploy), an_order(attempt=2))
        assert fence_run(fence, RUN) == "Role"
        assert not may_log_in(ledger.session, name)
    assert refused(target_of(deploy), made[0])


def test_a_role_that_a_dba_dropped_under_a_live_session_is_not_proven(deploy):
    with a_session(deploy) as session:
        login = make_role(session, role_name(deploy.dbname, 1), manners())
        with replace(deploy, user=login.user, password=login.password).connect():
            with as_admin(deploy) as admin:
                admin.execute(f"drop role {login.user}")
            assert not end_role(session, target_of(deploy), "whimbrel", login.user)
        until(lambda: end_role(session, target_of(deploy), "whimbrel", login.user))


def test_a_role_is_removed_with_all_that_hangs_on_it(deploy):
    with a_session(deploy) as session:
        login = make_role(session, role_name(deploy.dbname, 1), manners())
        tool = replace(deploy, user=login.user, password=login.password)
        with tool.connect() as own:
            own.execute("create table theirs (n int)")
            own.execute(f"grant select on theirs to {login.user}")
            own.execute("set role none")
            own.execute("create table public.stray (n int)")
        assert remove_role(session, target_of(deploy), "whimbrel", login.user)
        owners = session.execute(
            "select tablename, tableowner from pg_tables where schemaname = 'public' order by 1"
        ).fetchall()
        assert owners == [("stray", deploy.dbname), ("theirs", deploy.dbname)]
        assert remove_role(session, target_of(deploy), "whimbrel", login.user)


@pytest.fixture
def prepared(any_database):
    """Name of a login that a DBA prepared with the statements that we print."""
    name = f"{any_database.user}_runs"
    with a_ledger(any_database), as_admin(any_database) as admin:
        for statement in prepare_login("whimbrel", name, any_database.user):
            admin.execute(statement)
    return name


def test_a_prepared_login_gets_another_password_for_each_attempt(any_database, prepared):
    target = target_of(any_database)
    with a_session(any_database) as session:
        first = refresh_prepared(session, "whimbrel", prepared)
        assert not refused(target, first)
        second = refresh_prepared(session, "whimbrel", prepared)
        assert refused(target, first)
        assert not refused(target, second)


def test_a_prepared_login_proves_the_end_of_its_tool(any_database, prepared):
    target = target_of(any_database)
    with a_ledger(any_database) as ledger:
        reserve(ledger, an_order(), no_fence)
        open_attempt(ledger, an_order(), name=manners().application_name)
        record_tool(ledger, an_order(), run_role=prepared)
        login = refresh_prepared(ledger.session, "whimbrel", prepared)
        tool = replace(any_database, user=login.user, password=login.password)
        with tool.connect() as zombie:
            assert fence_run(Fence(ledger, target, an_order(attempt=2)), RUN) == "Role"
            with pytest.raises(psycopg.OperationalError):
                zombie.execute("select 1")
        assert refused(target, login)
        assert not may_log_in(ledger.session, prepared)
        # and the next attempt can use it again
        assert not refused(target, refresh_prepared(ledger.session, "whimbrel", prepared))


def test_a_prepared_login_without_the_function_proves_nothing(any_database):
    name = f"{any_database.user}_runs"
    with as_admin(any_database) as admin:
        admin.execute(f"create role {name} login password 'x' in role {any_database.user}")
    with a_ledger(any_database) as ledger:
        with pytest.raises(RefusedError, match="CREATE FUNCTION"):
            refresh_prepared(ledger.session, "whimbrel", name)
        reserve(ledger, an_order(), no_fence)
        open_attempt(ledger, an_order(), name=manners().application_name)
        record_tool(ledger, an_order(), run_role=name)
        tool = replace(any_database, user=name, password="x")
        with tool.connect() as running:
            with pytest.raises(HeldError):
                fence_run(Fence(ledger, target_of(any_database), an_order(attempt=2)), RUN)
            assert running.execute("select 1").fetchone() == (1,)


def test_the_password_of_a_run_never_travels_in_clear(deploy):
    with a_session(deploy) as session:
        login = make_role(session, role_name(deploy.dbname, 1), manners())
        assert login.password not in repr(login)
        with as_admin(deploy) as admin:
            stored = admin.execute(
                "select rolpassword from pg_authid where rolname = %s", [login.user]
            ).fetchone()[0]
        assert stored.startswith("SCRAM-SHA-256$")
        assert with_login(target_of(deploy), login).user == login.user
