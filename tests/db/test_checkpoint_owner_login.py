"""What an owner of tables can make of a checkpoint by functions that his tables call.

They run where rows are copied and replayed. The login of the migration may make roles, as the
documentation recommends, and acts as the owner; on each PostgreSQL.
"""

from dataclasses import dataclass

import psycopg
import pytest

from tests.checkpoint_shop import admin
from tests.db.checkpoint_desk import again, station
from tests.db.checkpoints import TRACES
from tests.postgres import Postgres
from whimbrel.model.errors import HeldError, RefusedError, TransientError
from whimbrel.runner.checkpoint import swap
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.session import Session

# Climbs to whoever logged in, tries what only he may, and tells what came of it.
EVIL = """
create table hits (what text, who text);
create function climb() returns void language plpgsql as $$
declare
    before text := current_setting('role');
    word text;
begin
    if session_user = current_user then return; end if;
    begin
        perform set_config('role', 'none', false);
    exception when insufficient_privilege then
        return;  -- the server itself sees to it
    end;
    foreach word in array array['create role {mallory} createrole',
        'grant pg_execute_server_program to {owner}', 'alter role {owner} createrole'] loop
        begin
            execute word;
            execute 'insert into public.hits values ($1, session_user)' using word;
        exception when insufficient_privilege then
            execute 'insert into public.hits values (''refused'', session_user)';
            when duplicate_object then null;
        end;
    end loop;
    perform set_config('role', before, false);
end $$;
create function evil(n int) returns bool language plpgsql as
    $$ begin perform public.climb(); return true; end $$;
create function calm(n int) returns int language plpgsql immutable as
    $$ begin perform public.climb(); return n; end $$;
create type mood as (n int);
create function feel(text) returns mood language plpgsql as
    $$ begin perform public.climb(); return row(1)::public.mood; end $$;
create function row_climbs() returns trigger language plpgsql as
    $$ begin perform public.climb(); return new; end $$;
create table users (id int primary key, n int);
insert into users select i, i from generate_series(1, 20) i;
"""


@dataclass(frozen=True)
class Vector:
    """A way in which a table calls a function.

    Attributes:
        setup: Makes it.
        migration: What the migration does.
        runs: Whether a checkpoint makes it run where it could climb, if anything could be had.
    """

    setup: str
    migration: str = "alter table users add column foo text"
    runs: bool = True


VECTORS = {
    "check": Vector("alter table users add constraint c check (evil(n))"),
    "default": Vector(
        "alter table users add column z bool default evil(1)", "alter table users drop column z"
    ),
    "domain": Vector(
        "create domain dd as int check (public.evil(value)); alter table users alter n type dd"
    ),
    "array of a domain": Vector(
        "create domain dd as int check (public.evil(value));"
        " alter table users add column m dd[] default '{1}'"
    ),
    "generated": Vector("alter table users add column g int generated always as (calm(n)) stored"),
    "cast": Vector(
        "create cast (text as mood) with function feel(text);"
        " alter table users add column m mood default '(1)'"
    ),
    "index": Vector("create index i on users (calm(n))"),
    "index with a condition": Vector("create index i on users (id) where calm(n) > 0"),
    "materialised view": Vector(
        "create materialized view v as select id, evil(n) from users",
        "drop materialized view v",
        runs=False,
    ),
    "view": Vector("create view v as select id, evil(n) from users", "drop view v", runs=False),
    "policy": Vector(
        "create policy p on users using (evil(n)); alter table users enable row level security",
        runs=False,
    ),
    "trigger": Vector(
        "create trigger t before insert or update on users for each row execute function"
        " row_climbs(); alter table users enable always trigger t",
        runs=False,
    ),
}


@pytest.fixture
def owner(any_database: Postgres):
    """Return the database as the owner of tables reaches it, who has planted what climbs."""
    mallory = f"mallory_{any_database.dbname}"
    evil = EVIL.replace("{mallory}", mallory).replace("{owner}", any_database.user)
    with any_database.connect() as session:
        session.execute(evil)
    admin(any_database).run("grant insert on hits to public")
    yield any_database
    admin(any_database).run(f"drop role if exists {mallory}")


def powers(owner: Postgres) -> list[tuple]:
    """Return what the owner could have got, and who could give it to him."""
    return admin(owner).run(
        "select rolname::text, rolcreaterole, pg_has_role(oid, 'pg_execute_server_program',"
        " 'member') from pg_roles where rolname = %s or rolname ~ '^(mallory|whimbrel_run)' ",
        owner.user,
    )


@pytest.mark.parametrize("name", VECTORS)
def test_what_a_table_calls_can_do_no_more_than_its_owner(owner, name):
    vector = VECTORS[name]
    with owner.connect() as session:
        session.execute(vector.setup)
    with station(owner) as place:
        place.open(("public", "users"))
        place.migrate(vector.migration)
        owner.run("insert into users (id, n) values (100, 1)")
        owner.run("update users set n = 7 where id = 3")
        place.restore()
        assert owner.run("select id, n from users where id in (3, 100)") == [(3, 7), (100, 1)]
    found = set(admin(owner).run("select what, left(who, 13) from hits"))
    assert found == ({("refused", "whimbrel_run_")} if vector.runs else set())
    assert powers(owner) == [(owner.user, False, False)]


PLANTED = """
create schema trap;
grant usage on schema trap to public;
create function trap.btrim(text, text) returns text language plpgsql as
    $$ begin perform public.climb(); return $1; end $$;
create function trap.json_each(json, out key text, out value json) returns setof record
    language plpgsql as $$ begin perform public.climb(); end $$;
create function trap.max(bigint) returns bigint language plpgsql as
    $$ begin perform public.climb(); return 1; end $$;
create function trap.same(int, int) returns bool language plpgsql as
    $$ begin perform public.climb(); return false; end $$;
create operator trap.= (leftarg = int, rightarg = int, function = trap.same);
"""


def test_nothing_planted_in_a_search_path_runs_in_a_restore(owner):
    with owner.connect() as session:
        session.execute(PLANTED)
    admin(owner).run(f"alter database {owner.dbname} set search_path = trap, pg_catalog, public")
    with station(owner) as place:
        place.open(("public", "users"))
        place.migrate("alter table public.users add column foo text")
        owner.run("update public.users set n = 7 where id operator(pg_catalog.=) 3")
        place.restore()
    assert admin(owner).run("select * from public.hits") == []
    assert powers(owner) == [(owner.user, False, False)]


def test_a_function_that_would_climb_to_a_login_that_makes_no_roles_is_refused(owner):
    """Such a login has no other one for what it calls."""
    owner.run("alter table users add constraint c check (evil(n))")
    with station(owner) as place:
        admin(owner).run(f"alter role {place.deploy.user} nocreaterole")
        admin(owner).run(f"grant pg_read_server_files to {place.deploy.user}")
    with again(place) as place, pytest.raises(RefusedError) as error:
        place.open(("public", "users"))
    assert "calls the function evil(integer)" in error.value.message.replace("public.", "")
    assert f'ALTER ROLE "{place.deploy.user}" CREATEROLE' in error.value.message
    admin(owner).run("alter function evil(int) owner to postgres")
    admin(owner).run(f"alter role {place.deploy.user} createrole")
    with again(place) as place:
        place.open(("public", "users"))
        place.restore()


def test_a_function_that_climbs_later_holds_the_restore(owner):
    with station(owner) as place:
        place.open(("public", "users"))
        admin(owner).run(f"alter role {place.deploy.user} nocreaterole")
        admin(owner).run(f"grant pg_read_server_files to {place.deploy.user}")
        owner.run("alter table users add constraint c check (evil(n))")
        with pytest.raises(HeldError, match="calls the function") as error:
            place.restore()
    assert error.value.reason == "RestoreBlocked"
    assert admin(owner).run("select * from hits") == []


def test_a_login_that_can_do_no_more_than_the_owner_works_as_it_is(owner):
    owner.run("alter table users add constraint c check (evil(n))")
    with station(owner) as place:
        ready = place.open(("public", "users"))
        admin(owner).run(f"alter role {place.deploy.user} nocreaterole")
        admin(owner).run(
            f"revoke {ready.capture_role} from {place.deploy.user}"
            if owner.version >= 16
            else "select 1"
        )
        place.restore()
    assert {what for (what,) in admin(owner).run("select what from hits")} == {"refused"}
    assert powers(owner) == [(owner.user, False, False)]


@pytest.mark.parametrize("by", ["restore", "discard"])
def test_a_login_that_was_left_goes_with_the_next_restore_or_the_checkpoint(owner, by):
    """Whoever loses the database in a restore cannot take it away."""
    with station(owner) as place:
        before = admin(owner).run(TRACES)
        place.open(("public", "users"))

        def lose(session: Session) -> None:
            for each in (place.desk.session, session):
                pid = each.info.backend_pid
                admin(owner).run("select pg_terminate_backend(%s, 5000)", pid)

        with pytest.raises((TransientError, psycopg.OperationalError)):
            place.restore(lose)
    left = "select count(*) from pg_roles where rolname ~ '^whimbrel_run_.*_as_owner$'"
    assert admin(owner).run(left) == [(1,)]
    with again(place) as place:
        if by == "restore":
            place.restore()
            assert admin(owner).run(left) == [(0,)]
        discard(place.now(), place.desk)
    assert admin(owner).run(TRACES) == before


def test_who_is_told_to_stop_hears_of_that_and_not_of_a_statement_that_was_ended(
    owner, monkeypatch: pytest.MonkeyPatch
):
    with station(owner) as place:
        place.open(("public", "users"))

        def looks(_checkpoint: object, desk: Desk, _progress: object) -> None:
            place.desk.stopping.set()
            desk.session.run("select pg_sleep(60)")

        with monkeypatch.context() as patch:
            patch.setattr(swap, "look", looks)
            with pytest.raises(TransientError) as stopped:
                place.restore()
        assert stopped.value.reason == "Stopped"
        with again(place) as later:
            later.restore()
