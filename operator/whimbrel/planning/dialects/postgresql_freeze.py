"""Stopping the application's writes on PostgreSQL, as text: a trigger on each table, with an end.

It refuses whoever is not the migration. It fires once for a statement, also for one that
changes no row, and under `session_replication_role = replica` too.
"""

from dataclasses import dataclass
from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name
from whimbrel.planning.dialects.postgresql_checkpoint import CAPTURE_TRIGGERS

_NAME: Final = "freeze_"
_PREFIX: Final = f"{CAPTURE_TRIGGERS}{_NAME}"
_TABLES: Final = (
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND n.nspname !~ '^pg_'"
    " AND n.nspname <> 'information_schema' AND n.nspname <> $1::text"
    " AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.objid = c.oid"
    " AND e.deptype = 'e' AND e.classid = 'pg_catalog.pg_class'::regclass)"
)
# Tables ($1: the ledger's schema), but for those of extensions, without the trigger ($2).
NOT_FROZEN: Final = f"""
SELECT n.nspname::text, c.relname::text {_TABLES} AND NOT EXISTS (
    SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND g.tgname = $2::name
    AND g.tgenabled = 'A') ORDER BY 1, 2
"""
# One line for all that must not change meanwhile; tables that were dropped are nobody's writes.
FREEZE_LINES: Final = """
SELECT c.oid::int8, pg_catalog.concat_ws('|', g.oid, g.xmin, g.tgenabled, g.tgtype, p.xmin,
    pg_catalog.md5(g.tgqual::text), pg_catalog.md5(p.prosrc))
FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
JOIN pg_catalog.pg_proc p ON p.oid = g.tgfoid WHERE g.tgname = $1::name ORDER BY 1
"""
IS_THERE: Final = "SELECT oid::int8 FROM pg_catalog.pg_class WHERE oid = ANY ($1::oid[])"
# Rows that come from elsewhere fire no such trigger.
IS_SUBSCRIBED: Final = "SELECT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel)"
FROZEN_TABLES: Final = f"""
SELECT n.nspname::text, c.relname::text, g.tgname::text FROM pg_catalog.pg_trigger g
JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE pg_catalog.starts_with(g.tgname, '{_PREFIX}') AND g.tgparentid = 0 ORDER BY 1, 2
"""
FREEZE_FUNCTIONS: Final = (
    "SELECT p.proname::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n"
    f" ON n.oid = p.pronamespace WHERE n.nspname = $1::text"
    f" AND pg_catalog.starts_with(p.proname, '{_NAME}')"
)


@dataclass(frozen=True)
class FreezeNames:
    """Names of the objects of one freeze.

    Attributes:
        schema: The ledger's.
        short: What tells this one from others.
    """

    schema: str
    short: str

    @property
    def name(self) -> str:
        """Return the name of the function."""
        return f"{_NAME}{self.short}"

    @property
    def function(self) -> str:
        """Return its quoted name with its schema and parentheses."""
        return quote_name(self.schema, self.name) + "()"

    @property
    def trigger(self) -> str:
        """Return the name of the trigger on each table."""
        return f"{_PREFIX}{self.short}"


def create_freeze(names: FreezeNames, run: str, until: str) -> tuple[str, str]:
    """Return the statements that make the function; nobody else may call it."""
    sentence = quote_literal(
        f"writes are stopped while the Whimbrel run {run} changes this database, at the latest "
        f"until {until}: try again then"
    )
    body = f"""
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'read_only_sql_transaction', MESSAGE = {sentence};
END"""
    return (
        f"CREATE OR REPLACE FUNCTION {names.function} RETURNS trigger LANGUAGE plpgsql"
        f" SET search_path = pg_catalog, pg_temp AS {quote_literal(body)}",
        f"REVOKE ALL ON FUNCTION {names.function} FROM PUBLIC",
    )


def freeze_table(names: FreezeNames, table: tuple[str, str], when: str) -> tuple[str, ...]:
    """Return the statements that stop writes to a table; `when` is a `condition` of capture."""
    target, trigger = quote_name(*table), quote_identifier(names.trigger)
    return (
        f"DROP TRIGGER IF EXISTS {trigger} ON {target}",
        f"CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {target}"
        f" FOR EACH STATEMENT WHEN ({when}) EXECUTE FUNCTION {names.function}",
        f"ALTER TABLE {target} ENABLE ALWAYS TRIGGER {trigger}",
    )


def thaw_table(table: tuple[str, str], trigger: str) -> str:
    """Return the statement that lets a table be written to again."""
    return f"DROP TRIGGER IF EXISTS {quote_identifier(trigger)} ON {quote_name(*table)}"


def drop_function(schema: str, name: str) -> str:
    """Return the statement that drops the function of a freeze."""
    return f"DROP FUNCTION IF EXISTS {quote_name(schema, name)}()"
