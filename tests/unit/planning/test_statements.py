"""One file: its statements with their lines, its directives, its refusals."""

from contextlib import suppress

import pytest
from hypothesis import given, strategies as st

from whimbrel.model.errors import RefusedError
from whimbrel.model.steps import (
    EnumHasValue,
    IndexesAreRebuilt,
    IndexIsGone,
    IndexIsValid,
    PartitionIsDetached,
    Repeatable,
)
from whimbrel.planning.dialects.postgresql import quote_identifier
from whimbrel.planning.statements import read_sql
from whimbrel.planning.syntax import comments, parse_sql

ALONE = "-- whimbrel: no-transaction\n"


def read(text):
    return read_sql("f.sql", text, "whimbrel")


def test_statements_know_the_line_of_their_first_token():
    text = (
        "-- é comes first\n\nCREATE TABLE a (id int);\n/* two\nlines */ SELECT 'é;\n;',\n 2 ;;\n"
        "DO $$ BEGIN; END $$; SELECT 3 -- end\n"
    )
    found = [(each.line, each.text) for each in read(text).statements()]
    assert found == [
        (3, "CREATE TABLE a (id int)"),
        (5, "SELECT 'é;\n;',\n 2"),
        (8, "DO $$ BEGIN; END $$"),
        (8, "SELECT 3 -- end"),
    ]


def test_body_of_a_function_is_one_statement():
    text = "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END;"
    assert len(read(text).statements()) == 1


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("CREATE INDEX CONCURRENTLY i ON s.t (a)", IndexIsValid("s", "i")),
        ("CREATE INDEX CONCURRENTLY \"I\"\"i\" ON t (a)", IndexIsValid("", 'I"i')),
        ("DROP INDEX CONCURRENTLY IF EXISTS s.i", IndexIsGone("s", "i")),
        ("ALTER TABLE p DETACH PARTITION s.c CONCURRENTLY", PartitionIsDetached("s", "c", "", "p")),
        ("ALTER TABLE s.p DETACH PARTITION c FINALIZE", PartitionIsDetached("", "c", "s", "p")),
        ("ALTER TYPE s.mood ADD VALUE 'fine'", EnumHasValue("s", "mood", "fine")),
        ("VACUUM ANALYZE t", Repeatable()),
        ("REINDEX INDEX CONCURRENTLY i", IndexesAreRebuilt("", "i")),
        ("REINDEX TABLE CONCURRENTLY s.t", IndexesAreRebuilt("s", "t")),
        ("REINDEX SCHEMA CONCURRENTLY s", Repeatable()),
        ("-- whimbrel: repeatable\nCALL p()", Repeatable()),
        ("-- whimbrel: repeatable\nALTER SYSTEM SET work_mem = '1MB'", Repeatable()),
    ],
)  # fmt: skip
def test_effects_that_can_be_looked_up(text, effect):
    assert read(ALONE + text).alone == effect


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("BEGIN", "TransactionControl"),
        ("SELECT 1; COMMIT", "TransactionControl"),
        ("SAVEPOINT a", "TransactionControl"),
        ("PREPARE TRANSACTION 'x'", "TransactionControl"),
        ("COPY t FROM STDIN", "CopyNotPossible"),
        ("COPY t TO STDOUT", "CopyNotPossible"),
        ("COPY t FROM STDIN;\n1\t2\n\\.\n", "SyntaxError"),
        ("\\i other.sql", "SyntaxError"),
        ("SELECT 'open", "SyntaxError"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "NeedsNoTransaction"),
        ("DROP INDEX CONCURRENTLY i", "NeedsNoTransaction"),
        ("REINDEX (CONCURRENTLY) TABLE t", "NeedsNoTransaction"),
        ("REINDEX DATABASE x", "NeedsNoTransaction"),
        ("ALTER TABLE p DETACH PARTITION c CONCURRENTLY", "NeedsNoTransaction"),
        ("VACUUM", "NeedsNoTransaction"),
        ("CREATE DATABASE x", "NeedsNoTransaction"),
        ("DROP DATABASE x", "NeedsNoTransaction"),
        ("ALTER DATABASE x SET TABLESPACE y", "NeedsNoTransaction"),
        ("CREATE TABLESPACE x LOCATION '/x'", "NeedsNoTransaction"),
        ("ALTER SYSTEM SET work_mem = '1MB'", "NeedsNoTransaction"),
        ("DISCARD ALL", "NeedsNoTransaction"),
        (ALONE, "NotOneStatement"),
        (ALONE + "VACUUM a; VACUUM b", "NotOneStatement"),
        (ALONE + "UPDATE t SET a = 1", "EffectUnknown"),
        (ALONE + "CREATE INDEX CONCURRENTLY ON t (a)", "EffectUnknown"),
        (ALONE + "CREATE DATABASE x", "EffectUnknown"),
        ("-- whimbrel: repeatable\nSELECT 1", "BadDirective"),
        ("-- whimbrel: no-transactions\nSELECT 1", "BadDirective"),
    ],
)
def test_refusals(text, reason):
    with pytest.raises(RefusedError, match=r"^f\.sql") as refused:
        read(text)
    assert refused.value.reason == reason
    assert "\n" not in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TYPE mood ADD VALUE 'x'",
        "REINDEX TABLE t",
        "REINDEX (CONCURRENTLY FALSE) TABLE t",
        "ANALYZE t",
        "ALTER TABLE p DETACH PARTITION c",
        "DROP INDEX i",
        "COPY t FROM '/data.csv'",
        "SELECT '-- whimbrel: no-transaction'",
        "-- whimbrels are birds\nSELECT 1",
    ],
)
def test_what_runs_in_a_transaction(text):
    assert read(text).alone is None


def test_syntax_error_names_the_line_behind_wide_characters():
    with pytest.raises(
        RefusedError, match=r'^f.sql, line 3: syntax error at or near "x"'
    ) as refused:
        read("SELECT 'é\nü';\nSELECT éé frm x;")
    assert refused.value.reason == "SyntaxError"


def test_psql_commands_are_explained():
    with pytest.raises(RefusedError, match="psql commands"):
        read("SELECT 1;\n\\i other.sql")
    with pytest.raises(RefusedError, match="use INSERT instead"):
        read("COPY t FROM stdin;\n1\n\\.")


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM whimbrel.run",
        'DELETE FROM "whimbrel".run',
        "TRUNCATE t, WHIMBREL.run",
        "WITH x AS (DELETE FROM whimbrel.run RETURNING 1) SELECT * FROM x",
        "DROP TABLE whimbrel.run",
        "DROP FUNCTION whimbrel.f(int)",
        "DROP TYPE whimbrel.t",
        "DROP SCHEMA IF EXISTS a, whimbrel CASCADE",
        "CREATE SCHEMA whimbrel",
        "ALTER SCHEMA whimbrel RENAME TO x",
        "ALTER SCHEMA whimbrel OWNER TO x",
        "COMMENT ON SCHEMA whimbrel IS 'x'",
        "COMMENT ON TABLE whimbrel.run IS 'x'",
        "GRANT ALL ON SCHEMA whimbrel TO x",
        "GRANT SELECT ON ALL TABLES IN SCHEMA whimbrel TO x",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA whimbrel GRANT SELECT ON TABLES TO x",
        "ALTER TABLE t SET SCHEMA whimbrel",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES whimbrel.run",
        "SET search_path = public, whimbrel",
        "SELECT whimbrel.f()",
        "SELECT 1::whimbrel.t",
        "CREATE FUNCTION whimbrel.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ],
)
def test_ledger_is_not_named(text):
    with pytest.raises(RefusedError) as refused:
        read(text)
    assert refused.value.reason == "LedgerNamed"


@pytest.mark.parametrize(
    "text",
    [
        "CREATE TABLE whimbrel (id int)",
        "SELECT whimbrel.id FROM whimbrel",
        "INSERT INTO t VALUES ('whimbrel.run')",
        "DROP TABLE whimbrel",
        "COMMENT ON TABLE whimbrel IS 'x'",
    ],
)
def test_other_things_may_be_called_like_the_ledger(text):
    assert read(text).alone is None


def test_long_chains_of_operators_are_read():
    # 50 of them were too deep for protobuf's default limit.
    text = "SELECT " + " || ".join(["'a'"] * 3000)
    assert len(read(text).statements()) == 1


def test_many_rows_are_read():
    rows = ",".join(f"({n}, 'row {n}')" for n in range(20_000))
    (only,) = parse_sql("f.sql", f"INSERT INTO t VALUES {rows}")
    assert only.touches == ()


STATEMENTS = st.sampled_from(
    [
        "SELECT 1", "SELECT 'a;b', $$;$$", 'SELECT 1 AS "x;y"', "CREATE TABLE t (é int)",
        "DO $x$ BEGIN PERFORM 1; END $x$", "SELECT E'\\';'", "INSERT INTO t VALUES (1, 'ü\n;')",
    ]
)  # fmt: skip
BETWEEN = st.sampled_from([";", ";\n", " ; ; \n", ";\n-- a;b é\n", ";/* c;d\n/* nested */ */"])


@given(st.lists(st.tuples(STATEMENTS, BETWEEN), min_size=1, max_size=8))
def test_splitting_never_loses_text(parts):
    text = "".join(statement + end for statement, end in parts)
    found = parse_sql("f.sql", text)
    assert [each.statement.text for each in found] == [statement for statement, _ in parts]
    position = 0
    for each in found:
        position = text.index(each.statement.text, position)
        assert each.statement.line == text[:position].count("\n") + 1
        position += len(each.statement.text)
    rest = text
    for word in [*(each.statement.text for each in found), *comments(text)]:
        rest = rest.replace(word, "", 1)
    assert set(rest) <= set(" ;\n")


IDENTIFIERS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63
).filter(lambda name: len(name.encode()) <= 63)


@given(IDENTIFIERS, IDENTIFIERS)
def test_any_legal_identifier_round_trips(table, column):
    text = f"ALTER TABLE {quote_identifier(table)} DROP COLUMN {quote_identifier(column)}"
    ((dropped,),) = (each.touches for each in parse_sql("f.sql", text))
    assert (dropped.object.name, dropped.object.part) == (table, column)


@given(st.text(max_size=60).filter(lambda text: "\0" not in text))
def test_any_text_is_read_or_refused(text):
    with suppress(RefusedError):
        assert all(each.line >= 1 for each in read(text).statements())


def test_a_chain_of_operators_that_would_end_the_process_is_refused():
    with pytest.raises(RefusedError, match="line 2: more than 10,000 operators"):
        read_sql("001_a.up.sql", "SELECT 1,\n" + "+".join(["1"] * 100_000), "whimbrel")
    numbers = ", ".join(["(-1)"] * 30_000)
    assert read_sql("001_a.up.sql", f"INSERT INTO t VALUES {numbers}", "whimbrel").parsed
