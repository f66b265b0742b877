"""Least privilege: what a tenant or an application can make of capture, journal and copies.

The attacks of an owner of tables, of an application, and of whoever can plant functions; each on
every PostgreSQL, with logins that are no superusers.
"""

import json
from dataclasses import replace

import psycopg
import pytest

from tests.db.checkpoints import Shop, a_desk, a_shop, journal, refused, wanted
from tests.db.orders import until
from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.manifest import read_checkpoint
from whimbrel.runner.checkpoint.open import open_checkpoint
from whimbrel.runner.checkpoint.watch import expect_capture
from whimbrel.runner.ledger import install_ledger


@pytest.fixture
def shop(any_database) -> Shop:
    return a_shop(any_database)


MOOD = """
create type app.mood as enum ('ok', 'sad');
create table app.guests (id int primary key, mood app.mood default 'ok');
"""
# Tries everything, and tells what worked in the value that the journal gets.
EVIL = """
create function app.evil(app.mood) returns json language plpgsql as $$
declare
    word text;
    worked text[] := '{{}}';
begin
    foreach word in array array[{tries}] loop
        begin
            execute word;
            worked := worked || word;
        exception when others then null;
        end;
    end loop;
    return json_build_object('who', current_user, 'worked', worked);
end $$;
create cast (app.mood as json) with function app.evil(app.mood);
"""


def tries(shop: Shop, checkpoint) -> str:
    statements = (
        f"alter role {shop.app.user} superuser",
        f"alter role {shop.app.user} createrole",
        f"set role {shop.deploy.user}",
        "reset role",
        "reset session authorization",
        "create role mallory",
        f"select * from whimbrel.{checkpoint.journal}",
        f"delete from whimbrel.{checkpoint.journal}",
        f"select * from whimbrel.{checkpoint.tables[0].clone}",
        f"update whimbrel.{checkpoint.tables[0].clone} set id = 0",
        "select * from whimbrel.meta",
        "update whimbrel.meta set epoch = 99",
        "select * from app.users",
        "delete from app.users",
        "create table whimbrel.planted (n int)",
        "drop function whimbrel." + checkpoint.names.function.split(".")[1],
        "select pg_read_file('PG_VERSION')",
        "copy (select 1) to program 'true'",
    )
    return ", ".join(f"$t${each}$t$" for each in statements)


def test_a_cast_to_json_runs_as_a_role_that_can_do_nothing(shop):
    """And what it makes of values is noticed: the checkpoint is not relied on any more."""
    shop.owner.run(MOOD)
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "guests"), desk)
        expect_capture(ready, desk.session)
        shop.owner.run(EVIL.format(tries=tries(shop, ready)))
        shop.owner.run("insert into app.guests values (1)")
        ((_, _, _, new),) = journal(shop, ready)
        assert json.loads(new)["mood"] == {"who": ready.capture_role, "worked": []}
        with pytest.raises(HeldError) as held:
            expect_capture(ready, desk.session)
        assert held.value.reason == "CaptureBroken"
    assert shop.admin().run("select count(*) from pg_roles where rolname = 'mallory'") == [(0,)]


def test_a_cast_to_json_that_is_there_is_refused(shop):
    shop.owner.run(MOOD)
    shop.owner.run(EVIL.format(tries="$t$select 1$t$"))
    before = shop.traces()
    with a_desk(shop.deploy) as desk, pytest.raises(RefusedError, match="has a cast to json"):
        open_checkpoint(wanted(shop, "guests"), desk)
    assert shop.traces() == before


def test_owners_of_types_and_tables_must_be_one(shop):
    shop.owner.run(MOOD)
    shop.admin().run(f"alter type app.mood owner to {shop.app.user}")
    with a_desk(shop.deploy) as desk, pytest.raises(RefusedError) as by_type:
        open_checkpoint(wanted(shop, "guests"), desk)
    shop.admin().run(f"alter type app.mood owner to {shop.owner.user}")
    shop.admin().run(f"alter table app.guests owner to {shop.app.user}")
    shop.admin().run(f"grant {shop.app.user} to {shop.owner.user}")
    with a_desk(shop.deploy) as desk, pytest.raises(RefusedError) as by_table:
        open_checkpoint(wanted(shop, "guests", "users"), desk)
    assert (by_type.value.reason, by_table.value.reason) == ("SeveralOwners", "SeveralOwners")
    assert "could forge" in by_type.value.message


def test_the_owner_of_the_function_may_insert_into_the_journal_and_nothing_else(shop):
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
    rights = shop.admin().run(
        "select c.relname, p from pg_class c, unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE',"
        " 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p where c.relkind in ('r', 'v', 'm')"
        " and c.relnamespace in ('whimbrel'::regnamespace, 'app'::regnamespace)"
        " and has_table_privilege(%s, c.oid, p)",
        ready.capture_role,
    )
    assert rights == [(ready.journal, "INSERT")]
    attributes = shop.admin().run(
        "select rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication,"
        " (select count(*) from pg_auth_members where member = r.oid),"
        " has_schema_privilege(rolname, 'whimbrel', 'CREATE')"
        " from pg_roles r where rolname = %s",
        ready.capture_role,
    )
    assert attributes == [(False, False, False, False, False, False, 0, False)]


def test_our_function_cannot_be_attached_to_another_table(shop):
    """Neither by the application nor by whoever may use the schema: journal rows are not forged."""
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
    shop.admin().run(f"grant usage on schema whimbrel to {shop.app.user}")
    shop.admin().run(f"grant create on schema public to {shop.app.user}")
    shop.app.run("create table public.mine (id int primary key, name text)")
    forge = "create trigger forge after insert on public.mine for each row execute function {}"
    assert refused(shop.app, forge.format(ready.names.function[:-1] + "'1')"))
    assert refused(shop.app, forge.format(ready.names.truncate_function))
    assert refused(shop.app, f"insert into whimbrel.{ready.journal} (number, op) values (1, 'D')")
    assert refused(shop.app, "alter table app.users disable trigger all")
    assert refused(shop.app, f'drop trigger "{ready.names.triggers[0]}" on app.users')


def test_nobody_reads_journal_or_copy_whatever_default_privileges_say(shop):
    shop.owner.run(f"alter default privileges grant all on tables to {shop.app.user}, public")
    shop.owner.run(f"alter default privileges grant all on functions to {shop.app.user}")
    shop.owner.run(f"alter default privileges grant all on sequences to {shop.app.user}")
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
    shop.admin().run(f"grant usage on schema whimbrel to {shop.app.user}")
    for name in (ready.journal, ready.tables[0].clone):
        for statement in (f"table whimbrel.{name}", f"truncate whimbrel.{name}"):
            assert refused(shop.app, statement), statement
    may = "select has_function_privilege(%s, %s, 'EXECUTE')"
    assert shop.admin().run(may, shop.app.user, ready.names.function) == [(False,)]


def test_an_owner_of_tables_who_does_not_own_the_ledger_reads_nothing(shop):
    """The login of the migration keeps the ledger itself and is a member of the owner."""
    shop.admin().run(f"alter role {shop.deploy.user} reset role")
    shop.admin().run("drop schema whimbrel cascade")
    shop.admin().run(f"grant create on database {shop.owner.dbname} to {shop.deploy.user}")
    with a_desk(shop.deploy) as desk:
        install_ledger(desk.ledger)
        ready = open_checkpoint(wanted(shop), desk)
    shop.admin().run(f"grant usage on schema whimbrel to {shop.owner.user}")
    for name in (ready.journal, ready.tables[0].clone, "checkpoint"):
        assert refused(shop.owner, f"table whimbrel.{name}"), name
    function = ready.names.function[:-1] + "'1')"
    shop.owner.run("create table app.other (id int primary key)")
    assert refused(
        shop.owner,
        f"create trigger forge after insert on app.other for each row execute function {function}",
    )


PLANTED = """
create schema trap;
grant usage on schema trap to public;
create table trap.hits (what text);
grant all on trap.hits to public;
create function trap.row_to_json(record) returns json language plpgsql as
    $$ begin insert into trap.hits values ('row_to_json'); return '{}'; end $$;
create function trap.pg_relation_size(regclass) returns bigint language plpgsql as
    $$ begin insert into trap.hits values ('size'); return 0; end $$;
create function trap.ge(bigint, bigint) returns bool language plpgsql as
    $$ begin insert into trap.hits values ('>='); return true; end $$;
create operator trap.>= (leftarg = bigint, rightarg = bigint, function = trap.ge);
create function trap.same(text, text) returns bool language plpgsql as
    $$ begin insert into trap.hits values ('='); return false; end $$;
create operator trap.= (leftarg = text, rightarg = text, function = trap.same);
create function trap.now() returns timestamptz language plpgsql as
    $$ begin insert into trap.hits values ('now'); return 'infinity'; end $$;
"""


def test_nothing_planted_in_a_search_path_runs_for_us(shop):
    shop.owner.run(PLANTED)
    shop.admin().run(
        f"alter database {shop.owner.dbname} set search_path = trap, pg_catalog, public"
    )
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
        shop.app.run("update app.users set balance = 1 where id = 1")
        expect_capture(ready, desk.session)
    assert shop.owner.run("select * from trap.hits") == []
    assert [op for _, op, *_ in journal(shop, ready)] == ["U"]


def test_the_settings_of_a_writer_do_not_change_what_is_captured(shop):
    shop.owner.run(
        "create table app.odd (id int primary key, f float8, b bytea, i interval, d daterange,"
        " t timestamptz)"
    )
    shop.owner.run(f"grant all on app.odd to {shop.app.user}")
    insert = (
        "insert into app.odd values ({}, 0.1::float8 + 0.2::float8, '\\x00ff',"
        " make_interval(days => -1, hours => 2), '[2026-02-01,2026-03-04)',"
        " '2026-01-02 03:04:05+00')"
    )
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "odd"), desk)
    options = (
        "-c datestyle=SQL,DMY -c extra_float_digits=-10 -c bytea_output=escape"
        " -c intervalstyle=sql_standard -c timezone=Asia/Tokyo"
    )
    with shop.app.connect(options=options) as odd, shop.app.connect() as plain:
        odd.execute(insert.format(1))
        plain.execute(insert.format(2))
    first, second = (json.loads(new) for *_, new in journal(shop, ready))
    assert {**first, "id": 2} == second
    assert second["f"] == 0.1 + 0.2


def test_a_role_that_a_dba_prepared_is_used_and_stays_as_it_was(shop):
    shop.admin().run(f"alter role {shop.deploy.user} nocreaterole")
    with a_desk(shop.deploy) as desk:
        with pytest.raises(RefusedError) as missing:
            open_checkpoint(wanted(shop), desk)
        assert missing.value.reason == "CaptureRoleMissing"
        statements = missing.value.message.partition("or: ")[2]
        try:
            shop.admin().run(statements)
            before = shop.traces()
            ready = open_checkpoint(wanted(shop), desk)
            assert ready.capture_role == "whimbrel_capture"
            shop.app.run("update app.users set balance = 1 where id = 1")
            assert len(journal(shop, ready)) == 1
            discard(ready, desk)
            assert shop.traces() == before
        finally:
            shop.admin().run("drop owned by whimbrel_capture")
            shop.admin().run("drop role whimbrel_capture")


def test_a_prepared_role_that_can_do_more_is_refused(shop):
    shop.admin().run(f"alter role {shop.deploy.user} nocreaterole")
    try:
        shop.admin().run("create role whimbrel_capture login")
        shop.admin().run(f"grant whimbrel_capture to {shop.owner.user}")
        before = shop.traces()
        with a_desk(shop.deploy) as desk, pytest.raises(RefusedError) as more:
            open_checkpoint(wanted(shop), desk)
        assert more.value.reason == "CaptureRoleMissing"
        assert shop.traces() == before
    finally:
        shop.admin().run("drop role whimbrel_capture")


def test_a_replica_session_is_captured_too(shop):
    """session_replication_role = replica: the triggers are ENABLE ALWAYS."""
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
    with shop.admin().connect() as admin:
        admin.execute("set session_replication_role = replica")
        admin.execute("delete from app.users where id = 9")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="TRUNCATE is ref"):
            admin.execute("truncate app.users")
    assert [op for _, op, *_ in journal(shop, ready)] == ["D"]
    assert shop.app.run("select count(*) from app.users") == [(499,)]


def test_a_copy_of_the_database_takes_nothing_from_the_original(shop):
    """CREATE DATABASE ... TEMPLATE copies the ledger too; roles are those of the whole server."""
    before = shop.traces()
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop), desk)
    copied = f"{shop.owner.dbname}_copy"
    until(lambda: not shop.admin().run(
        "select 1 from pg_stat_activity where datname = %s and pid <> pg_backend_pid()",
        shop.owner.dbname,
    ))  # fmt: skip
    server = replace(shop.admin(), dbname="postgres")
    server.run(f"create database {copied} template {shop.owner.dbname} owner {shop.owner.user}")
    with a_desk(replace(shop.deploy, dbname=copied)) as desk:
        discard(read_checkpoint(desk.ledger, ready.id), desk)
    shop.app.run("delete from app.users where id = 1")
    assert [op for _, op, *_ in journal(shop, ready)] == ["D"]
    server.run(f"drop database {copied}")
    with a_desk(shop.deploy) as desk:
        discard(ready, desk)
    assert shop.traces() == before
