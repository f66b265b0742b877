"""Opening and discarding a checkpoint, on each PostgreSQL: captured, copied, and nothing left."""

import json
import random
import threading
from dataclasses import replace

import psycopg
import pytest

from tests.db.checkpoints import Shop, Talk, a_desk, a_shop, journal, wanted
from tests.db.orders import a_session, until
from whimbrel.model.errors import FailedError, HeldError, RefusedError, TransientError
from whimbrel.planning.dialects.postgresql_capture import in_true_order
from whimbrel.runner.checkpoint import retrying
from whimbrel.runner.checkpoint.copy import expect_clones
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.manifest import State, read_checkpoint, read_checkpoints, set_state
from whimbrel.runner.checkpoint.open import open_checkpoint


@pytest.fixture
def shop(any_database) -> Shop:
    return a_shop(any_database)


@pytest.fixture
def one_shop(database) -> Shop:
    return a_shop(database)


def replayed(shop: Shop, ready, number: int) -> dict[tuple, dict]:
    """Return what a clone and the journal since its snapshot make together, by key."""
    covered = ready.tables[number - 1]
    rows = shop.admin().run(f"select row_to_json(c)::text from whimbrel.{covered.clone} c")
    state = {tuple(row[k] for k in covered.key): row for row in (json.loads(r) for (r,) in rows)}
    ordered = in_true_order(f"whimbrel.{ready.journal}")
    changes = shop.admin().run(
        f"select op::text, row_to_json(old::{covered})::text, image::text from ({ordered}) o"
        " where number = %s and not pg_visible_in_snapshot(xid, %s::pg_snapshot) order by place",
        number, ready.snapshot,
    )  # fmt: skip
    for op, before, image in changes:
        row = json.loads(image)
        old = json.loads(before) if op == "U" else row if op == "D" else None
        found = state.pop(tuple(old[k] for k in covered.key), None) if old else None
        if op != "D":
            changed = {k: v for k, v in row.items() if not old or old[k] != v}
            state[tuple(row[k] for k in covered.key)] = {**(found or {}), **changed}
    return state


def now(shop: Shop, ready, number: int) -> dict[tuple, dict]:
    covered = ready.tables[number - 1]
    rows = shop.admin().run(f"select row_to_json(t)::text from {covered} t")
    return {tuple(row[k] for k in covered.key): row for row in (json.loads(r) for (r,) in rows)}


def test_a_checkpoint_is_ready_with_equal_copies_and_a_journal_and_leaves_nothing(shop):
    before = shop.traces()
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "users", "notes"), desk)
        assert (ready.state, [str(each) for each in ready.tables]) == (
            State.READY,
            ["app.notes", "app.users"],
        )
        assert [(each.rows, each.key) for each in ready.tables] == [
            (0, ("org", "line")),
            (500, ("id",)),
        ]
        clone = shop.owner.run(f"table whimbrel.{ready.tables[1].clone}")
        assert sorted(clone, key=str) == sorted(shop.owner.run("table app.users"), key=str)
        shop.app.run("update app.users set balance = 7.10, facts = '{\"x\":  1}' where id = 3")
        shop.app.run("insert into app.notes values (1, 2, null)")
        shop.app.run("delete from app.users where id = 4")
        shop.deploy.run("update app.users set name = 'migrated'")
        changes = [(number, op) for number, op, *_ in journal(shop, ready)]
        assert changes == [(2, "U"), (1, "I"), (2, "D")]
        new = journal(shop, ready)[0][3]
        assert '"balance":7.10,"facts":{"x":  1}' in new  # byte for byte
        assert open_checkpoint(wanted(shop, "users", "notes"), desk) == ready
        discard(ready, desk)
        discard(read_checkpoint(desk.ledger, "run-1"), desk)
        assert [each.state for each in read_checkpoints(desk.ledger)] == [State.CLOSED]
        with pytest.raises(HeldError, match="a run has one only"):
            open_checkpoint(wanted(shop), desk)
        assert open_checkpoint(wanted(shop, id="run-2"), desk).state is State.READY
        discard(read_checkpoint(desk.ledger, "run-2"), desk)
    assert shop.traces() == before


class Writer(threading.Thread):
    """An application that writes until it is told to stop, each with keys of its own."""

    def __init__(self, shop: Shop, number: int) -> None:
        super().__init__()
        self.shop, self.number = shop, number
        self.stopping, self.written, self.failures = threading.Event(), 0, []

    def run(self) -> None:
        chosen = random.Random(self.number)
        with self.shop.app.connect() as session:
            while not self.stopping.is_set():
                try:
                    self._write(session, chosen)
                    self.written += 1
                except psycopg.Error as error:
                    self.failures.append(error)
                    return

    def _write(self, session: psycopg.Connection, chosen: random.Random) -> None:
        key = chosen.randrange(125) * 4 + self.number + 1
        token = f"{self.number}-{self.written}"
        match chosen.randrange(5):
            case 0:
                session.execute("delete from app.users where id = %s", [key])
            case 1:
                session.execute(
                    "insert into app.users (id, org, name) values (%s, 1, %s) on conflict (id)"
                    " do update set name = excluded.name, balance = 0",
                    [key, token],
                )
            case 2:
                session.execute(
                    "update app.users set id = -id where id = %s and not exists"
                    " (select from app.users o where o.id = -app.users.id)",
                    [chosen.choice((key, -key))],
                )
            case 3:
                session.execute("update app.users set balance = %s where id = %s", [1.5, key])
            case _:
                with session.transaction():
                    session.execute("update app.users set name = %s where id = %s", [token, key])
                    session.execute(
                        "insert into app.notes values (%s, %s, %s) on conflict do nothing",
                        [self.number, self.written, token],
                    )


def test_four_writers_lose_nothing_and_get_no_error(shop):
    writers = [Writer(shop, number) for number in range(4)]
    for writer in writers:
        writer.start()
    until(lambda: all(writer.written > 20 for writer in writers))
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "users", "notes"), desk)
        written = [writer.written for writer in writers]
        until(lambda: all(w.written > n + 20 for w, n in zip(writers, written, strict=True)))
        for writer in writers:
            writer.stopping.set()
            writer.join()
        assert [writer.failures for writer in writers] == [[]] * 4
        for number in (1, 2):
            assert replayed(shop, ready, number) == now(shop, ready, number)
        assert len(journal(shop, ready)) > 80
        discard(ready, desk)


REWRITES = """
create table app.list (id int primary key, place int, seen int default 0, word text);
insert into app.list select i, i, 0, '' from generate_series(1, 5) i;
create function app.again() returns trigger language plpgsql as $$ begin
    if pg_trigger_depth() < 3 then
        update app.list set word = tg_op || old.id || coalesce(word, ''), seen = seen + 1
            where id in (6 - new.id, new.id, 3);
    end if;
    return null;
end $$;
create trigger again after update on app.list for each row execute function app.again();
"""


def test_rows_that_triggers_write_again_are_told_in_their_true_order(shop):
    shop.owner.run(REWRITES)
    shop.owner.run(f"grant all on app.list to {shop.app.user}")
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "list"), desk)
        shop.app.run("update app.list set place = place + 10, word = 'first'")
        with shop.app.connect() as app, app.transaction():
            app.execute("update app.list set word = 'second' where id < 4")
            app.execute("insert into app.list values (9, 9)")
            app.execute("update app.list set word = 'third', place = 0")
        late = shop.admin().run(f"select count(*) from whimbrel.{ready.journal} where late")
        assert late[0][0] > 3
        assert replayed(shop, ready, 1) == now(shop, ready, 1)
        discard(ready, desk)


REFUSALS = {
    "a view": ("create view app.t as select 1 as id", "it is a view"),
    "partitioned": (
        "create table app.t (id int primary key) partition by range (id)",
        "a partitioned table",
    ),
    "a partition": (
        "create table app.p (id int primary key) partition by range (id); create table app.t"
        " partition of app.p for values from (1) to (9)",
        "it is a partition",
    ),
    "inherits": (
        "create table app.p (id int); create table app.t (primary key (id)) inherits (app.p)",
        "inherits",
    ),
    "unlogged": ("create unlogged table app.t (id int primary key)", "it is unlogged"),
    "no key": ("create table app.t (id int unique, n int)", "no primary key"),
    "a key that may be late": (
        "create table app.t (id int primary key deferrable initially deferred)",
        "no primary key",
    ),
    "forced policies": (
        "create table app.t (id int primary key); alter table app.t enable row level security,"
        " force row level security",
        "row security is FORCED",
    ),
    "another owner": (
        "create table app.t (id int primary key); alter table app.t owner to postgres",
        "it belongs to postgres",
    ),
    "missing": ("select 1", "there is no table app.t"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_covered_is_refused_and_nothing_is_left(one_shop, case):
    statement, why = REFUSALS[case]
    with one_shop.admin().connect() as admin:
        if case != "another owner":
            admin.execute(f"set role {one_shop.owner.user}")
        admin.execute(statement)
    before = one_shop.traces()
    with a_desk(one_shop.deploy) as desk:
        with pytest.raises(RefusedError, match=why):
            open_checkpoint(wanted(one_shop, "t"), desk)
        assert read_checkpoints(desk.ledger) == ()
    assert one_shop.traces() == before


def test_a_login_that_others_use_is_refused_and_our_own_sessions_are_not(one_shop):
    before = one_shop.traces()
    with (
        a_desk(one_shop.deploy) as desk,
        a_session(one_shop.deploy, "run-9"),  # another runner waits for its turn
        one_shop.deploy.connect() as mine,
    ):
        pids = (mine.info.backend_pid,)
        with pytest.raises(RefusedError, match="a login of its own") as shared:
            open_checkpoint(wanted(one_shop), desk)
        assert shared.value.reason == "LoginShared"
        assert one_shop.traces() == before
        discard(open_checkpoint(wanted(one_shop, our_pids=pids), desk), desk)
        own_login = wanted(one_shop, id="run-2", own_login=True, login="whimbrel_run_run-2_")
        ready = open_checkpoint(own_login, desk)
        one_shop.admin().run(
            "create role \"whimbrel_run_run-2_7\" login password 'x' in role " + one_shop.owner.user
        )
        migration = replace(one_shop.owner, user="whimbrel_run_run-2_7", password="x")
        migration.run("update app.users set name = 'migrated' where id = 1")
        one_shop.deploy.run("update app.users set name = 'by hand' where id = 2")
        assert [json.loads(new)["id"] for *_, new in journal(one_shop, ready)] == [2]
        discard(ready, desk)
        one_shop.admin().run('drop role "whimbrel_run_run-2_7"')


CLOSURE = """
create table app.far (id int primary key, "User" bigint references app.users on delete set null);
create table app.not_far (id int primary key, usr bigint references app.users);
create table app.audit (id int generated always as identity primary key, what text);
create table app."Odd Log" (id int generated always as identity primary key);
create table app.total (n int primary key);
create function app.helper() returns void language plpgsql as
    $$ begin insert into app."Odd Log" default values; end $$;
create function app.log() returns trigger language plpgsql as $$
begin
    -- delete from app.not_far
    insert into audit (what) values ('update app.not_far');
    perform app.helper();
    for i in 1..2 loop perform 1 from app.not_far for update of not_far; end loop;
    if tg_op = 'INSERT' then UPDATE only "app"."total" SET n = n + 1; end if;
    return null;
end $$;
create trigger log after insert on app.users for each row execute function app.log();
create function app.dynamic() returns trigger language plpgsql as
    $$ begin execute 'select 1'; return null; end $$;
create trigger dynamic after insert on app.audit for each row execute function app.dynamic();
"""


def test_what_foreign_keys_and_triggers_change_is_covered_too(one_shop):
    one_shop.owner.run(CLOSURE)
    talk = Talk()
    with a_desk(one_shop.deploy, talk) as desk:
        ready = open_checkpoint(wanted(one_shop, "orgs"), desk)
        assert [str(each) for each in ready.tables] == [
            "app.Odd Log", "app.audit", "app.far", "app.orgs", "app.total", "app.users",
        ]  # fmt: skip
        (note,) = [line for line in talk.lines if "cannot be told" in line]
        assert "app.dynamic" in note
        one_shop.app.run("delete from app.orgs where id = 2")
        assert {number for number, *_ in journal(one_shop, ready)} == {4, 6}
        discard(ready, desk)


def test_truncate_is_refused_to_applications_until_the_expiry(one_shop):
    with a_desk(one_shop.deploy) as desk:
        ready = open_checkpoint(wanted(one_shop, "notes", keep_for=3), desk)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="use DELETE"):
            one_shop.app.run("truncate app.notes")
        over = "select now() > %s"
        until(lambda: one_shop.admin().run(over, ready.kept_until) == [(True,)])
        one_shop.app.run("insert into app.notes values (1, 1)")
        one_shop.app.run("truncate app.notes")
        assert journal(one_shop, ready) == []
        assert read_checkpoint(desk.ledger, "run-1").is_expired
        discard(ready, desk)


def test_a_table_that_stays_locked_is_given_up_and_the_next_attempt_is_ready(one_shop, monkeypatch):
    monkeypatch.setattr(retrying, "_PATIENCE", 0.5)
    before = one_shop.traces()
    with a_desk(one_shop.deploy) as desk:
        with one_shop.app.connect() as app, app.transaction():
            app.execute("update app.users set name = 'slow' where id = 1")
            with pytest.raises(TransientError, match=r"the checkpoint of app\.users") as busy:
                open_checkpoint(wanted(one_shop), desk)
            assert busy.value.reason == "Busy"
            (left,) = read_checkpoints(desk.ledger)
            assert left.state is State.CAPTURING
        ready = open_checkpoint(wanted(one_shop), desk)
        assert ready.state is State.READY
        discard(ready, desk)
    assert one_shop.traces() == before


def test_another_checkpoint_is_kept_but_what_an_earlier_run_left_half_is_not(one_shop):
    with a_desk(one_shop.deploy) as desk:
        first = open_checkpoint(wanted(one_shop), desk)
        with pytest.raises(RefusedError) as occupied:
            open_checkpoint(wanted(one_shop, id="run-2"), desk)
        assert occupied.value.reason == "CheckpointOpen"
        set_state(desk.ledger, "run-1", State.CLOSING)
        second = open_checkpoint(wanted(one_shop, "notes", id="run-2"), desk)
        states = {each.id: each.state for each in read_checkpoints(desk.ledger)}
        assert states == {"run-1": State.CLOSED, "run-2": State.READY}
        set_state(desk.ledger, "run-2", State.RESTORING)
        with pytest.raises(HeldError) as used:
            open_checkpoint(wanted(one_shop, id="run-2"), desk)
        assert used.value.reason == "CheckpointUsed"
        with pytest.raises(HeldError, match="cannot become Closed"):
            set_state(desk.ledger, "run-2", State.CLOSED)
        discard(second, desk)
        assert first.state is State.READY


def test_a_copy_that_somebody_changed_is_noticed(one_shop):
    with a_desk(one_shop.deploy) as desk:
        ready = open_checkpoint(wanted(one_shop), desk)
        expect_clones(ready, desk.session)
        one_shop.owner.run(
            f'update whimbrel.{ready.tables[0].clone} set facts = \'{{"b": 1, "a": [2]}}\''
            " where id = 7"
        )
        with pytest.raises(HeldError, match=ready.tables[0].clone) as damaged:
            expect_clones(ready, desk.session)
        assert damaged.value.reason == "CheckpointDamaged"
        discard(ready, desk)


def test_a_table_that_changes_while_it_is_described_is_taken_again(one_shop):
    def change(_session, number: int) -> None:
        if number == 2:
            one_shop.owner.run("alter table app.users add extra int")

    before = one_shop.traces()
    with a_desk(one_shop.deploy, Talk(fault=change)) as desk:
        with pytest.raises(TransientError) as changed:
            open_checkpoint(wanted(one_shop), desk)
        assert changed.value.reason == "TableChanged"
        ready = open_checkpoint(wanted(one_shop), desk)
        assert ready.tables[0].manifest["columns"][-1]["name"] == "extra"
        discard(ready, desk)
    assert one_shop.traces() == before


def test_a_copy_that_the_server_refuses_leaves_nothing(one_shop):
    def spoil(_session, number: int) -> None:
        if number == 2:
            one_shop.admin().run(f"create table whimbrel.{clone_of_run_1()} (somebody_elses int)")

    before = one_shop.traces()
    with a_desk(one_shop.deploy, Talk(fault=spoil)) as desk, pytest.raises(FailedError):
        open_checkpoint(wanted(one_shop), desk)
    one_shop.admin().run(f"drop table if exists whimbrel.{clone_of_run_1()}")
    assert one_shop.traces() == before


def clone_of_run_1() -> str:
    return "clone_4e65d3fbe8ad_1"
