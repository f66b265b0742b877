"""PostgreSQL's quoting and what we tell of other people's queries."""

import psycopg.sql
import pytest
from hypothesis import given, strategies

from whimbrel.model.errors import SpecError
from whimbrel.planning.dialects.postgresql import (
    first_words,
    ledger_grants,
    quote_identifier,
    quote_literal,
    quote_name,
)

NAMES = strategies.text(min_size=1, max_size=15).filter(lambda text: "\0" not in text)


@given(NAMES.filter(lambda name: name.isprintable()))
def test_identifiers_are_quoted_as_libpq_quotes_them(name):
    assert quote_identifier(name) == psycopg.sql.Identifier(name).as_string(None)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("a\0b", id="NUL"),
        pytest.param("a" * 64, id="64 bytes: the server would cut it"),
        pytest.param("ü" * 32, id="64 bytes in 32 characters"),
    ],
)
def test_what_is_no_identifier_is_refused(name):
    with pytest.raises(SpecError, match="1 to 63 bytes"):
        quote_identifier(name)


def test_names_and_constants():
    assert quote_identifier("a" * 63) == '"' + "a" * 63 + '"'
    assert quote_name('a"; drop table x; --', "b.c") == '"a""; drop table x; --"."b.c"'
    assert quote_literal("it's") == "'it''s'"
    assert quote_literal("a\\'b") == "E'a\\\\''b'"
    with pytest.raises(ValueError, match="NUL"):
        quote_literal("a\0")


def test_statements_for_a_dba():
    assert ledger_grants("whimbrel", "shop", "shop", exists=False) == (
        'CREATE SCHEMA "whimbrel" AUTHORIZATION "shop";',
    )
    assert ledger_grants("whimbrel", "shop", "shop", exists=True) == (
        'GRANT USAGE, CREATE ON SCHEMA "whimbrel" TO "shop";',
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "whimbrel" TO "shop";',
    )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("select * from users where mail = 'ann@shop'", "select * from users where mail"),
        ("UPDATE t SET n=17", "UPDATE t SET n="),
        ('ALTER TABLE "users" ADD x', "ALTER TABLE"),
        ("select $$secret$$", "select"),
        ("begin -- secret", "begin"),
        ("select /* secret */ 1", "select"),
        ("vacuum  (full)\n a b c d e f", "vacuum (full) a b c d"),
        ("<insufficient privilege>", ""),
        ("", ""),
    ],
)
def test_no_value_of_a_query_is_told(query, told):
    assert first_words(query) == told
