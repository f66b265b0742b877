"""What a way back is known to destroy."""

import pytest

from whimbrel.model.facts import ForeignKey
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.data_loss import losses, names_before, unknowns
from whimbrel.planning.syntax import parse_sql


def table(name, *columns, schema="public"):
    return {
        CatalogObject("table", schema, name),
        *(CatalogObject("column", schema, name, column) for column in columns),
    }


OLD = table("users", "id", "name") | table("t", "id", schema="older")
NEW = table("orders", "id", "total") | {CatalogObject("column", "public", "users", "mail")}
OTHERS = {
    CatalogObject("view", "public", "v"),
    CatalogObject("function", "public", "f", "integer"),
    CatalogObject("type", "public", "mood"),
    CatalogObject("sequence", "public", "numbers"),
    CatalogObject("schema", "", "older"),
    CatalogObject("index", "public", "users_name"),
}
NEW_OTHERS = {
    CatalogObject("view", "public", "new_v"),
    CatalogObject("type", "public", "new_type"),
    CatalogObject("schema", "", "fresh"),
    CatalogObject("table", "fresh", "a"),
}
CATALOG = frozenset(OLD | NEW | OTHERS | NEW_OTHERS)
COVERED = frozenset(NEW | NEW_OTHERS)


def lost(text):
    return [each.what for each in losses(parse_sql("x.down.sql", text), CATALOG, COVERED)]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("DELETE FROM users", "deletes rows of table users"),
        ("DELETE FROM public.users WHERE id = 1", "deletes rows of table public.users"),
        ("TRUNCATE orders, users", "deletes rows of table users"),
        (
            "TRUNCATE orders CASCADE",
            "deletes rows of table orders and, by CASCADE, of whatever refers to it",
        ),
        ("UPDATE users SET name = 'x', mail = 'y'", "overwrites name of table users"),
        ("UPDATE ONLY older.t SET id = 1", "overwrites id of table older.t"),
        (
            "INSERT INTO users VALUES (1) ON CONFLICT (id) DO UPDATE SET name = ''",
            "overwrites name of table users",
        ),
        (
            "MERGE INTO users u USING orders o ON true WHEN MATCHED THEN DELETE",
            "deletes rows of table users",
        ),
        (
            "WITH d AS (DELETE FROM users RETURNING *) INSERT INTO orders SELECT id FROM d",
            "deletes rows of table users",
        ),
        ("EXPLAIN ANALYZE DELETE FROM users", "deletes rows of table users"),
        ("DELETE FROM new_v", "deletes rows of table new_v"),
        ("DROP TABLE users", "drops table users"),
        ("DROP TABLE IF EXISTS orders, older.t", "drops table older.t"),
        ("DROP TABLE users CASCADE", "drops table users"),
        ("ALTER TABLE users DROP COLUMN mail, DROP COLUMN name", "drops column users (name)"),
        ("ALTER TABLE users RENAME TO people; DROP TABLE people", "drops table people"),
        ("ALTER TABLE users RENAME name TO x; ALTER TABLE users DROP x", "drops column users (x)"),
        ("ALTER TABLE users RENAME TO p; ALTER TABLE p DROP name", "drops column p (name)"),
        ("ALTER TABLE users SET SCHEMA older; DROP TABLE older.users", "drops table older.users"),
        ("DROP VIEW v", "drops view v"),
        ("DROP FUNCTION f(int)", "drops function f"),
        ("DROP TYPE mood", "drops type mood"),
        ("DROP SEQUENCE numbers", "drops sequence numbers"),
        ("DROP SCHEMA older", "drops schema older"),
        ("DROP SCHEMA older CASCADE", "drops schema older with what it holds"),
        (
            "DROP TYPE new_type CASCADE",
            "drops type new_type and, by CASCADE, whatever depends on it",
        ),
        ("ALTER TYPE mood DROP ATTRIBUTE a", "drops type mood"),
        ("DROP OWNED BY app", "drops everything that a role owns"),
    ],
)
def test_known_losses(text, what):
    assert lost(text) == [what]


@pytest.mark.parametrize(
    "text",
    [
        "DROP TABLE orders",
        "DROP TABLE public.orders CASCADE",
        "ALTER TABLE users DROP COLUMN mail CASCADE",
        "UPDATE users SET mail = NULL",
        "DELETE FROM orders",
        "TRUNCATE orders",
        "DROP TABLE IF EXISTS never_there",
        "ALTER TABLE orders RENAME TO sold; DROP TABLE sold",
        "ALTER TABLE users RENAME mail TO m; ALTER TABLE users DROP COLUMN m",
        "CREATE TEMP TABLE x (id int); DELETE FROM x",
        "DROP VIEW v; CREATE VIEW v AS SELECT 1",
        "DROP SCHEMA fresh CASCADE",
        "DROP INDEX users_name",
        "ALTER TABLE users DROP CONSTRAINT users_pkey",
        "INSERT INTO users VALUES (1)",
        "INSERT INTO users VALUES (1) ON CONFLICT DO NOTHING",
        "CREATE FUNCTION g() RETURNS void LANGUAGE sql BEGIN ATOMIC DELETE FROM users; END",
        "CREATE RULE r AS ON DELETE TO orders DO INSTEAD DELETE FROM users",
        "SELECT * FROM users",
    ],
)
def test_what_destroys_nothing_older(text):
    assert lost(text) == []


def refers(child, parent="orders", *, columns=("ref",), on_delete="NO ACTION", on_update="CASCADE"):
    """Return a foreign key to `id` of a table."""
    constraint = CatalogObject("constraint", "public", child, f"{child}_key")
    parent = CatalogObject("table", "public", parent)
    return ForeignKey(constraint, columns, parent, ("id",), on_delete, on_update)


ITEMS = table("items", "id", "ref")
FRIENDS = table("friends", "id", "ref")


def lost_by(text, *foreign_keys):
    catalog = CATALOG | ITEMS | FRIENDS | {each.constraint for each in foreign_keys}
    found = losses(parse_sql("x", text), catalog, COVERED | ITEMS, foreign_keys=tuple(foreign_keys))
    return [each.what for each in found]


CASCADE = refers("friends", on_delete="CASCADE")
FRIENDS_GO = "changes table orders and, by a foreign key, deletes rows of table public.friends"


@pytest.mark.parametrize(
    ("text", "foreign_keys", "what"),
    [
        pytest.param("DELETE FROM orders", [CASCADE], FRIENDS_GO, id="rows go along"),
        pytest.param(
            "DELETE FROM orders",
            [refers("friends", on_delete="SET NULL")],
            "changes table orders and, by a foreign key, overwrites ref of table public.friends",
            id="what refers is set to NULL",
        ),
        pytest.param(
            "DELETE FROM orders",
            [refers("items", on_delete="CASCADE"), refers("friends", "items", on_delete="CASCADE")],
            FRIENDS_GO,
            id="over a table that is new",
        ),
        pytest.param(
            "UPDATE orders SET total = 0, id = id + 1",
            [refers("friends")],
            "changes table orders and, by a foreign key, overwrites ref of table public.friends",
            id="a key changes",
        ),
        pytest.param(
            "ALTER TABLE orders RENAME TO sold; DELETE FROM sold",
            [CASCADE],
            FRIENDS_GO.replace("orders", "sold"),
            id="under another name",
        ),
        pytest.param(
            "DELETE FROM orders; ALTER TABLE friends DROP COLUMN ref",
            [CASCADE],
            FRIENDS_GO,
            id="the key goes too late",
        ),
    ],
)
def test_what_a_foreign_key_takes_along_is_lost(text, foreign_keys, what):
    assert lost_by(text, *foreign_keys)[:1] == [what]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        pytest.param("DELETE FROM orders", refers("items", on_delete="CASCADE"), id="new rows"),
        pytest.param("DELETE FROM orders", refers("friends"), id="it refuses to go along"),
        pytest.param("UPDATE orders SET total = 0", CASCADE, id="no key changes"),
        pytest.param("UPDATE orders SET id = 0", refers("friends", on_update=""), id="it refuses"),
        pytest.param(
            "DELETE FROM orders",
            refers("users", columns=("mail",), on_delete="SET NULL"),
            id="a new column of an older table",
        ),
        pytest.param("DROP TABLE orders CASCADE", CASCADE, id="the key goes, the rows stay"),
        pytest.param(
            "ALTER TABLE friends DROP CONSTRAINT friends_key; DELETE FROM orders",
            CASCADE,
            id="the key is dropped first",
        ),
    ],
)
def test_what_a_foreign_key_leaves_is_not_lost(text, key):
    assert lost_by(text, key) == []


def test_a_name_without_schema_may_be_any_of_that_name():
    catalog = CATALOG | table("orders", schema="older")
    parsed = parse_sql("x", "DROP TABLE orders")
    assert [each.what for each in losses(parsed, catalog, COVERED)] == ["drops table orders"]


def test_renames_of_earlier_transactions_are_followed():
    earlier = parse_sql("y", "ALTER TABLE users RENAME TO people")
    found = losses(parse_sql("x", "DROP TABLE people"), CATALOG, COVERED, earlier=earlier)
    assert [each.what for each in found] == ["drops table people"]


def test_place_of_the_statement_is_known():
    (loss,) = losses(parse_sql("x.down.sql", "SELECT 1;\n\nDELETE FROM users"), CATALOG, COVERED)
    assert (loss.statement.file, loss.statement.line) == ("x.down.sql", 3)


def test_what_cannot_be_known_is_said():
    text = "DO $$ BEGIN DELETE FROM users; END $$; CALL p(); ALTER TABLE users ALTER name TYPE int"
    assert lost(text) == []
    assert unknowns(parse_sql("x", text)) == (
        "x, line 1: what a DO block destroys cannot be known from its text",
        "x, line 1: what procedure p destroys cannot be known from its text",
        "x, line 1: the new type of column users (name) may not hold every value",
    )


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ALTER TABLE users RENAME full_name TO name", "column public.users (full_name)"),
        ("ALTER TABLE people RENAME TO users", "column public.people (name)"),
        ("ALTER TABLE old.users SET SCHEMA public", "column old.users (name)"),
        ("ALTER SCHEMA old RENAME TO public", "column old.users (name)"),
        ("ALTER TABLE a RENAME TO b", "column public.users (name)"),
        ("ALTER TABLE p RENAME x TO name; ALTER TABLE p RENAME TO users", "column public.p (x)"),
    ],
)
def test_name_before_renames(text, name):
    wanted = CatalogObject("column", "public", "users", "name")
    assert str(names_before(parse_sql("x", text), wanted)) == name
