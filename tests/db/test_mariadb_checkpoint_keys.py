"""Foreign keys of covered tables on MariaDB: they come back, and bind all the while."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.db.mariadb_checkpoint_desk import Station, station
from tests.mariadb import MariaDB
from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.runner.checkpoint.manifest import words_of

# Plain and named keys, with and without an index of their own, of two columns, to a value that is
# no primary key, to itself.
SHOP = (
    "CREATE TABLE customers (id int PRIMARY KEY, code varchar(9) NOT NULL UNIQUE, mentor int,"
    " FOREIGN KEY (mentor) REFERENCES customers (id))",
    "CREATE TABLE orders (shop int, n int, customer int NOT NULL, code varchar(9), note text,"
    " PRIMARY KEY (shop, n), KEY by_note (note(5)), CONSTRAINT of_customer FOREIGN KEY (customer)"
    " REFERENCES customers (id) ON DELETE NO ACTION,"
    " FOREIGN KEY (code) REFERENCES customers (code), CHECK (n > 0))",
    "CREATE TABLE items (id int AUTO_INCREMENT PRIMARY KEY, shop int, n int, what varchar(9),"
    " CONSTRAINT of_order FOREIGN KEY (shop, n) REFERENCES orders (shop, n) ON UPDATE NO ACTION)",
    "CREATE TABLE parts (id int PRIMARY KEY, item int, KEY by_item (item),"
    " FOREIGN KEY (item) REFERENCES items (id))",
    "INSERT INTO customers VALUES (1, 'a', NULL), (2, 'b', 1), (3, 'c', 3)",
    "INSERT INTO orders VALUES (1, 1, 1, 'a', 'x'), (1, 2, 2, NULL, 'y'), (2, 1, 2, 'b', 'z')",
    "INSERT INTO items VALUES (1, 1, 1, 'p'), (2, 1, 2, 'q'), (3, NULL, 5, 'r')",
    "INSERT INTO parts VALUES (1, 1), (2, 2), (3, NULL)",
)
TABLES = ("customers", "orders", "items", "parts")
COVERED = (
    ("customers", "orders", "items", "parts"),
    ("customers", "orders"),
    ("orders",),
    ("items",),
    ("customers",),
    ("parts",),
)


@contextmanager
def shop(mariadb: MariaDB) -> Iterator[Station]:
    """Give a desk with tables that are linked, and check that nothing of a checkpoint stays."""
    for each in SHOP:
        mariadb.run(each)
    with station(mariadb) as place:
        before = {each: place.definition(each) for each in TABLES}
        yield place
        assert {each: place.definition(each) for each in TABLES} == before
        expect_bound(place)
        place.discard()
        assert place.left() == []
        expect_bound(place)


def rows(place: Station, table: str) -> list[tuple]:
    return list(place.deploy.run(f"SELECT * FROM {table} ORDER BY 1, 2"))


def expect_bound(place: Station) -> None:
    """Check that each key refuses what it did, and nothing more."""
    refused = (
        "DELETE FROM customers WHERE id = 1",
        "DELETE FROM orders WHERE shop = 1 AND n = 1",
        "DELETE FROM items WHERE id = 1",
        "UPDATE customers SET code = 'z' WHERE id = 1",
        "INSERT INTO orders VALUES (9, 9, 77, NULL, '')",
        "INSERT INTO items (shop, n) VALUES (77, 1)",
        "INSERT INTO parts VALUES (99, 77)",
        "UPDATE customers SET mentor = 77 WHERE id = 1",
    )
    for each in refused:
        with pytest.raises(Exception, match="foreign key constraint fails"):
            place.app.run(each)
    for each in (
        "INSERT INTO customers VALUES (50, 'fifty', 1)",
        "INSERT INTO orders VALUES (50, 50, 50, 'fifty', '')",
        "INSERT INTO items (id, shop, n) VALUES (500, 50, 50)",
        "INSERT INTO parts VALUES (500, 500)",
        "DELETE FROM parts WHERE id = 500",
        "DELETE FROM items WHERE id = 500",
        "DELETE FROM orders WHERE shop = 50",
        "DELETE FROM customers WHERE id = 50",
    ):
        place.app.run(each)


@pytest.mark.sampled("foreign keys on MariaDB")
@pytest.mark.parametrize("covered", COVERED, ids="-".join)
def test_tables_come_back_with_their_keys_and_all_that_was_written(
    mariadb: MariaDB, covered: tuple[str, ...]
):
    with shop(mariadb) as place:
        place.open(*covered)
        write(place, 10)
        damage = {
            "customers": "ALTER TABLE customers MODIFY mentor bigint, DROP FOREIGN KEY"
            " customers_ibfk_1",
            "orders": "UPDATE orders SET note = 'wrong'",
            "items": "ALTER TABLE items DROP COLUMN what",
            "parts": "UPDATE parts SET item = NULL",
        }
        place.migrate(*(damage[each] for each in covered))
        place.expect()
        write(place, 20)
        expected = {each: rows(place, each) for each in TABLES if each not in covered}
        place.restore()
        assert place.conflicts() == []
        for each, found in expected.items():
            assert rows(place, each) == found
        assert rows(place, "customers")[3:] == [(10, "c10", 1), (20, "c20", 1)]
        assert {row[4] for row in rows(place, "orders")} == {"x", "y", "z", "new"}
        assert [row[1] for row in rows(place, "parts")] == [1, 2, None, 10, 20]


def write(place: Station, n: int) -> None:
    place.app.run(f"INSERT INTO customers (id, code, mentor) VALUES ({n}, 'c{n}', 1)")
    place.app.run(f"INSERT INTO orders VALUES (1, {n}, {n}, 'c{n}', 'new')")
    place.app.run(f"INSERT INTO items (id, shop, n) VALUES ({n}, 1, {n})")
    place.app.run(f"INSERT INTO parts VALUES ({n}, {n})")


def test_rows_whose_parent_is_gone_are_on_record_and_not_there(mariadb: MariaDB):
    with shop(mariadb) as place:
        place.open(*TABLES)
        place.migrate(
            "DELETE FROM parts", "DELETE FROM items WHERE id = 2", "DELETE FROM orders WHERE n = 2",
            "INSERT INTO customers VALUES (7, 'g', NULL)",
        )  # fmt: skip
        place.app.run("UPDATE customers SET mentor = NULL WHERE id = 3")
        place.app.run("DELETE FROM customers WHERE id = 3")
        place.app.run("UPDATE orders SET customer = 1, code = 'a' WHERE shop = 2")
        place.app.run("DELETE FROM customers WHERE id = 2")
        place.app.run("INSERT INTO orders VALUES (7, 7, 7, 'g', 'new'), (7, 8, 1, 'g', 'new')")
        place.app.run("INSERT INTO items VALUES (70, 7, 7, 'new')")
        place.restore()
        assert rows(place, "customers") == [(1, "a", None)]
        assert [row[:3] for row in rows(place, "orders")] == [(1, 1, 1), (2, 1, 1)]
        assert [row[0] for row in rows(place, "items")] == [1, 3]
        assert rows(place, "parts") == [(1, 1), (3, None)]
        told = {(kind, *key.items(), value) for kind, key, _, value in place.conflicts()}
        assert {kind for kind, *_ in told} == {"NoParent"}
        assert told == {
            ("NoParent", ("shop", "1"), ("n", "2"), '{"shop": "1", "n": "2", "customer": "2",'
             ' "code": null, "note": "y"}'),
            ("NoParent", ("shop", "7"), ("n", "7"), '{"shop": "7", "n": "7", "customer": "7",'
             ' "code": "g", "note": "new"}'),
            ("NoParent", ("shop", "7"), ("n", "8"), '{"shop": "7", "n": "8", "customer": "1",'
             ' "code": "g", "note": "new"}'),
            ("NoParent", ("id", "2"), '{"id": "2", "shop": "1", "n": "2", "what": "q"}'),
            ("NoParent", ("id", "70"), '{"id": "70", "shop": "7", "n": "7", "what": "new"}'),
            ("NoParent", ("id", "2"), '{"id": "2", "item": "2"}'),
        }  # fmt: skip


def all_of(place: Station) -> list[object]:
    return [(rows(place, each), place.definition(each)) for each in TABLES]


def test_a_person_who_is_to_decide_is_asked_before_anything_is_changed(mariadb: MariaDB):
    with shop(mariadb) as place:
        place.open("orders", "items", on_conflict="Hold")
        place.migrate("DELETE FROM parts WHERE item = 2", "DELETE FROM items WHERE id = 2",
                      "ALTER TABLE orders DROP FOREIGN KEY of_customer")  # fmt: skip
        place.app.run("DELETE FROM orders WHERE n = 2")
        before = all_of(place)
        for _ in range(2):
            with pytest.raises(HeldError) as held:
                place.restore()
            assert held.value.reason == "CheckpointConflicts"
            assert all_of(place) == before
        place.app.run("UPDATE customers SET code = 'cc' WHERE id = 3")
        with place.desk.session.transaction():
            place.desk.ledger.rows(words_of(place.desk.ledger).SET_WISHES, "run-1", "Record", "[]")
        place.restore()
        assert [kind for kind, *_ in place.conflicts()] == ["NoParent"]


def test_rows_of_others_that_would_refer_to_none_hold_it(mariadb: MariaDB):
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate("INSERT INTO orders VALUES (5, 5, 1, NULL, 'made')")
        place.app.run("INSERT INTO items VALUES (5, 5, 5, 'mine')")
        before = all_of(place)
        for _ in range(2):
            with pytest.raises(HeldError) as held:
                place.restore()
            assert held.value.reason == "RestoreBlocked"
            assert "1 rows of items would refer to rows of orders that the restore takes away" in (
                held.value.message
            )
            assert all_of(place) == before
        place.app.run("DELETE FROM items WHERE id = 5")
        place.restore()


def test_a_parent_that_is_not_covered_and_gone_holds_it(mariadb: MariaDB):
    with shop(mariadb) as place:
        place.open("parts")
        place.migrate("ALTER TABLE parts DROP FOREIGN KEY parts_ibfk_1", "RENAME TABLE items TO i")
        with pytest.raises(HeldError, match="parts would refer to items") as held:
            place.restore()
        assert held.value.reason == "RestoreBlocked"
        place.migrate("RENAME TABLE i TO items")
        place.restore()


CHANGES = [
    ("ALTER TABLE items DROP FOREIGN KEY of_order, DROP KEY of_order",),
    (
        "ALTER TABLE orders DROP FOREIGN KEY of_customer, ADD CONSTRAINT of_customer2 FOREIGN KEY"
        " (customer) REFERENCES customers (id)",
    ),
    (
        "ALTER TABLE items ADD CONSTRAINT twice FOREIGN KEY (shop, n) REFERENCES orders (shop, n)",
        "ALTER TABLE parts ADD order_n int, ADD order_shop int, ADD CONSTRAINT"
        " far FOREIGN KEY (order_shop, order_n) REFERENCES orders (shop, n)",
    ),
    (
        "ALTER TABLE orders DROP FOREIGN KEY of_customer",
        "ALTER TABLE parts ADD c int, ADD CONSTRAINT of_customer FOREIGN KEY (c) REFERENCES"
        " customers (id)",
    ),
    ("RENAME TABLE orders TO purchases", "RENAME TABLE items TO things"),
    ("ALTER TABLE items DROP FOREIGN KEY of_order", "DROP TABLE orders"),
    ("SET FOREIGN_KEY_CHECKS = 0; DROP TABLE orders",),
    (
        "CREATE TABLE more (shop int, n int, c int, FOREIGN KEY (shop, n) REFERENCES orders"
        " (shop, n), FOREIGN KEY (c) REFERENCES customers (id))",
    ),
]
ALL_BUT = ("orders", "items", "parts")
# Of the name that a table which is not covered takes, see below.
CASES = [
    (e, c)
    for e in CHANGES
    for c in (ALL_BUT, ("orders",))
    if c == ALL_BUT or "ADD c int" not in e[-1]
]


@pytest.mark.sampled("foreign keys on MariaDB")
@pytest.mark.parametrize(
    ("migration", "covered"), CASES, ids=[f"{e[0][:40]} {len(c)}" for e, c in CASES]
)
def test_keys_that_the_migration_changed_are_taken_back(
    mariadb: MariaDB, migration: tuple[str, ...], covered: tuple[str, ...]
):
    with shop(mariadb) as place:
        place.open(*covered)
        with place.deploy.connect() as session, session.cursor() as cursor:
            for each in "; ".join(migration).split("; "):
                cursor.execute(each)
        place.app.run("UPDATE customers SET code = 'cc' WHERE id = 3")
        place.restore()
        tidy(place)
        assert [len(rows(place, each)) for each in TABLES] == [3, 3, 3, 3]


def tidy(place: Station) -> None:
    """Take back what a checkpoint of these tables does not cover."""
    place.deploy.run("DROP TABLE IF EXISTS more")
    if place.deploy.run("SHOW TABLES LIKE 'things'"):
        place.deploy.run("RENAME TABLE things TO items")
        keys = " ADD CONSTRAINT of_order FOREIGN KEY (shop, n) REFERENCES orders (shop, n)"
        place.deploy.run(f"ALTER TABLE items {keys} ON UPDATE NO ACTION")
    for key, columns in (("far", ("order_n", "order_shop")), ("of_customer", ("c",))):
        if place.deploy.run("SHOW COLUMNS FROM parts LIKE %s", columns[0]):
            for name in place.deploy.run(
                "SELECT CONSTRAINT_NAME FROM information_schema.REFERENTIAL_CONSTRAINTS WHERE"
                " CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = 'parts' AND CONSTRAINT_NAME = %s",
                key,
            ):
                place.deploy.run(f"ALTER TABLE parts DROP FOREIGN KEY {name[0]}")
            dropped = ", ".join(f"DROP {each}" for each in columns)
            place.deploy.run(f"ALTER TABLE parts {dropped}")


def test_a_table_between_covered_ones_is_to_be_covered_too(mariadb: MariaDB):
    """Who holds it to change its keys would hold its children, and they are taken already."""
    with shop(mariadb) as place:
        with pytest.raises(RefusedError, match=r"orders refers to covered tables.*cover it too"):
            place.open("customers", "items")
        place.open("customers", "orders", "items")


def test_a_name_that_somebody_else_s_key_has_got_holds_it(mariadb: MariaDB):
    with shop(mariadb) as place:
        place.open("orders")
        place.migrate(
            "ALTER TABLE orders DROP FOREIGN KEY of_customer",
            "ALTER TABLE parts ADD c int, ADD CONSTRAINT of_customer FOREIGN KEY (c) REFERENCES"
            " customers (id)",
        )
        with pytest.raises(HeldError, match="of_customer is the name of a key of parts") as held:
            place.restore()
        assert held.value.reason == "RestoreBlocked"
        place.migrate("ALTER TABLE parts DROP FOREIGN KEY of_customer, DROP c")
        place.restore()


def test_a_checkpoint_of_an_earlier_version_knows_of_no_keys(mariadb: MariaDB):
    mariadb.run("CREATE TABLE alone (id int PRIMARY KEY)")
    with station(mariadb) as place:
        place.open("alone")
        place.deploy.run(
            "UPDATE whimbrel_checkpoint_table SET manifest = JSON_REMOVE(manifest, '$.keys')"
        )
        place.migrate("INSERT INTO alone VALUES (1)")
        place.restore()
        assert list(place.deploy.run("SELECT * FROM alone")) == []
