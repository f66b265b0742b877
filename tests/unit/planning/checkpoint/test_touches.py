"""Which tables a statement changes; reading is no change, and what cannot be told is said."""

from dataclasses import replace

import pytest

from whimbrel.model.steps import Statement
from whimbrel.planning.checkpoint.touches import Known, Name, touched_by

USERS: Name = ("public", "users")
ORDERS: Name = ("shop", "orders")
ORGS: Name = ("public", "orgs")
KNOWN = Known(
    tables=frozenset({USERS, ORDERS, ORGS, ("a", "twice"), ("b", "twice")}),
    views=frozenset({("public", "everybody")}),
    home="public",
    parts={("public", "users_by_name"): USERS, ("public", "users_id_seq"): USERS},
)


def tables(text: str) -> tuple[Name, ...]:
    return touched_by([Statement("1.sql", 1, text)], KNOWN).tables


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("UPDATE users SET a = 1", [USERS]),
        ("INSERT INTO users SELECT * FROM orgs", [USERS]),
        ("WITH gone AS (DELETE FROM shop.orders RETURNING *) SELECT * FROM gone", [ORDERS]),
        ("MERGE INTO users u USING orgs o ON u.a = o.a WHEN MATCHED THEN DELETE", [USERS]),
        ("COPY users FROM '/x'", [USERS]),
        ("TRUNCATE users", [USERS]),
        ("ALTER TABLE users ADD FOREIGN KEY (org) REFERENCES orgs", [USERS]),
        ("ALTER TABLE users RENAME TO people", [USERS]),
        ("CREATE INDEX i ON users (a)", [USERS]),
        ("DROP INDEX users_by_name", [USERS]),
        ("DROP TABLE users CASCADE", [USERS]),
        ("ALTER INDEX public.users_by_name RENAME TO other", [USERS]),
        ("ALTER SEQUENCE users_id_seq RESTART", [USERS]),
        ("CREATE TRIGGER t BEFORE UPDATE ON users EXECUTE FUNCTION f()", [USERS]),
        ("DROP TRIGGER t ON users", [USERS]),
        ("DROP POLICY p ON users", [USERS]),
        ("COMMENT ON COLUMN users.a IS 'x'", [USERS]),
        ("GRANT SELECT ON users TO PUBLIC", [USERS]),
        ("UPDATE twice SET a = 1", [("a", "twice"), ("b", "twice")]),
        ("CREATE TABLE copied AS SELECT * FROM users", []),
        ("CREATE TABLE alike (LIKE orgs)", []),
        ("CREATE VIEW v AS SELECT * FROM users", []),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END", []),
        ("SELECT * FROM users", []),
        ("COPY users TO '/x'", []),
        ("ANALYZE users", []),
        ("UPDATE absent SET a = 1", []),
    ],
)
def test_what_changes(text: str, changed: list[Name]):
    assert list(tables(text)) == changed


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DO $$ BEGIN NULL; END $$", "1.sql, line 1 runs a DO block"),
        ("CALL mend()", "1.sql, line 1 calls a procedure"),
        ("UPDATE everybody SET a = 1", "1.sql, line 1 writes through the view everybody"),
    ],
)
def test_what_cannot_be_told(text: str, said: str):
    assert touched_by([Statement("1.sql", 1, text)], KNOWN).opaque == (said,)


@pytest.mark.parametrize(
    ("text", "beyond"),
    [
        ("ALTER TYPE mood ADD VALUE 'x'", True),
        ("DROP FUNCTION f()", True),
        ("DROP TYPE mood", True),
        ("DROP SEQUENCE free", True),
        ("ALTER SEQUENCE free RESTART", True),
        ("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'", True),
        ("CREATE OR REPLACE VIEW everybody AS SELECT 1", True),
        ("CREATE OR REPLACE VIEW fresh AS SELECT 1", False),
        ("CREATE TYPE mood AS ENUM ('x')", False),
        ("ALTER SEQUENCE users_id_seq RESTART", False),
        ("ALTER TABLE users ADD COLUMN a int", False),
    ],
)
def test_what_is_changed_outside_of_tables(text: str, beyond: bool):
    assert bool(touched_by([Statement("1.sql", 1, text)], KNOWN).beyond) is beyond


REFERRED = replace(KNOWN, children=frozenset({(ORGS, USERS), (USERS, ORDERS), (USERS, USERS)}))


@pytest.mark.parametrize(
    ("text", "changed", "emptied"),
    [
        ("TRUNCATE orgs CASCADE", [ORGS, USERS, ORDERS], [ORGS]),
        ("TRUNCATE users, orgs CASCADE", [USERS, ORGS, ORDERS], [USERS, ORGS]),
        ("TRUNCATE shop.orders CASCADE", [ORDERS], [ORDERS]),
        ("TRUNCATE orgs", [ORGS], []),
        ("TRUNCATE orgs RESTRICT", [ORGS], []),
        ("DROP TABLE orgs CASCADE", [ORGS], []),
        ("TRUNCATE absent CASCADE", [], []),
    ],
)
def test_truncate_cascade_empties_all_that_refer(
    text: str, changed: list[Name], emptied: list[Name]
):
    found = touched_by([Statement("1.sql", 1, text)], REFERRED)
    assert (sorted(found.tables), sorted(found.emptied)) == (sorted(changed), sorted(emptied))


FUNCTIONS = replace(
    KNOWN,
    functions={
        "fix": (("plpgsql", "BEGIN UPDATE users SET a = 1; END"),),
        "mend": (("sql", "SELECT fix(), upper('x')"), ("plpgsql", "BEGIN DELETE FROM orders; END")),
        "slug": (("sql", "SELECT lower($1)"),),
        "loop": (("sql", "SELECT loop()"),),
        "Hidden": (("plpgsql", "BEGIN EXECUTE 'UPDATE users SET a = 1'; END"),),
        "reshape": (("plpgsql", "BEGIN ALTER TABLE users DROP COLUMN a; END"),),
        "load": (("plpgsql", "BEGIN COPY orgs FROM '/x'; END"),),
        "python": (("plpython3u", "pass"),),
        "seen": (("sql", "UPDATE everybody SET a = 1"),),
        "either": (("sql", "UPDATE twice SET a = 1"),),
    },
)
MADE = "CREATE FUNCTION g() RETURNS int LANGUAGE"
ON_ORGS = "CREATE TRIGGER t AFTER UPDATE ON orgs EXECUTE FUNCTION fix()"


@pytest.mark.parametrize(
    ("texts", "changed", "calls"),
    [
        (["SELECT fix()"], [USERS], ""),
        (["SELECT FIX()"], [USERS], ""),
        (["SELECT * FROM public.fix() AS f"], [USERS], ""),
        (["INSERT INTO orgs VALUES (1, fix())"], [ORGS, USERS], ""),
        (["INSERT INTO orgs SELECT mend()"], [ORDERS, ORGS, USERS], ""),
        (["WITH a AS (SELECT 1) SELECT (SELECT mend() FROM a)"], [ORDERS, USERS], ""),
        (["CREATE TABLE copied AS SELECT fix()"], [USERS], ""),
        (["ALTER TABLE orgs ADD COLUMN a int DEFAULT fix()"], [ORGS, USERS], ""),
        (["PREPARE p AS SELECT fix()", "EXECUTE p"], [USERS], ""),
        (["COPY (SELECT fix()) TO '/x'"], [USERS], ""),
        (["EXPLAIN ANALYZE SELECT fix()"], [USERS], ""),
        (["SELECT either()"], [("a", "twice"), ("b", "twice")], ""),
        (["SELECT load()"], [ORGS], ""),
        (["UPDATE orgs SET a = slug(a), b = gen_random_uuid(), c = loop()"], [ORGS], ""),
        (["SELECT pg_catalog.fix(), 'fix()', fix FROM orgs"], [], ""),
        (["CREATE VIEW v AS SELECT fix()"], [], ""),
        (["CREATE TABLE fresh (a int DEFAULT fix())"], [], ""),
        (['SELECT "Hidden"()'], [], "Hidden"),
        (["SELECT reshape()"], [], "reshape"),
        (["SELECT python()"], [], "python"),
        (["SELECT seen()"], [], "seen"),
        ([f"{MADE} sql AS 'UPDATE users SET a = 1'", "SELECT g()"], [USERS], ""),
        ([f"{MADE} sql BEGIN ATOMIC UPDATE users SET a = 1; END", "SELECT g()"], [USERS], ""),
        ([f"{MADE} sql BEGIN ATOMIC UPDATE users SET a = 1; END"], [], ""),
        ([f"{MADE} plpgsql AS $$ BEGIN EXECUTE 'x'; END $$", "SELECT g()"], [], "g"),
        ([f"{MADE} sql STABLE AS 'SELECT fix()'", "SELECT g()"], [], ""),
        ([f"{MADE} sql AS 'UPDATE fresh SET a = 1'", "SELECT g()"], [], ""),
        ([f"{MADE} c AS 'library', 'symbol'", "SELECT g()"], [], "g"),
        ([ON_ORGS], [ORGS], ""),
        ([ON_ORGS, "UPDATE orgs SET a = 1"], [ORGS, USERS], ""),
        ([ON_ORGS, "UPDATE shop.orders SET a = 1"], [ORDERS, ORGS], ""),
        ([ON_ORGS.replace("orgs", "fresh"), "INSERT INTO fresh VALUES (1)"], [USERS], ""),
    ],
)
def test_what_functions_write_is_changed_too(texts: list[str], changed: list[Name], calls: str):
    statements = [Statement("1.sql", line, text) for line, text in enumerate(texts, 1)]
    found = touched_by(statements, FUNCTIONS)
    assert sorted(found.tables) == sorted(changed)
    expected = f"1.sql, line {len(texts)} calls {calls}, which may write"
    assert found.opaque == ((expected,) if calls else ())


CASCADES = "drops with CASCADE what it does not name (name it, or leave CASCADE out)"


@pytest.mark.parametrize(
    "what",
    [
        "SCHEMA shop", "DOMAIN dd", "TYPE mood", "FUNCTION f()", "PROCEDURE p", "AGGREGATE a(int)",
        "EXTENSION citext", "OPERATOR === (int, int)", "COLLATION c", "SERVER s", "CAST (a AS b)",
    ],
)  # fmt: skip
def test_cascade_drops_what_nobody_names(what: str):
    for text, opaque in ((f"DROP {what} CASCADE", (CASCADES,)), (f"DROP {what}", ())):
        found = touched_by([Statement("1.sql", 1, text)], KNOWN)
        assert [each.removeprefix("1.sql, line 1 ") for each in found.opaque] == list(opaque)
        assert found.beyond


@pytest.mark.parametrize(
    "what", ["TABLE users", "VIEW v", "INDEX i", "TRIGGER t ON users", "POLICY p ON users"]
)
def test_what_hangs_on_a_table_comes_back_with_it(what: str):
    assert touched_by([Statement("1.sql", 1, f"DROP {what} CASCADE")], KNOWN).opaque == ()


PRESENT = replace(KNOWN, present=frozenset({"users", "mood", "old", "free", "everybody"}))


@pytest.mark.parametrize(
    ("text", "beyond", "opaque"),
    [
        ("DROP FUNCTION IF EXISTS made() CASCADE", False, False),
        ("DROP FUNCTION IF EXISTS made(), old(int) CASCADE", True, True),
        ("DROP TYPE made, shop.mood CASCADE", True, True),
        ("DROP SCHEMA made CASCADE", False, False),
        ("DROP COLLATION made CASCADE", True, True),
        ("ALTER TYPE mood DROP ATTRIBUTE a CASCADE", True, False),
        ("ALTER TYPE made ADD ATTRIBUTE a int", False, False),
        ("DROP OWNED BY somebody", False, True),
        ("REASSIGN OWNED BY somebody TO another", True, False),
        ("CREATE OR REPLACE FUNCTION made() RETURNS int LANGUAGE sql AS ''", False, False),
        ("CREATE OR REPLACE FUNCTION old() RETURNS int LANGUAGE sql AS ''", True, False),
        ("ALTER TYPE shop.made ADD VALUE 'x'", False, False),
        ("ALTER TYPE mood ADD VALUE 'x'", True, False),
        ("ALTER DOMAIN made DROP NOT NULL", False, False),
        ("ALTER FUNCTION made(int) STRICT", False, False),
        ("ALTER FUNCTION old(int) STRICT", True, False),
        ("ALTER FUNCTION made(int) OWNER TO somebody", False, False),
        ("ALTER SCHEMA old OWNER TO somebody", True, False),
        ("ALTER SCHEMA made RENAME TO other", True, False),
        ("ALTER TABLE made RENAME COLUMN a TO b", False, False),
        ("ALTER VIEW everybody RENAME COLUMN a TO b", True, False),
        ("ALTER TABLE made SET SCHEMA shop", False, False),
        ("ALTER SEQUENCE made OWNED BY fresh.id", False, False),
        ("ALTER SEQUENCE free RESTART", True, False),
        ("ALTER PUBLICATION made ADD TABLE fresh", True, False),
        ("ALTER ROLE made NOLOGIN", True, False),
        ("ALTER EXTENSION made UPDATE", True, False),
    ],
)
def test_what_was_not_there_before_is_an_addition(text: str, beyond: bool, opaque: bool):
    found = touched_by([Statement("1.sql", 1, text)], PRESENT)
    assert (bool(found.beyond), bool(found.opaque)) == (beyond, opaque)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("DROP VIEW everybody", ("1.sql, line 1: DROP VIEW everybody",)),
        ("DROP MATERIALIZED VIEW shop.old", ("1.sql, line 1: DROP MATERIALIZED VIEW shop.old",)),
        ("DROP VIEW IF EXISTS made CASCADE", ()),
        ("DROP TABLE users", ()),
    ],
)
def test_views_that_are_dropped(text: str, said: tuple[str, ...]):
    found = touched_by([Statement("1.sql", 1, text)], PRESENT)
    assert (found.views, found.beyond) == (said, ())
