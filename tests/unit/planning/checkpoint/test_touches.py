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
