"""What rules of covered tables write is covered too, on each PostgreSQL."""

from tests.db.checkpoints import a_desk, a_shop, wanted
from whimbrel.runner.checkpoint.closure import find_closure
from whimbrel.runner.checkpoint.discard import discard
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
        assert ([str(each) for each in closure.tables], closure.notes) == (COVERED, ())
        shop.owner.run("drop rule several on app.users; create rule several as on update to"
                       " app.users do also update app.log set n = 0")  # fmt: skip
        ready = open_checkpoint(wanted(shop), desk)
        assert [str(each) for each in ready.tables] == ["app.log", "app.total", "app.users"]
        discard(ready, desk)
