"""What a way back takes away is kept, to the last value, on real servers."""

import threading

import psycopg
import pytest

from tests.db.sql_work import open_shop
from whimbrel.model.steps import CatalogObject, SalvageObjects, StepId
from whimbrel.runner.records import read_salvage
from whimbrel.runner.salvage import drop_expired, run_salvage, salvage_name
from whimbrel.runner.step_work import StepFailedError

FILES = {
    "001_users.up.sql": "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "001_users.down.sql": "DROP TABLE users",
    "002_mail.up.sql": 'ALTER TABLE users ADD COLUMN "e ""Mail" text, ADD COLUMN note text',
    "002_mail.down.sql": 'ALTER TABLE users DROP COLUMN "e ""Mail", DROP COLUMN note',
    "003_orders.up.sql": "CREATE TABLE orders (id int, total int)",
    "003_orders.down.sql": "DROP TABLE orders",
}


@pytest.fixture
def shop(any_database):
    with open_shop(any_database) as opened:
        yield opened


def kept(shop) -> list:
    return [(each.source, each.rows) for each in read_salvage(shop.work.ledger)]


def test_columns_are_kept_with_their_key_and_tables_whole(shop):
    shop.up(FILES)
    shop.run(
        """INSERT INTO users VALUES (1, 'Ada', 'ada@x', NULL), (2, 'Bob', NULL, NULL)""",
        "INSERT INTO orders VALUES (7, 70)",
    )
    shop.down(FILES, to="001")
    assert shop.salvage_tables() == ["salvage_run1_1", "salvage_run1_2"]
    assert shop.run("SELECT * FROM whimbrel.salvage_run1_1") == [(7, 70)]
    assert shop.run('SELECT id, "e ""Mail", note FROM whimbrel.salvage_run1_2') == [
        (1, "ada@x", None)
    ]
    assert shop.run("SELECT id, name FROM users ORDER BY id") == [(1, "Ada"), (2, "Bob")]
    assert kept(shop) == [
        ("public.orders", 1),
        ('public.users (e "Mail, note)', 1),
    ]


def test_nothing_is_copied_where_nothing_is(shop):
    shop.up(FILES)
    shop.run("INSERT INTO users VALUES (1, 'Ada')")
    shop.down(FILES, to="001")
    assert shop.salvage_tables() == []


def test_table_without_key_keeps_whole_rows(shop):
    shop.run("CREATE TABLE log (at int, line text)")
    files = {
        "001_l.up.sql": "ALTER TABLE log ADD x int",
        "001_l.down.sql": "ALTER TABLE log DROP x",
    }
    shop.up(files)
    shop.run("INSERT INTO log VALUES (1, 'a', 5), (2, 'b', NULL)")
    shop.down(files)
    assert shop.run("SELECT at, line, x FROM whimbrel.salvage_run1_1") == [(1, "a", 5)]


def test_rows_of_a_partitioned_table_are_kept_once(shop):
    parts = [
        "CREATE TABLE days (id int, day int) PARTITION BY RANGE (day)",
        "CREATE TABLE early PARTITION OF days FOR VALUES FROM (0) TO (9) PARTITION BY LIST (day)",
        "CREATE TABLE first PARTITION OF early FOR VALUES IN (1)",
        "CREATE TABLE late PARTITION OF days FOR VALUES FROM (9) TO (99)",
        "CREATE TABLE alone (id int, day int)",
    ]
    files = {
        "001_d.up.sql": ";\n".join(parts),
        "001_d.down.sql": "DROP TABLE days; DROP TABLE alone",
    }
    shop.up(files)
    shop.run("INSERT INTO days VALUES (1, 1), (2, 50)", "INSERT INTO alone VALUES (3, 3)")
    shop.down(files)
    assert kept(shop) == [("public.alone", 1), ("public.days", 2)]


def test_a_new_partition_of_an_older_table_is_kept(shop):
    shop.run("CREATE TABLE days (id int, day int) PARTITION BY RANGE (day)")
    part = "CREATE TABLE early PARTITION OF days FOR VALUES FROM (0) TO (9)"
    files = {"001_d.up.sql": part, "001_d.down.sql": "DROP TABLE early"}
    shop.up(files)
    shop.run("INSERT INTO days VALUES (1, 1)")
    shop.down(files)
    assert kept(shop) == [("public.early", 1)]


def test_a_new_column_of_a_partitioned_table_is_kept_once(shop):
    shop.run("CREATE TABLE days (id int, day int) PARTITION BY RANGE (day)")
    shop.run("CREATE TABLE early PARTITION OF days FOR VALUES FROM (0) TO (9)")
    files = {
        "001_d.up.sql": "ALTER TABLE days ADD COLUMN note text",
        "001_d.down.sql": "ALTER TABLE days DROP COLUMN note",
    }
    shop.up(files)
    shop.run("INSERT INTO days VALUES (1, 1, 'x')")
    shop.down(files)
    assert kept(shop) == [("public.days (note)", 1)]


def test_column_that_was_renamed_later_is_kept(shop):
    shop.run("CREATE TABLE users (id int PRIMARY KEY)")
    files = {
        "001_a.up.sql": "ALTER TABLE users ADD COLUMN name text",
        "001_a.down.sql": "ALTER TABLE users DROP COLUMN name",
        "002_b.up.sql": "ALTER TABLE users RENAME COLUMN name TO full_name",
        "002_b.down.sql": "ALTER TABLE users RENAME COLUMN full_name TO name",
    }
    shop.up(files)
    shop.run("INSERT INTO users VALUES (1, 'Ada')")
    shop.down(files)
    assert shop.run("SELECT id, full_name FROM whimbrel.salvage_run1_1") == [(1, "Ada")]


def test_failed_way_back_keeps_no_salvage_and_all_data(shop):
    shop.up(FILES)
    shop.run("INSERT INTO orders VALUES (7, 70)")
    broken = FILES | {"003_orders.down.sql": "DROP TABLE orders; SELECT 1/0"}
    with pytest.raises(StepFailedError):
        shop.down(broken, to="002")
    assert shop.salvage_tables() == []
    assert shop.run("SELECT * FROM orders") == [(7, 70)]
    assert shop.versions() == ["001", "002", "003"]


def test_second_way_back_of_a_run_gives_new_names(shop):
    for number in (1, 2):
        shop.up(FILES)
        shop.run(f"INSERT INTO orders VALUES ({number}, 0)")
        shop.down(FILES, to="002")
    assert shop.salvage_tables() == ["salvage_run1_1", "salvage_run1_2"]


def test_salvage_waits_for_a_lock_no_longer_than_allowed(any_database):
    with open_shop(any_database, lock_timeout=0.2) as shop:
        shop.up(FILES)
        with any_database.connect() as reader, reader.transaction():
            reader.execute("SELECT * FROM orders")
            with pytest.raises(StepFailedError, match="salvage") as failed:
                shop.down(FILES, to="002")
        assert failed.value.sqlstate == "55P03"
        assert shop.versions() == ["001", "002", "003"]


def test_no_write_falls_between_copy_and_way_back(shop):
    shop.up(FILES)
    stop = threading.Event()
    written = []

    def write():
        with shop.database.connect() as session:
            number = 0
            while not stop.is_set():
                number += 1
                try:
                    session.execute("INSERT INTO orders VALUES (%s, 0)", [number])
                except psycopg.errors.UndefinedTable:
                    return
                written.append(number)

    thread = threading.Thread(target=write)
    thread.start()
    while len(written) < 50:
        pass
    shop.down(FILES, to="002")
    stop.set()
    thread.join()
    copied = shop.run("SELECT id FROM whimbrel.salvage_run1_1 ORDER BY id")
    assert [number for (number,) in copied] == written


def test_policies_hide_nothing_from_the_copy(shop):
    shop.up(FILES)
    shop.run("INSERT INTO orders VALUES (7, 70)")
    shop.run("ALTER TABLE orders ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")
    with pytest.raises(StepFailedError, match="row-level security"):
        shop.down(FILES, to="002")
    assert shop.versions() == ["001", "002", "003"]


def test_objects_of_a_tool_are_kept_in_a_transaction_of_their_own(shop):
    shop.run("CREATE TABLE orders (id int)", "INSERT INTO orders VALUES (1)")
    wanted = (CatalogObject("table", "public", "orders"), CatalogObject("table", "public", "gone"))
    assert run_salvage(SalvageObjects(StepId("s"), wanted), shop.work) == ("salvage_run1_1",)
    assert shop.salvage_tables() == ["salvage_run1_1"]


def test_expired_salvage_goes(shop):
    shop.up(FILES)
    shop.run("INSERT INTO orders VALUES (7, 70)")
    shop.down(FILES, to="002")
    assert drop_expired(shop.work.ledger) == ()
    shop.run("UPDATE whimbrel.salvage SET kept_until = now() - interval '1s'")
    assert drop_expired(shop.work.ledger) == ("salvage_run1_1",)
    assert shop.run("SELECT to_regclass('whimbrel.salvage_run1_1')") == [(None,)]
    assert shop.salvage_tables() == []


def test_names_always_fit():
    assert salvage_name("a1", 3) == "salvage_a1_3"
    assert len(salvage_name("x" * 200, 9999).encode()) <= 63
