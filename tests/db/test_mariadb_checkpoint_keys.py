"""Foreign keys of covered tables on MariaDB: they come back, and bind all the while."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.db.mariadb_checkpoint_desk import Station, station
from tests.mariadb import MariaDB

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
    ("customers", "items"),
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
        "UPDATE customers SET mentor = 77 WHERE id = 2",
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
