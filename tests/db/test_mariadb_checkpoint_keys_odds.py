"""Odd surroundings of keys and exchanges on MariaDB: each test was a fault that a review found."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.db.mariadb_checkpoint_desk import Station, again, station
from tests.db.orders import until
from tests.mariadb import MariaDB
from whimbrel.model.errors import HeldError, RefusedError, TransientError
from whimbrel.runner.checkpoint.manifest import State
from whimbrel.runner.checkpoint.mariadb import exchange, hand, restore

pytestmark = pytest.mark.sampled("what is rare with keys on MariaDB")

SHOP = (
    "CREATE TABLE shops (id int PRIMARY KEY)",
    "INSERT INTO shops VALUES (1), (2)",
    "CREATE TABLE orders (id int PRIMARY KEY, shop int, note varchar(9), total int DEFAULT 0,"
    " CONSTRAINT of_shop FOREIGN KEY (shop) REFERENCES shops (id))",
    "INSERT INTO orders (id, shop, note) VALUES (1, 1, 'a'), (2, 2, 'b')",
    "CREATE TABLE items (id int PRIMARY KEY, o int,"
    " CONSTRAINT of_order FOREIGN KEY (o) REFERENCES orders (id))",
    "INSERT INTO items VALUES (1, 1)",
)
TABLES = ("shops", "orders", "items")


class CutOffError(Exception):
    """What a test throws where a runner would be killed."""


@contextmanager
def shop(mariadb: MariaDB, *more: str) -> Iterator[Station]:
    for each in (*SHOP, *more):
        mariadb.run(each)
    with station(mariadb) as place:
        yield place


def cut_off(place: Station, name: str, patch: pytest.MonkeyPatch, *, is_behind: bool) -> None:
    """Restore as a runner that is killed at a step."""
    plain: Callable = getattr(restore, name)

    def struck(*given: object) -> None:
        if is_behind:
            plain(*given)
        raise CutOffError

    with patch.context() as here:
        here.setattr(restore, name, struck)
        here.setattr(restore, "_undo", lambda _, taken: taken.cancel())
        with pytest.raises(CutOffError):
            place.restore()
    assert place.now().state is State.RESTORING


@contextmanager
def reading_items(place: Station) -> Iterator:
    """Read a table that is not covered, in a transaction that stays open."""
    with place.app.connect() as session, session.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM items")
        yield cursor


def is_awaited(place: Station, statement: str) -> bool:
    """Tell whether a statement waits for a table."""
    waiting = (
        "SELECT INFO FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table%'"
    )
    return any(info.startswith(statement) for (info,) in place.deploy.admin().run(waiting) if info)


@pytest.mark.parametrize(("step", "is_behind"), [("link_children", True), ("free_kept", False)])
def test_a_discard_of_a_restore_that_was_cut_off_leaves_no_key_to_what_it_drops(
    mariadb: MariaDB, step: str, is_behind: bool, monkeypatch: pytest.MonkeyPatch
):
    """Such a key refuses each row of a table that was not even covered, for ever."""
    with shop(mariadb) as place:
        before = {each: place.definition(each) for each in TABLES}
        place.open("orders")
        place.migrate("UPDATE orders SET note = 'wrong'")
        cut_off(place, step, monkeypatch, is_behind=is_behind)
        with again(place) as later:
            later.discard()
        assert place.left() == []
        assert {each: place.definition(each) for each in TABLES} == before
        place.app.run("INSERT INTO items VALUES (2, 2)")
        with pytest.raises(Exception, match="foreign key constraint fails"):
            place.app.run("DELETE FROM orders WHERE id = 2")


def test_a_discard_behind_the_exchange_leaves_no_row_that_refers_to_none(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
):
    with shop(mariadb) as place:
        place.open("orders", "items")
        place.migrate("DELETE FROM items")
        place.app.run("DELETE FROM orders WHERE id = 1")
        cut_off(place, "free_kept", monkeypatch, is_behind=False)
        with again(place) as later:
            later.discard()
        assert list(place.deploy.run("SELECT * FROM items")) == []
        assert [kind for kind, *_ in place.conflicts()] == ["NoParent"]


def test_tables_whose_names_differ_in_capitals_have_keys_of_their_own(mariadb: MariaDB):
    twins = (
        "CREATE TABLE Shops (id int PRIMARY KEY)",
        "INSERT INTO Shops VALUES (9)",
        "CREATE TABLE Orders (id int PRIMARY KEY, shop int, FOREIGN KEY (shop)"
        " REFERENCES Shops (id) ON DELETE CASCADE)",
        "CREATE TABLE Items (id int PRIMARY KEY, o int, FOREIGN KEY (o) REFERENCES Orders (id))",
    )
    with shop(mariadb, *twins) as place:
        tables = (*TABLES, "Shops", "Orders", "Items")
        before = {each: place.definition(each) for each in tables}
        place.open("orders")
        place.migrate("UPDATE orders SET note = 'wrong'")
        place.app.run("INSERT INTO Orders VALUES (9, 9)")
        place.restore()
        assert {each: place.definition(each) for each in tables} == before
        place.discard()
        assert place.left() == []


def test_a_unique_index_may_have_the_name_of_a_key(mariadb: MariaDB):
    index = "ALTER TABLE orders ADD UNIQUE KEY of_shop (shop, id)"
    with shop(mariadb, "ALTER TABLE orders DROP FOREIGN KEY of_shop, DROP KEY of_shop", index,
              "ALTER TABLE orders ADD CONSTRAINT of_shop FOREIGN KEY (shop) REFERENCES shops (id)",
              ) as place:  # fmt: skip
        before = place.definition("orders")
        place.open("orders")
        place.migrate("ALTER TABLE orders DROP FOREIGN KEY of_shop")
        place.restore()
        assert place.definition("orders") == before


@pytest.mark.parametrize(("table", "named"), [("orders", "the$1"), ("the$1", "the$1")])
def test_a_name_that_our_statements_cannot_carry_is_refused(
    mariadb: MariaDB, table: str, named: str
):
    with shop(mariadb, "RENAME TABLE shops TO `the$1`") as place:
        with pytest.raises(RefusedError, match=r"has a \$ before a digit") as refused:
            place.open(table)
        assert named in refused.value.message
        assert place.left() == []


def test_who_reads_a_table_of_others_stops_the_application_for_a_second_at_most(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
):
    """It is tried for long; then nothing has changed."""
    monkeypatch.setattr(exchange, "_PATIENCE", 3.0)
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate("UPDATE orders SET note = 'wrong'")
        waits, is_over = [0.0], threading.Event()

        def write() -> None:
            while not is_over.is_set():
                begin = time.monotonic()
                place.app.run("UPDATE orders SET total = total + 1 WHERE id = 2")
                waits.append(time.monotonic() - begin)

        with reading_items(place) as cursor:
            writer = threading.Thread(target=write)
            writer.start()
            try:
                with pytest.raises(TransientError):
                    place.restore()
            finally:
                is_over.set()
                writer.join()
            cursor.execute("ROLLBACK")
        assert max(waits) < 5
        place.restore()
        assert place.deploy.run("SELECT total FROM orders WHERE id = 2") == [(len(waits) - 1,)]


def test_who_reads_a_table_of_others_is_waited_for(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
):
    """In one try after the other: none of them is the end of the restore."""
    monkeypatch.setattr(hand, "_GENTLE", 0.1)
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate("UPDATE orders SET note = 'wrong'")
        with reading_items(place) as cursor:
            restoring = threading.Thread(target=place.restore)
            restoring.start()
            for is_so in (True, False, True):
                until(lambda so=is_so: is_awaited(place, "LOCK TABLES `items` WRITE") is so)
            cursor.execute("ROLLBACK")
            restoring.join()
        assert place.deploy.run("SELECT note FROM orders") == [("a",), ("b",)]


def test_a_trigger_on_who_refers_to_a_covered_table_is_refused(mariadb: MariaDB):
    """Who holds its table to write holds what it writes: no exchange would ever be done."""
    body = "FOR EACH ROW UPDATE orders SET total = total + 1 WHERE id = NEW.o"
    with shop(mariadb, f"CREATE TRIGGER summed AFTER INSERT ON items {body}") as place:
        with pytest.raises(RefusedError, match=r"items refers to .* has the trigger summed"):
            place.open("orders")
        assert place.left() == []


def test_a_trigger_that_came_later_on_who_refers_to_a_covered_table_holds_it(mariadb: MariaDB):
    body = "FOR EACH ROW UPDATE orders SET total = total + 1 WHERE id = NEW.o"
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate("UPDATE orders SET note = 'wrong'",
                      f"CREATE TRIGGER summed AFTER INSERT ON items {body}")  # fmt: skip
        with pytest.raises(HeldError, match="its trigger summed uses: drop the trigger"):
            place.restore()
        place.migrate("DROP TRIGGER summed")
        place.restore()
        assert place.deploy.run("SELECT note FROM orders") == [("a",), ("b",)]


def test_who_refers_to_a_covered_table_keeps_its_key_under_another_name(mariadb: MariaDB):
    """The restore does not give that name back, and a key of nobody would go without a word."""
    with shop(mariadb) as place:
        before = place.definition("items")
        place.open("orders")
        place.migrate("UPDATE orders SET note = 'wrong'", "RENAME TABLE items TO pieces")
        with pytest.raises(HeldError, match="its name is pieces now: give it its name back"):
            place.restore()
        place.migrate("RENAME TABLE pieces TO items")
        place.restore()
        assert place.definition("items") == before


def test_a_name_behind_the_one_that_the_exchange_waits_at_holds_it(mariadb: MariaDB):
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate("UPDATE orders SET note = 'wrong'", "RENAME TABLE orders TO `\ufff0x`")
        with pytest.raises(HeldError, match="sorts behind every other"):
            place.restore()
        place.migrate("RENAME TABLE `\ufff0x` TO purchases")
        place.restore()
        assert place.deploy.run("SELECT note FROM orders") == [("a",), ("b",)]


def test_tables_that_exchanged_their_names_get_them_back(mariadb: MariaDB):
    with shop(mariadb) as place:
        before = {each: place.definition(each) for each in TABLES}
        place.open("orders", "shops")
        place.migrate("RENAME TABLE orders TO x, shops TO orders, x TO shops")
        place.app.run("INSERT INTO orders VALUES (3)")
        place.restore()
        assert {each: place.definition(each) for each in TABLES} == before
        assert place.deploy.run("SELECT id FROM shops") == [(1,), (2,), (3,)]


@pytest.mark.parametrize("change", [
    ("ALTER TABLE shops ENGINE = Aria",),
    ("RENAME TABLE shops TO stores", "CREATE VIEW shops AS SELECT * FROM stores"),
])  # fmt: skip
def test_a_parent_that_can_have_no_keys_any_more_holds_it(
    mariadb: MariaDB, change: tuple[str, ...]
):
    """The server takes such a key, and then refuses each row."""
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate("ALTER TABLE orders DROP FOREIGN KEY of_shop", *change)
        with pytest.raises(HeldError, match="orders would refer to shops") as held:
            place.restore()
        assert held.value.reason == "RestoreBlocked"
        place.app.run("INSERT INTO orders (id, shop) VALUES (3, 1)")


def test_a_key_may_stand_on_the_primary_key_alone(mariadb: MariaDB):
    """Such a table has no index that a copy could be given as its own."""
    seats = (
        "CREATE TABLE seats (shop int, n int, PRIMARY KEY (shop, n), CONSTRAINT of_seat"
        " FOREIGN KEY (shop) REFERENCES shops (id))",
        "INSERT INTO seats VALUES (1, 1)",
    )
    with shop(mariadb, *seats) as place:
        before = place.definition("seats")
        place.open("seats", "shops")
        place.migrate("DELETE FROM seats")
        place.app.run("INSERT INTO seats VALUES (2, 1)")
        place.restore()
        assert place.definition("seats") == before
        assert place.deploy.run("SELECT shop FROM seats") == [(1,), (2,)]


def test_a_write_under_lock_tables_that_the_server_refuses_is_none(mariadb: MariaDB):
    """It happens with any table of several triggers that write one that somebody has just read."""
    with shop(mariadb) as place:
        place.open("orders")
        mine = f"`{place.deploy.dbname}`.* TO '{place.app.user}'@'127.0.0.1'"
        place.deploy.admin().run(f"GRANT LOCK TABLES ON {mine}")
        place.migrate("UPDATE orders SET note = 'wrong'")
        place.expect()
        with place.app.connect() as session, session.cursor() as cursor:
            cursor.execute("LOCK TABLES orders WRITE")
            with pytest.raises(Exception, match="1442"):
                cursor.execute("UPDATE orders SET total = 5 WHERE id = 1")
        place.app.run("UPDATE orders SET total = 7 WHERE id = 2")
        place.restore()
        assert place.deploy.run("SELECT note, total FROM orders") == [("a", 0), ("b", 7)]


def test_a_restore_that_is_held_leaves_the_keys_of_the_migration(mariadb: MariaDB):
    """A key that has to go before the exchange stays where we know that there will be none."""
    between = (
        "CREATE TABLE lots (id int PRIMARY KEY, o int, FOREIGN KEY (o) REFERENCES orders (id))"
    )
    with shop(mariadb, between, "CREATE TABLE marks (id int PRIMARY KEY, lot int)") as place:
        plain = place.definition("marks")
        place.open("orders", "marks")
        place.migrate("ALTER TABLE marks ADD KEY fresh (lot)",
                      "ALTER TABLE marks ADD CONSTRAINT fresh FOREIGN KEY (lot)"
                      " REFERENCES lots (id)", "INSERT INTO orders (id) VALUES (9)")  # fmt: skip
        place.app.run("INSERT INTO items VALUES (9, 9)")
        before = place.definition("marks")
        with pytest.raises(HeldError, match="rows of items would refer"):
            place.restore()
        assert place.definition("marks") == before
        place.app.run("DELETE FROM items WHERE id = 9")
        place.restore()
        assert place.definition("marks") == plain


def test_a_row_of_others_to_one_that_would_be_taken_out_holds_it_beforehand(mariadb: MariaDB):
    with shop(mariadb, "INSERT INTO items VALUES (2, 2)") as place:
        place.open("orders")
        place.migrate("ALTER TABLE items DROP FOREIGN KEY of_order",
                      "DELETE FROM orders WHERE id = 2")  # fmt: skip
        place.app.run("DELETE FROM shops WHERE id = 2")
        with pytest.raises(HeldError, match="1 rows of items would refer to rows of orders"):
            place.restore()
        assert place.deploy.run("SELECT id FROM orders") == [(1,)]
        place.app.run("DELETE FROM items WHERE id = 2")
        place.restore()
        assert place.deploy.run("SELECT id FROM orders") == [(1,)]
        assert [kind for kind, *_ in place.conflicts()] == ["NoParent"]


def test_a_row_of_others_that_came_since_the_exchange_is_named(
    mariadb: MariaDB, monkeypatch: pytest.MonkeyPatch
):
    """A restored row without a parent is there for a moment, and somebody refers to it."""
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate("DELETE FROM orders WHERE id = 2")
        place.app.run("DELETE FROM shops WHERE id = 2")
        settle = restore.settle

        def settle_late(*given: object) -> None:
            place.app.run("INSERT INTO items VALUES (9, 2)")
            settle(*given)

        with monkeypatch.context() as patch:
            patch.setattr(restore, "settle", settle_late)
            with pytest.raises(HeldError, match="1 rows of items refer to rows of orders"):
                place.restore()
        place.app.run("DELETE FROM items WHERE id = 9")
        place.restore()
        assert place.deploy.run("SELECT id FROM orders") == [(1,)]
        assert [kind for kind, *_ in place.conflicts()] == ["NoParent"]
