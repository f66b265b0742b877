"""What rules of covered tables write is covered too, on each PostgreSQL."""

from collections.abc import Callable

from tests.checkpoint_shop import admin
from tests.db.checkpoints import a_desk, a_shop, wanted
from tests.postgres import Postgres, create_database
from whimbrel.runner.checkpoint.closure import find_closure
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.named import known_names
from whimbrel.runner.checkpoint.open import open_checkpoint

RULES = """
create table app.log (id int primary key, n int);
create table app."Odd Log" (id int generated always as identity primary key);
create table app.total (n int primary key);
create table app.read (id int primary key);
create function app.helper() returns int language plpgsql as
    $$ begin insert into app."Odd Log" default values; return 1; end $$;
create rule several as on update to app.users where old.id in (select id from app.read) do also (
    update app.log set n = 0 where id = old.id; select app.helper());
create rule next as on update to app.log do also delete from app.total;
create view app.names as select id from app.read;
create rule never as on insert to app.notes do instead nothing;
"""
COVERED = ["app.Odd Log", "app.log", "app.notes", "app.total", "app.users"]


def test_what_rules_write_is_covered_too(any_database):
    shop = a_shop(any_database)
    shop.owner.run(RULES)
    with a_desk(shop.deploy) as desk:
        named = (("app", "users"), ("app", "notes"))
        closure = find_closure(desk.session, named, "whimbrel")
        assert [str(each) for each in closure.tables] == COVERED
        (note,) = closure.notes
        assert note.startswith("TRUNCATE of a covered table")
        shop.owner.run("drop rule several on app.users; create rule several as on update to"
                       " app.users do also update app.log set n = 0")  # fmt: skip
        ready = open_checkpoint(wanted(shop), desk)
        assert [str(each) for each in ready.tables] == ["app.log", "app.total", "app.users"]
        discard(ready, desk)


WRITERS = """
create function app.fix() returns int language plpgsql as $$ begin return 1; end $$;
create function app.fix(int) returns int language sql begin atomic select 7; end;
create procedure app.mend() language sql as 'select 1';
create function app.seen() returns int stable language sql as 'select 1';
create function app.fast() returns int immutable language sql as 'select 1';
create aggregate app.many(int) (sfunc = int4pl, stype = int);
"""


def test_functions_that_may_write(any_database):
    shop = a_shop(any_database)
    shop.owner.run(WRITERS)
    with a_desk(shop.deploy) as desk:
        found = dict(known_names(desk.session, ()).functions)
    assert {"fix", "mend"} == set(found)
    assert found["mend"] == (("sql", "select 1"),)
    (built_in, atomic) = sorted(found["fix"])
    assert built_in == ("plpgsql", " begin return 1; end ")
    assert "BEGIN ATOMIC\n SELECT 7;\nEND" in atomic[1]


def test_functions_of_extensions_in_c_do_not_write_but_for_those_that_run_statements(
    postgres_server: Callable[[int], Postgres],
):
    """On the PostgreSQL that comes with extensions."""
    database = create_database(postgres_server(15), "extensions")
    shop = a_shop(database)
    for extension in ("uuid-ossp", "pgcrypto", "dblink"):
        admin(database).run(f'create extension "{extension}" schema app')
    with a_desk(shop.deploy) as desk:
        found = known_names(desk.session, ()).functions
    assert found["dblink_exec"][0][0] == "c"
    assert {"uuid_generate_v4", "gen_salt", "gen_random_bytes"}.isdisjoint(found)
