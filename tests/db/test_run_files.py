"""Files, salvage and ledger rows in one transaction, on real servers."""

import threading

import pytest

from tests.db.lossy_wire import lossy_wire
from tests.db.sql_work import open_shop
from whimbrel.model.errors import HeldError, TransientError
from whimbrel.planning.dialects.postgresql_errors import Fate
from whimbrel.runner.step_work import StepFailedError
from whimbrel.runner.transactions import End

USERS = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY, name text);\n"
    "INSERT INTO users VALUES (1, 'Ada');",
    "001_users.down.sql": "DROP TABLE users;",
    "002_mail.up.sql": "ALTER TABLE users ADD COLUMN mail text;",
    "002_mail.down.sql": "ALTER TABLE users DROP COLUMN mail;",
}


@pytest.fixture
def shop(database):
    with open_shop(database) as opened:
        yield opened


def test_up_down_up_on_every_version(any_database):
    with open_shop(any_database) as shop:
        shop.up(USERS)
        assert shop.versions() == ["001", "002"]
        assert shop.run("SELECT id, name, mail FROM users") == [(1, "Ada", None)]
        shop.down(USERS)
        assert shop.versions() == []
        assert shop.run("SELECT to_regclass('users')") == [(None,)]
        shop.up(USERS)
        assert shop.versions() == ["001", "002"]


def test_each_file_knows_what_it_added(shop):
    shop.up(USERS)
    rows = {row.version: row for row in shop.facts().applied}
    assert {str(each) for each in rows["002"].added} == {"column public.users (mail)"}
    assert "table public.users" in {str(each) for each in rows["001"].added}
    assert rows["001"].down == USERS["001_users.down.sql"]


def test_a_rename_adds_nothing(shop):
    shop.up(USERS)
    renamed = USERS | {"003_people.up.sql": "ALTER TABLE users RENAME TO people;"}
    shop.up(renamed)
    assert {
        each for row in shop.facts().applied if row.version == "003" for each in row.added
    } == set()


def test_failure_leaves_nothing_and_is_proven(shop):
    files = USERS | {"003_bad.up.sql": "SELECT 1;\n\n-- why\nSELECT 1,\n  nothing\nFROM users;"}
    with pytest.raises(StepFailedError) as failed:
        shop.up(files)
    failure = failed.value
    assert (failure.file, failure.line) == ("003_bad.up.sql", 5)
    assert failure.sqlstate == "42703"
    assert failure.end is End.ABORTED
    assert failure.xid
    assert failure.sentence() == (
        '003_bad.up.sql, line 5: column "nothing" does not exist (SQLSTATE 42703): '
        "SELECT 1, nothing FROM users"
    )
    assert shop.versions() == []
    assert shop.run("SELECT to_regclass('users')") == [(None,)]


def test_messages_hold_no_values(shop):
    files = USERS | {"003_twice.up.sql": "INSERT INTO users VALUES (1, 'secret')"}
    with pytest.raises(StepFailedError) as failed:
        shop.up(files)
    assert failed.value.sqlstate == "23505"
    assert "(id)=(1)" not in failed.value.server


def test_deferred_constraint_fails_at_commit(shop):
    files = {
        "001_a.up.sql": "CREATE TABLE a (id int PRIMARY KEY);\nCREATE TABLE b (a int REFERENCES a "
        "DEFERRABLE INITIALLY DEFERRED);\nINSERT INTO b VALUES (7);"
    }
    with pytest.raises(StepFailedError, match="the COMMIT") as failed:
        shop.up(files)
    assert failed.value.end is End.ABORTED
    assert shop.versions() == []


def test_settings_of_one_file_do_not_reach_the_next(shop):
    files = {
        "001_s.up.sql": "CREATE SCHEMA other; SET search_path = other; SET lock_timeout = '7s';"
        "CREATE TABLE first (id int)",
        "002_t.up.sql": "CREATE TABLE second (id int)",
    }
    shop.up(files)
    assert shop.run("SELECT to_regclass('other.first') IS NOT NULL") == [(True,)]
    assert shop.run("SELECT to_regclass('public.second') IS NOT NULL") == [(True,)]
    assert shop.session.execute("SHOW lock_timeout").fetchone() == ("1s",)
    assert shop.versions() == ["001", "002"]


def test_set_role_does_not_reach_the_ledger(postgres_server, shop):
    name = f"{shop.database.dbname}_reader"
    with postgres_server(16).connect() as admin:
        admin.execute(f"CREATE ROLE {name}")
        admin.execute(f"GRANT {name} TO {shop.database.user}")
    shop.up({"001_r.up.sql": f"SET ROLE {name}; SELECT 1"})
    assert shop.versions() == ["001"]
    assert shop.session.execute("SELECT current_user").fetchone() == (shop.database.user,)


def test_percent_signs_and_dollars_are_plain_text(shop):
    shop.up({"001_p.up.sql": "CREATE TABLE p AS SELECT '100%'::text AS a, '%s $1'::text AS b;"})
    assert shop.run("SELECT a, b FROM p") == [("100%", "%s $1")]


def test_guard_is_the_first_thing_in_the_transaction(database):
    def superseded(_session):
        raise TransientError("Superseded", "another attempt is at it")

    with open_shop(database, guard=superseded) as shop:
        with pytest.raises(TransientError):
            shop.up(USERS)
        assert shop.run("SELECT to_regclass('users')") == [(None,)]


def test_lost_answer_to_commit_is_decided_by_the_server(database):
    with lossy_wire(database) as (through, wire), open_shop(through) as shop:
        plan = shop.plan_up(USERS)
        wire.cut_after_commit = True
        (end,) = shop.carry_out(plan)
        assert wire.was_cut.is_set()
        assert end.xid
        assert database.run("SELECT count(*) FROM whimbrel.applied") == [(2,)]


def test_commit_that_never_arrived_is_no_success(database):
    with lossy_wire(database) as (through, wire), open_shop(through) as shop:
        plan = shop.plan_up(USERS)
        wire.cut_before_commit = True
        with pytest.raises(StepFailedError, match="the COMMIT") as failed:
            shop.carry_out(plan)
        assert failed.value.end is End.ABORTED
        assert failed.value.fate is Fate.UNKNOWN
        assert database.run("SELECT count(*) FROM whimbrel.applied") == [(0,)]


def test_killed_session_leaves_nothing(shop):
    files = {"001_slow.up.sql": "CREATE TABLE slow (id int); SELECT pg_sleep(60);"}
    pid = shop.session.info.backend_pid
    killer = threading.Thread(target=_terminate_when_asleep, args=(shop.database, pid))
    killer.start()
    with pytest.raises(StepFailedError) as failed:
        shop.up(files)
    killer.join()
    assert failed.value.end is End.ABORTED
    assert shop.run("SELECT to_regclass('slow')") == [(None,)]


def _terminate_when_asleep(database, pid):
    query = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
    while database.run(query, pid) != [("PgSleep",)]:
        pass
    database.run("SELECT pg_terminate_backend(%s)", pid)


def test_cancel_rolls_back_at_once(shop):
    files = {"001_slow.up.sql": "CREATE TABLE slow (id int);\nSELECT pg_sleep(60);"}
    pid = shop.session.info.backend_pid
    query = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"

    def cancel():
        while shop.database.run(query, pid) != [("PgSleep",)]:
            pass
        shop.session.cancel_safe()

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(StepFailedError) as failed:
        shop.up(files)
    thread.join()
    assert (failed.value.sqlstate, failed.value.line) == ("57014", 2)
    assert failed.value.end is End.ABORTED


def test_files_one_by_one_keep_what_came_before(shop):
    files = USERS | {"003_bad.up.sql": "SELECT 1/0"}
    with pytest.raises(StepFailedError):
        shop.up(files, atomicity="File")
    assert shop.versions() == ["001", "002"]


def test_way_back_that_destroys_older_rows_is_held(shop):
    shop.run("CREATE TABLE old (id int)", "INSERT INTO old VALUES (1)")
    files = {"001_x.up.sql": "SELECT 1", "001_x.down.sql": "DELETE FROM old"}
    shop.up(files)
    with pytest.raises(HeldError) as held:
        shop.down(files)
    assert held.value.reason == "WouldLoseData"
    assert shop.versions() == ["001"]
    shop.down(files, rollback={"allowDataLoss": {"by": "ann", "reason": "test"}})
    assert shop.versions() == []
    assert shop.run("SELECT count(*) FROM old") == [(0,)]


ORDERS = "CREATE TABLE orders (id int PRIMARY KEY); INSERT INTO orders VALUES (1);"
REFERS = "ALTER TABLE users ADD order_id int DEFAULT 1 REFERENCES orders"


@pytest.mark.parametrize(
    ("key", "down"),
    [
        pytest.param("", "TRUNCATE orders CASCADE", id="all that refers is emptied"),
        pytest.param(" ON DELETE CASCADE", "DELETE FROM orders", id="what refers is deleted"),
    ],
)
def test_way_back_that_takes_older_rows_along_is_held(any_database, key, down):
    files = {
        "001_orders.up.sql": f"{ORDERS}{REFERS}{key}",
        "001_orders.down.sql": f"{down}; ALTER TABLE users DROP order_id; DROP TABLE orders",
    }
    with open_shop(any_database) as shop:
        shop.run("CREATE TABLE users (id int)", "INSERT INTO users VALUES (1)")
        shop.up(files)
        with pytest.raises(HeldError) as held:
            shop.down(files)
        assert (held.value.reason, shop.versions()) == ("WouldLoseData", ["001"])
        assert "001_orders.down.sql, line 1" in str(held.value)
        shop.down(files, rollback={"allowDataLoss": {"by": "ann", "reason": "test"}})
        assert shop.run("SELECT count(*) FROM users") == [(0,)]


def test_way_back_through_a_foreign_key_to_a_partition_is_held(shop):
    shop.run("CREATE TABLE users (id int, place int)", "INSERT INTO users VALUES (1, 1)")
    files = {
        "001_p.up.sql": "CREATE TABLE places (id int) PARTITION BY RANGE (id);\n"
        "CREATE TABLE near PARTITION OF places FOR VALUES FROM (0) TO (9);\n"
        "ALTER TABLE near ADD PRIMARY KEY (id); INSERT INTO places VALUES (1);\n"
        "ALTER TABLE users ADD FOREIGN KEY (place) REFERENCES near ON DELETE SET NULL;",
        "001_p.down.sql": "DELETE FROM places; ALTER TABLE users DROP CONSTRAINT users_place_fkey; "
        "DROP TABLE places",
    }
    shop.up(files)
    with pytest.raises(HeldError, match="overwrites place of table"):
        shop.down(files)
    delete, drop, last = files["001_p.down.sql"].split("; ")
    shop.down(files | {"001_p.down.sql": f"{drop}; {delete}; {last}"})
    assert shop.run("SELECT place FROM users") == [(1,)]


def test_what_a_file_added_is_known_across_subtransactions_and_renames(shop):
    shop.run("CREATE TABLE old (id int)")
    files = {
        "001_a.up.sql": "CREATE TABLE first (id int);\n"
        "DO $$ BEGIN CREATE TABLE inner_t (x int); EXCEPTION WHEN OTHERS THEN NULL; END $$;",
        "002_b.up.sql": "ALTER TABLE old RENAME TO renamed; ALTER TABLE first ADD COLUMN more int;",
        "003_c.up.sql": "DROP TABLE first; CREATE TABLE first (id int);",
        "004_d.up.sql": "SELECT 1;",
    }
    shop.up(files)
    added = {row.version: {str(each) for each in row.added} for row in shop.facts().applied}
    assert added == {
        "001": {
            "table public.first",
            "column public.first (id)",
            "table public.inner_t",
            "column public.inner_t (x)",
        },
        "002": {"column public.first (more)"},
        "003": {"table public.first", "column public.first (id)"},
        "004": set(),
    }
