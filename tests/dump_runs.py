"""Runs with a dump: a database with all kinds of things, and programs of the server's version."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.checkpoint_shop import application, migrator, until
from tests.postgres import BINARIES, Postgres
from tests.runner_process import Attempt, RunnerProcess
from whimbrel.model.plan import WITHOUT_TOOL

# What no copy of tables covers (partitions, no key), and what a schema may hold besides tables.
RICH = """
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('fine', 'sad');
CREATE DOMAIN shop.mail AS text CHECK (VALUE ~ '@');
CREATE TABLE shop.users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, mail shop.mail,
    mood shop.mood DEFAULT 'fine', upper_mail text GENERATED ALWAYS AS (upper(mail)) STORED);
CREATE TABLE events (at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE keyless (n int, payload json);
CREATE TABLE orders (id serial PRIMARY KEY, buyer bigint REFERENCES shop.users ON DELETE CASCADE);
CREATE INDEX orders_by_buyer ON orders (buyer);
CREATE FUNCTION shop.count_orders(bigint) RETURNS bigint LANGUAGE sql STABLE AS
    'SELECT count(*) FROM public.orders WHERE buyer = $1';
CREATE VIEW buyers AS SELECT u.id, u.mood, shop.count_orders(u.id) AS orders FROM shop.users u;
CREATE MATERIALIZED VIEW moods AS SELECT mood, count(*) FROM shop.users GROUP BY mood;
CREATE FUNCTION public.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER touched BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE shop.users ENABLE ROW LEVEL SECURITY;
CREATE POLICY everybody ON shop.users USING (true) WITH CHECK (true);
CREATE SEQUENCE numbers;
CREATE STATISTICS of_orders ON id, buyer FROM orders;
CREATE AGGREGATE shop.together(text) (SFUNC = textcat, STYPE = text);
CREATE PUBLICATION changes FOR TABLE orders;
COMMENT ON TABLE orders IS 'what was bought';
INSERT INTO shop.users (mail) SELECT n || '@example.org' FROM generate_series(1, 200) n;
INSERT INTO orders (buyer) SELECT id FROM shop.users;
INSERT INTO events SELECT '2026-05-01'::date + n, 'event ' || n FROM generate_series(1, 50) n;
INSERT INTO keyless VALUES (1, '{"a":  1}'), (1, '{"a":  1}'), (NULL, NULL);
SELECT nextval('numbers') FROM generate_series(1, 7);
REFRESH MATERIALIZED VIEW moods;
"""
# Nothing of it has a way down, and what it adds hangs on what was there.
DAMAGE = """
UPDATE orders SET buyer = NULL WHERE id % 2 = 0;
DELETE FROM keyless;
ALTER TABLE shop.users DROP COLUMN mood CASCADE;
DROP TABLE events;
CREATE SCHEMA added;
CREATE TYPE added.kind AS ENUM ('a', 'b');
CREATE TABLE added.more (id bigint PRIMARY KEY REFERENCES shop.users, kind added.kind);
CREATE TABLE beside (id int PRIMARY KEY REFERENCES orders);
CREATE VIEW on_top AS SELECT * FROM orders;
CREATE FUNCTION beside_it() RETURNS int LANGUAGE sql AS 'SELECT 1';
ALTER FUNCTION shop.count_orders(bigint) RENAME TO orders_of;
ALTER TYPE shop.mood RENAME VALUE 'sad' TO 'sorry';
"""
DAMAGED = {"001_damage.up.sql": DAMAGE, "001_damage.down.sql": "SELECT 1/0"}
FAILS = DAMAGED | {"002_fails.up.sql": "SELECT 1/0"}
# Whose programs we have: a dump is the way back only with those of the server's version.
ON_EACH = pytest.mark.parametrize(
    "any_database", [15, 16, 18], indirect=True, ids=lambda version: f"postgresql {version}"
)
EACH_FILE = ("migrations.atomicity", "File")
DUMP = {"image": "postgres:17", "claimName": "dumps"}
# Sessions of the programs of a dump, and those of them that wait for a lock.
AT_WORK = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name ~ '^whimbrel-dump'"
    " AND datname = current_database()"
)
WAITS = f"{AT_WORK} AND wait_event_type = 'Lock'"
ACCEPTED = ("rollback", {"allowDataLoss": {"by": "Ada", "reason": "a test"}})


def content(database: Postgres) -> dict[str, Any]:
    """Return every row and every definition of users: of what is not told by rows, the words."""
    owner = replace(database, user="postgres", password="postgres")
    tables = owner.run(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'v', 'm')"
        " AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'whimbrel')"
    )
    rows = {name: sorted(owner.run(f"SELECT t::text FROM {name} t")) for (name,) in sorted(tables)}
    return {"rows": rows, "shape": sorted(owner.run(SHAPE), key=str)}


# Without anything that a freeze or a dump leaves for a while.
SHAPE = """
SELECT 'relation', c.oid::regclass::text, c.relkind::text || c.relrowsecurity::text, c.relacl::text
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN
    ('public', 'shop', 'added')
UNION ALL SELECT 'column', a.attrelid::regclass::text, a.attname || format_type(a.atttypid,
    a.atttypmod) || a.attnotnull::text || a.attidentity::text || a.attgenerated::text,
    pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'v', 'm')
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('public', 'shop', 'added')
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid), convalidated::text
FROM pg_constraint WHERE connamespace IN ('public'::regnamespace, 'shop'::regnamespace)
UNION ALL SELECT 'index', indexname, indexdef, '' FROM pg_indexes
WHERE schemaname IN ('public', 'shop')
UNION ALL SELECT 'function', p.oid::regprocedure::text, prosrc, '' FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname IN ('public', 'shop', 'added')
UNION ALL SELECT 'label', enumtypid::regtype::text, enumlabel, enumsortorder::text FROM pg_enum
UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, tgenabled::text FROM pg_trigger
JOIN pg_class c ON c.oid = tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    AND n.nspname <> 'whimbrel' WHERE NOT tgisinternal
UNION ALL SELECT 'policy', polname, polrelid::regclass::text, '' FROM pg_policy
UNION ALL SELECT 'publication', pubname, schemaname, tablename FROM pg_publication_tables
UNION ALL SELECT 'statistics', stxname, stxkeys::text, '' FROM pg_statistic_ext
UNION ALL SELECT 'comment', obj_description(oid), '', '' FROM pg_class WHERE relname = 'orders'
"""


@dataclass(frozen=True)
class Shop:
    """A database, and what runs do to it from a Pod that has a container for dumps."""

    database: Postgres
    attempt: Attempt
    before: dict[str, Any]

    @property
    def claim(self) -> Path:
        """Return the folder that stands for the claim."""
        return self.attempt.folder / "claim"

    def run(self, number: int = 1, segment: str = "Migrate", **more: Any) -> dict[str, Any]:
        """Carry out one attempt and return its answer."""
        return self.start(number, segment, **more).finish().result

    def start(self, number: int = 1, segment: str = "Migrate", **more: Any) -> RunnerProcess:
        """Start one attempt."""
        spec = (*self.attempt.spec, *more.pop("spec", ()))
        order = (("number", number), *more.pop("order", ()))
        told = replace(
            self.attempt, run=self.id(more.pop("of", number)), segment=segment, spec=spec,
            order=order, **more,
        )  # fmt: skip
        running = told.start()
        if running.dumper is not None and segment in WITHOUT_TOOL:
            running.dumper.kill()  # there is no such container in these Jobs
        return running

    def id(self, number: int) -> str:
        """Return the id of a run."""
        return f"{self.database.dbname}run{number}"

    def expect_as_before(self) -> None:
        """Check every row and every definition."""
        now = content(self.database)
        new = [each for each in now["shape"] if each not in self.before["shape"]]
        gone = [each for each in self.before["shape"] if each not in now["shape"]]
        assert new == [], new
        assert gone == [], gone
        for name in {*now["rows"], *self.before["rows"]}:
            assert now["rows"].get(name) == self.before["rows"].get(name), name


def opened(database: Postgres, folder: Path, checkpoint: dict[str, Any], **more: Any) -> Shop:
    """Return a shop that asks for a checkpoint with a dump."""
    database.run(RICH)
    login = migrator(database)
    spec = (("checkpoint", {"dump": DUMP} | checkpoint), *more.pop("spec", ()))
    programs = BINARIES[database.version]
    attempt = Attempt(folder, login.url, tuple(DAMAGED.items()), spec=spec, dumper=programs, **more)
    return Shop(database, attempt, content(database))


def files(texts: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Return files as an attempt takes them."""
    return tuple(texts.items())


@contextmanager
def ordering(database: Postgres) -> Iterator[list[str]]:
    """Let an application order all the while; give what it was told: "done", or an SQLSTATE."""
    app = application(database, "orders", "keyless")
    database.run(f"GRANT USAGE ON SEQUENCE orders_id_seq TO {app.user}")
    told: list[str] = []
    over = threading.Event()

    def work() -> None:
        with app.connect() as session:
            while not over.is_set():
                try:
                    session.execute("INSERT INTO orders DEFAULT VALUES")
                    told.append("done")
                except psycopg.Error as error:
                    told.append(error.sqlstate or "lost")
                over.wait(0.005)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    until(lambda: "done" in told)
    try:
        yield told
    finally:
        over.set()
        thread.join()
