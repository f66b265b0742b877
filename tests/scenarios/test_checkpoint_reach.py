"""How far a statement reaches beyond what it names: all of it comes back, or the run is refused."""

from pathlib import Path

import pytest

from tests.checkpoint_shop import USERS, migrator
from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal

pytestmark = pytest.mark.sampled("the life of a checkpoint")

USERS_TABLE = {"scope": "Tables", "tables": [{"name": "users"}]}
ORDERS = """
CREATE TABLE orders (id int PRIMARY KEY, who bigint REFERENCES users);
CREATE TABLE items (id int PRIMARY KEY, of int REFERENCES orders);
INSERT INTO orders SELECT n, n FROM generate_series(1, 50) n;
INSERT INTO items SELECT n, n FROM generate_series(1, 50) n;
"""
COUNTS = """
SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM orders), (SELECT count(*) FROM items)
"""


def made(database: Postgres, tmp_path: Path, setup: str) -> Terminal:
    """Return a terminal beside a database with users and more."""
    database.run(USERS)
    with database.connect() as session:
        session.execute(setup)
    return Terminal(tmp_path, migrator(database).url)


def project(terminal: Terminal, *texts: str, **checkpoint: object) -> Path:
    """Return a manifest with a file for each text, each in a transaction of its own."""
    files = {f"00{number}_x.up.sql": text for number, text in enumerate(texts, 1)}
    more = {"strategy": {"type": "Checkpoint"}, "migrations": {"atomicity": "File"}}
    return terminal.manifest(files, checkpoint=checkpoint, **more)


@pytest.mark.parametrize("options", [{}, USERS_TABLE], ids=["Auto", "Tables"])
def test_what_truncate_cascade_empties_comes_back(database: Postgres, tmp_path: Path, options):
    terminal = made(database, tmp_path, ORDERS)
    shop = project(terminal, "TRUNCATE users CASCADE", **options)
    plan = terminal.type(f"whimbrel plan {shop}")
    for table in ("users", "orders", "items"):
        assert f"Checkpoint first: table public.{table}\n" in plan.text
    assert terminal.type(f"whimbrel run {shop}").code == 0
    assert database.run(COUNTS) == [(0, 0, 0)]
    back = terminal.type(f"whimbrel rollback {shop}")
    assert "RolledBack" in back.text
    assert database.run(COUNTS) == [(500, 50, 50)]


def test_a_later_file_that_fails_brings_back_what_truncate_cascade_emptied(
    database: Postgres, tmp_path: Path
):
    terminal = made(database, tmp_path, ORDERS)
    shop = project(terminal, "TRUNCATE users CASCADE", "SELECT 1/0", **USERS_TABLE)
    failed = terminal.type(f"whimbrel run {shop}")
    assert "3 table(s) were restored" in failed.text
    assert "; these tables are as before this run; " in failed.text
    assert database.run(COUNTS) == [(500, 50, 50)]


def test_a_child_that_cannot_be_covered_is_refused(database: Postgres, tmp_path: Path):
    terminal = made(database, tmp_path, "CREATE TABLE bare (who bigint REFERENCES users)")
    shop = project(terminal, "TRUNCATE users CASCADE", **USERS_TABLE)
    refused = terminal.type(f"whimbrel run {shop}")
    assert "public.bare cannot be covered by a checkpoint: it has no primary key" in refused.text
    assert database.run("SELECT count(*) FROM users") == [(500,)]


def test_what_a_rule_writes_comes_back(database: Postgres, tmp_path: Path):
    terminal = made(
        database, tmp_path,
        "CREATE TABLE log (id int PRIMARY KEY, n int); INSERT INTO log VALUES (1, 7);"
        "CREATE RULE r AS ON UPDATE TO users DO ALSO UPDATE log SET n = 0",
    )  # fmt: skip
    shop = project(terminal, "UPDATE users SET credits = 0")
    assert terminal.type(f"whimbrel run {shop}").code == 0
    assert database.run("SELECT n FROM log") == [(0,)]
    assert "RolledBack" in terminal.type(f"whimbrel rollback {shop}").text
    assert database.run("SELECT n FROM log") == [(7,)]
    assert database.run("SELECT sum(credits) FROM users") == [(125250,)]


FIX = """
CREATE FUNCTION fix() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN UPDATE users SET credits = 0; RETURN 1; END $$;
CREATE TABLE log (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int);
CREATE FUNCTION hidden() RETURNS void LANGUAGE plpgsql AS
    $$ BEGIN EXECUTE 'UPDATE users SET credits = 0'; END $$;
CREATE SCHEMA app; CREATE TABLE app.things (id int PRIMARY KEY);
CREATE VIEW names AS SELECT name FROM users;
CREATE DOMAIN dd AS int; ALTER TABLE users ADD COLUMN d dd DEFAULT 3;
CREATE TYPE mood AS ENUM ('fine'); ALTER TABLE users ADD COLUMN m mood DEFAULT 'fine';
"""


@pytest.mark.parametrize("text", ["SELECT fix()", "INSERT INTO log (n) SELECT fix()"])
def test_what_a_function_writes_comes_back(database: Postgres, tmp_path: Path, text: str):
    terminal = made(database, tmp_path, FIX)
    shop = project(terminal, text)
    assert terminal.type(f"whimbrel run {shop}").code == 0
    assert database.run("SELECT sum(credits) FROM users") == [(0,)]
    assert "RolledBack" in terminal.type(f"whimbrel rollback {shop}").text
    assert database.run("SELECT sum(credits) FROM users") == [(125250,)]
    assert database.run("SELECT count(*) FROM log") == [(0,)]


CASCADES = "drops with CASCADE what it does not name (name it, or leave CASCADE out)"
NOT_TOLD = {
    "SELECT hidden()": "calls hidden, which may write: which tables it changes cannot be known",
    "DROP SCHEMA app CASCADE": CASCADES,
    "DROP DOMAIN dd CASCADE": CASCADES,
    "DROP TYPE mood CASCADE": CASCADES,
    "DROP FUNCTION fix() CASCADE": CASCADES,
    "DROP VIEW names": "no checkpoint brings back 001_x.up.sql, line 1: DROP VIEW names",
    "ALTER TYPE mood ADD VALUE 'sad'": "no checkpoint brings back 001_x.up.sql, line 1: ALTER TYPE",
}


@pytest.mark.parametrize("text", NOT_TOLD)
def test_what_no_checkpoint_could_bring_back_is_refused(
    database: Postgres, tmp_path: Path, text: str
):
    terminal = made(database, tmp_path, FIX)
    shop = project(terminal, text)
    for command in ("plan", "run"):
        refused = terminal.type(f"whimbrel {command} {shop}")
        assert refused.code not in {0, 1}, refused
        assert NOT_TOLD[text] in refused.text
    assert database.run("SELECT sum(credits), sum(d) FROM users WHERE m = 'fine'") == [
        (125250, 1500)
    ]
    assert database.run("SELECT to_regclass('app.things')::text") == [("app.things",)]


ADDS = """
CREATE TYPE size AS ENUM ('s');
DROP FUNCTION IF EXISTS made() CASCADE;
CREATE OR REPLACE FUNCTION made() RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO fresh DEFAULT VALUES; RETURN 1; END $$;
ALTER FUNCTION made() SECURITY INVOKER;
CREATE SEQUENCE numbers;
CREATE TABLE fresh (id int DEFAULT nextval('numbers'), key uuid DEFAULT gen_random_uuid());
ALTER SEQUENCE numbers OWNED BY fresh.id;
ALTER TABLE fresh RENAME COLUMN key TO name;
INSERT INTO fresh SELECT made(), gen_random_uuid();
"""


def test_what_only_adds_needs_no_checkpoint(database: Postgres, tmp_path: Path):
    terminal = made(database, tmp_path, FIX)
    shop = project(terminal, ADDS, "ALTER TYPE size ADD VALUE 'm'")
    done = terminal.type(f"whimbrel plan {shop}")
    assert "it changes no table that is there: no checkpoint is made" in done.text
    done = terminal.type(f"whimbrel run {shop}")
    assert done.code == 0, done.text
    assert database.run("SELECT count(*) FROM fresh") == [(2,)]


def test_what_a_list_may_have_missed_is_said_before(database: Postgres, tmp_path: Path):
    terminal = made(database, tmp_path, ORDERS)
    block = "UPDATE users SET credits = 0; DO $$ BEGIN UPDATE orders SET who = 1; END $$"
    plan = terminal.type(f"whimbrel plan {project(terminal, block, **USERS_TABLE)}")
    assert (
        "Note: 001_x.up.sql, line 1 runs a DO block: rows that this changes in other tables "
        "cannot be told and do not come back" in plan.text
    )
