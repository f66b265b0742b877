"""The catalogue as it is read from real servers."""

import pytest

from whimbrel.model.steps import CatalogObject
from whimbrel.runner.catalog import added, fingerprint, read_catalog, read_identities
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.urls import parse_target


@pytest.fixture
def session(any_database):
    with open_session(parse_target(any_database.url), Manners("test", 1.0)) as opened:
        yield opened


def seen(session) -> set[str]:
    return {str(each) for each in read_catalog(session, "whimbrel")}


def test_everything_is_seen_and_nothing_of_ours(session):
    session.execute('CREATE SCHEMA "odd. ""name"')
    session.execute("CREATE SCHEMA whimbrel CREATE TABLE hidden (id int)")
    session.execute("CREATE TABLE t (id int PRIMARY KEY, n numeric CHECK (n > 0))")
    session.execute("CREATE TABLE parts (id int) PARTITION BY RANGE (id)")
    session.execute("CREATE VIEW v AS SELECT * FROM t")
    session.execute("CREATE MATERIALIZED VIEW m AS SELECT 1 AS one")
    session.execute("CREATE SEQUENCE s")
    session.execute("CREATE TYPE mood AS ENUM ('fine')")
    session.execute("CREATE TYPE pair AS (a int, b int)")
    session.execute("CREATE FUNCTION f(a int, b text) RETURNS int LANGUAGE sql AS 'select 1'")
    session.execute("CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'begin end'")
    session.execute("CREATE TRIGGER tr AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION g()")
    assert seen(session) - {"extension plpgsql"} == {
        "schema public",
        'schema odd. "name',
        "table public.t",
        "column public.t (id)",
        "column public.t (n)",
        "constraint public.t (t_pkey)",
        "constraint public.t (t_n_check)",
        "index public.t_pkey",
        "table public.parts",
        "column public.parts (id)",
        "view public.v",
        "materialized view public.m",
        "sequence public.s",
        "type public.mood",
        "type public.pair",
        "function public.f (a integer, b text)",
        "function public.g",
        "trigger public.t (tr)",
    }


def test_added_looks_through_renames_and_sees_what_was_made_anew(session):
    session.execute("CREATE TABLE kept (id int, old text)")
    session.execute("CREATE TABLE anew (id int)")
    before = read_identities(session, "whimbrel")
    session.execute("ALTER TABLE kept RENAME TO moved")
    session.execute("ALTER TABLE moved RENAME COLUMN old TO young")
    session.execute("ALTER TABLE moved ADD COLUMN more int")
    session.execute("DROP TABLE anew")
    session.execute("CREATE TABLE anew (id int)")
    assert added(before, read_identities(session, "whimbrel")) == {
        CatalogObject("column", "public", "moved", "more"),
        CatalogObject("table", "public", "anew"),
        CatalogObject("column", "public", "anew", "id"),
    }


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE t ADD COLUMN b int",
        "ALTER TABLE t ALTER COLUMN a TYPE bigint",
        "ALTER TABLE t ALTER COLUMN a SET NOT NULL",
        "ALTER TABLE t ALTER COLUMN a SET DEFAULT 7",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)",
        "CREATE INDEX i ON t (a)",
        "GRANT SELECT ON t TO PUBLIC",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
        "CREATE POLICY p ON t USING (a > 0)",
        "CREATE RULE r AS ON DELETE TO t DO INSTEAD NOTHING",
        "ALTER TABLE t SET (fillfactor = 50)",
        "ALTER TABLE t RENAME COLUMN a TO z",
        "CREATE TABLE u ()",
        "COMMENT ON COLUMN t.a IS 'x'",
        "CREATE SEQUENCE s",
        "CREATE SCHEMA more",
        "GRANT USAGE ON SCHEMA app TO PUBLIC",
        "CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'select 1'",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 2'",
        "REVOKE ALL ON FUNCTION f() FROM PUBLIC",
        "CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int)",
        "CREATE TYPE other AS ENUM ('a')",
        "ALTER TYPE mood ADD VALUE 'b'",
        "ALTER TYPE mood RENAME VALUE 'a' TO 'b'",
        "CREATE DOMAIN d AS int",
        "ALTER DOMAIN small ADD CHECK (VALUE < 9)",
        "ALTER DOMAIN small SET DEFAULT 3",
        "CREATE TYPE pair AS (a int)",
        "CREATE OPERATOR === (FUNCTION = int4eq, LEFTARG = int, RIGHTARG = int)",
        "CREATE STATISTICS st ON a, c FROM t",
        "CREATE PUBLICATION pub FOR TABLE t",
        "ALTER TABLE t INHERIT parent",
        "ALTER TABLE t ALTER COLUMN a SET STATISTICS 500",
        "ALTER TABLE t ALTER COLUMN a SET (n_distinct = 5)",
        "ALTER TABLE t ALTER COLUMN c SET STORAGE PLAIN",
        "CREATE OR REPLACE AGGREGATE sums(int) (SFUNC = int4mi, STYPE = int)",
    ],
)
def test_fingerprint_sees(database, change):
    with open_session(parse_target(database.url), Manners("test", 1.0)) as session:
        session.execute("CREATE TABLE t (a int, c text)")
        session.execute("CREATE TABLE parent (a int, c text)")
        session.execute("CREATE AGGREGATE sums(int) (SFUNC = int4pl, STYPE = int)")
        session.execute("CREATE SCHEMA whimbrel CREATE TABLE ours (a int)")
        session.execute("CREATE SCHEMA app")
        session.execute("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select 1'")
        session.execute("CREATE TYPE mood AS ENUM ('a')")
        session.execute("CREATE DOMAIN small AS int")
        before = fingerprint(session, "whimbrel")
        session.execute("ALTER TABLE whimbrel.ours ADD b int")
        session.execute("INSERT INTO t VALUES (1)")
        session.execute("CREATE TEMP TABLE passing (a int)")
        session.execute("COMMENT ON TABLE passing IS 'x'")
        assert fingerprint(session, "whimbrel") == before
        session.execute(change)
        assert fingerprint(session, "whimbrel") != before


def test_fingerprint_is_the_same_after_there_and_back(session):
    session.execute("CREATE TABLE t (a int PRIMARY KEY, b text DEFAULT 'x')")
    before = fingerprint(session, "whimbrel")
    session.execute("ALTER TABLE t ADD COLUMN c int")
    session.execute("CREATE TYPE mood AS ENUM ('a')")
    session.execute("ALTER TABLE t DROP COLUMN c")
    session.execute("DROP TYPE mood")
    assert fingerprint(session, "whimbrel") == before


def test_big_catalogues_are_read_fast(database):
    with open_session(parse_target(database.url), Manners("test", 1.0)) as session:
        session.execute(
            "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE format('CREATE TABLE t%s "
            "(a int, b int, c int, d int, e int)', i); END LOOP; END $$"
        )
        assert len(read_catalog(session, "whimbrel")) >= 6000
        assert len(fingerprint(session, "whimbrel")) == len("12345678/16:") + 64
