"""What real servers quote of a row, and what is left of it."""

import psycopg
import pytest

from tests.postgres import Postgres
from tests.quoted_values import MARKER
from whimbrel.runner.server_errors import read_error

QUOTING = [
    "SELECT 'ann 4711'::int",
    "SELECT 'ann 4711'::boolean",
    "SELECT 'ann 4711'::uuid",
    "SELECT 'ann 4711'::inet",
    "SELECT 'ann 4711'::json",
    "SELECT '{ann 4711'::text[]",
    "SELECT '(ann 4711'::held",
    "SELECT '[4711'::int4range",
    "SELECT 'ann 4711'::mood",
    "SELECT '99999999994711'::int",
    "SELECT '4711e9999'::float8",
    "SELECT 'ann 4711'::date",
    "SELECT '4711-99-99'::date",
    "SELECT '4711 fortnights'::interval",
    "SELECT to_date('4711', 'YY-MM-DD'), to_timestamp('x4711', 'MM')",
    "SELECT make_date(4711, 99, 1)",
    "SELECT now() AT TIME ZONE 'Ann/4711'",
    "SELECT date_trunc('4711', now())",
    "SELECT decode('ann-4711', 'base64')",
    "SELECT 'ann 4711'::tsquery",
    "SELECT 'a:4711:b:'::tsvector",
    "SELECT 'ann 4711'::bit(8)",
    "SELECT setval('ids', 4711)",
    "DO $$ BEGIN EXECUTE format('SELECT %L %L', 'a', '4711'); END $$",
    "DO $$ BEGIN EXECUTE 'SELECT ''4711'; END $$",
]


def test_no_value_is_in_the_words_of_postgresql(any_database: Postgres):
    with any_database.connect() as session:
        session.execute("CREATE TABLE held (email text)")
        session.execute("CREATE TYPE mood AS ENUM ('glad')")
        session.execute("CREATE SEQUENCE ids MAXVALUE 9")
        for statement in QUOTING:
            with pytest.raises(psycopg.Error) as failed:
                session.execute(statement)
            said = read_error(failed.value)
            assert MARKER not in said.message, (statement, failed.value.diag.message_primary)
            assert len(said.message) > len("value …"), said
