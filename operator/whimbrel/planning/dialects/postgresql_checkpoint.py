"""Taking a checkpoint on PostgreSQL, as text: names, what can be covered, copy, checksum."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name

# The capture trigger fires before every other AFTER trigger of its table, also before those of
# foreign keys ("RI_"). What a later one writes to the same row is then captured later too; under a
# name from the end of the alphabet the journal would hold the two writes the wrong way round.
CAPTURE_TRIGGERS: Final = "00_whimbrel_"
# Owner of the capture function where a DBA prepared one. The names of ours begin so.
PREPARED_ROLE: Final = "whimbrel_capture"

# $1 oids. Facts that decide whether a table can be covered.
READ_TABLE_FACTS: Final = """
SELECT n.nspname::text, c.relname::text, c.oid::int8, c.relkind::text, c.relpersistence::text,
    c.relispartition OR EXISTS (SELECT FROM pg_catalog.pg_inherits h
        WHERE h.inhrelid = c.oid OR h.inhparent = c.oid),
    pg_catalog.pg_get_userbyid(c.relowner)::text,
    pg_catalog.pg_has_role(current_user, c.relowner, 'USAGE'),
    c.relrowsecurity AND c.relforcerowsecurity AND NOT (SELECT r.rolsuper OR r.rolbypassrls
        FROM pg_catalog.pg_roles r WHERE r.rolname = current_user),
    ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(x.indkey[0:x.indnkeyatts - 1])
        WITH ORDINALITY AS k (attnum, place) JOIN pg_catalog.pg_attribute a
        ON a.attrelid = c.oid AND a.attnum = k.attnum ORDER BY k.place)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN LATERAL (
    SELECT i.indkey, i.indnkeyatts FROM pg_catalog.pg_index i
    WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
        AND NOT i.indisexclusion AND i.indpred IS NULL AND i.indexprs IS NULL
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid
            AND NOT a.attnotnull AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))
    ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1) x ON true
WHERE c.oid = ANY ($1::oid[]) ORDER BY 1, 2
"""
# A restore works in temporary tables.
MAY_MAKE_TEMPORARY: Final = (
    "SELECT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY'),"
    " pg_catalog.quote_ident(pg_catalog.current_database()), pg_catalog.quote_ident(current_user)"
)
READ_PUBLICATIONS_OF_ALL: Final = (
    "SELECT p.pubname::text FROM pg_catalog.pg_publication p WHERE p.puballtables ORDER BY 1"
)
# What there is of a checkpoint ($2, its short name) in the ledger's schema ($1) and on tables.
LEFT_OF: Final = (
    "SELECT $1::text || '.' || c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
    " ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relkind <> 'i'"
    " AND pg_catalog.strpos(c.relname, $2) > 0"
    " UNION ALL SELECT p.oid::regprocedure::text FROM pg_catalog.pg_proc p"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    " WHERE n.nspname = $1::text AND pg_catalog.strpos(p.proname, $2) > 0"
    " UNION ALL SELECT g.tgname || ' on ' || g.tgrelid::regclass FROM pg_catalog.pg_trigger g"
    " WHERE pg_catalog.strpos(g.tgname, $2) > 0 ORDER BY 1"
)
# Types in the rows of tables ($1), however deep.
USED_TYPES: Final = """
WITH RECURSIVE used (id) AS (
    SELECT a.atttypid FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT next.id FROM used JOIN pg_catalog.pg_type t ON t.oid = used.id
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typelem <> 0
        UNION ALL SELECT t.typbasetype WHERE t.typbasetype <> 0
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c'
            AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS next (id)
)"""
# Those whose owners could make the server run code of theirs when a row becomes json (CREATE CAST):
# schema, name, owner, whether there is such a cast.
READ_TYPES: Final = f"""{USED_TYPES}
SELECT DISTINCT n.nspname::text, t.typname::text, CASE WHEN r.rolsuper THEN NULL
    ELSE r.rolname::text END, EXISTS (SELECT FROM pg_catalog.pg_cast k WHERE k.castsource = t.oid
        AND k.casttarget = 'json'::regtype)
FROM used JOIN pg_catalog.pg_type t ON t.oid = used.id
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
JOIN pg_catalog.pg_roles r ON r.oid = t.typowner
WHERE n.nspname <> 'pg_catalog' ORDER BY 1, 2
"""
# What a foreign key changes in other tables when rows of these ($1) are deleted or change.
READ_CASCADES: Final = (
    "SELECT DISTINCT k.conrelid::int8 FROM pg_catalog.pg_constraint k WHERE k.contype = 'f'"
    " AND k.confrelid = ANY ($1::oid[])"
    " AND (k.confdeltype IN ('c', 'n', 'd') OR k.confupdtype IN ('c', 'n', 'd'))"
)
# Functions that triggers of tables ($1) run, and their rules: oid, name, language, body.
_FUNCTION: Final = (
    "SELECT DISTINCT p.oid::int8, n.nspname::text, p.proname::text, l.lanname::text,"
    " CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_catalog.pg_get_functiondef(p.oid) END"
    " FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
    " JOIN pg_catalog.pg_language l ON l.oid = p.prolang"
)
READ_TRIGGER_FUNCTIONS: Final = (
    f"{_FUNCTION} JOIN pg_catalog.pg_trigger g ON g.tgfoid = p.oid"
    f" WHERE g.tgrelid = ANY ($1::oid[]) AND NOT g.tgisinternal"
    f" AND NOT pg_catalog.starts_with(g.tgname, '{CAPTURE_TRIGGERS}')"
    " UNION ALL SELECT -r.oid::int8, n.nspname::text, r.rulename::text, 'sql',"
    " pg_catalog.pg_get_ruledef(r.oid) FROM pg_catalog.pg_rewrite r"
    " JOIN pg_catalog.pg_class c ON c.oid = r.ev_class"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE r.ev_class = ANY ($1::oid[]) AND r.ev_type <> '1' ORDER BY 2, 3, 1"
)
# Functions of users by their names ($1), which stand in a body without or with a schema.
READ_FUNCTIONS: Final = (
    f"{_FUNCTION} WHERE p.proname = ANY ($1::name[]) AND p.prokind IN ('f', 'p')"
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 2, 3, 1"
)
# Tables that a name in a body may mean ($1 schemas or "", $2 names): without a schema the search
# path of whoever writes decides, so every one of that name counts.
READ_TABLES_NAMED: Final = (
    "SELECT DISTINCT c.oid::int8 FROM ROWS FROM (pg_catalog.unnest($1::text[]),"
    " pg_catalog.unnest($2::text[])) AS w (schema, name)"
    " JOIN pg_catalog.pg_class c ON c.relname = w.name AND c.relkind IN ('r', 'p')"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " AND (w.schema = '' OR n.nspname = w.schema)"
    " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> $3"
)
FIND_RELATION: Final = "SELECT pg_catalog.to_regclass($1)::oid::int8"

BEGIN_COPY: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"
EXPORT_SNAPSHOT: Final = (
    "SELECT pg_catalog.pg_export_snapshot(), pg_catalog.pg_current_snapshot()::text"
)
# What the text of a value looks like must be the same on both sides and at every later time.
# Where a policy would hide rows the server refuses instead.
PIN_COPY: Final = (
    "SELECT pg_catalog.set_config(name, value, true) FROM (VALUES ('row_security', 'off'),"
    " ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'), ('timezone', 'UTC'),"
    " ('bytea_output', 'hex'), ('extra_float_digits', '3')) AS s (name, value)"
)
# Columns of a table ($1, its name): name, whether it is generated, whether its NOT NULL is not
# validated, and what is hashed for a checksum. No cast: a user's own (CREATE CAST) would run with
# our rights, while `format` and `send` are what a type itself brings. The server's hash is the same
# for values that are equal: not for numbers of another scale, nor under a collation of its own.
READ_COPIED: Final = """
SELECT a.attname::text, a.attgenerated <> '', COALESCE((SELECT NOT k.convalidated
        FROM pg_catalog.pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
        AND k.conkey = ARRAY[a.attnum]), false),
    CASE WHEN a.atttypid = 'numeric'::regtype THEN 'pg_catalog.numeric_send({})'
        WHEN t.typtype = 'e' OR a.atttypid = ANY (ARRAY['int2', 'int4', 'int8', 'bool', 'oid',
            'text', 'varchar', 'uuid', 'date', 'timestamp', 'timestamptz', 'time', 'bytea',
            'inet', 'jsonb', 'float4', 'float8']::regtype[])
            AND COALESCE((SELECT k.collisdeterministic FROM pg_catalog.pg_collation k
                WHERE k.oid = a.attcollation), true) THEN '{}'
        ELSE 'pg_catalog.format(''%L'', {})' END
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
"""
TABLE_BYTES: Final = "SELECT pg_catalog.pg_table_size($1::regclass)"


@dataclass(frozen=True)
class Column:
    """A column that is copied.

    Attributes:
        is_generated: The server computes it.
        may_hold_nulls: NOT NULL holds for new rows only.
        hashed: What is hashed of a value, with {} for the column.
    """

    name: str
    is_generated: bool
    may_hold_nulls: bool
    hashed: str


def see_snapshot(exported: str) -> str:
    """Return the statement after which a transaction sees what another one sees."""
    return f"SET TRANSACTION SNAPSHOT {quote_literal(exported)}"


def copy_table(
    clone: tuple[str, str], table: tuple[str, str], columns: Sequence[Column]
) -> tuple[str, ...]:
    """Return the statements that make a copy with all rows: no index, no default.

    CREATE TABLE AS is the faster one; but it makes plain columns of generated ones.
    """
    copied = [quote_identifier(each.name) for each in columns if not each.is_generated]
    rows = f"SELECT {', '.join(copied)} FROM ONLY {quote_name(*table)}"
    if len(copied) == len(columns):
        return (f"CREATE TABLE {quote_name(*clone)} AS {rows}",)
    return (
        f"CREATE TABLE {quote_name(*clone)} (LIKE {quote_name(*table)} INCLUDING GENERATED"
        " INCLUDING STORAGE INCLUDING COMPRESSION)",
        *_allow_nulls(clone, columns),
        f"INSERT INTO {quote_name(*clone)} ({', '.join(copied)}) {rows}",
    )


def _allow_nulls(clone: tuple[str, str], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the statements for columns whose rows may break their NOT NULL."""
    return tuple(
        f"ALTER TABLE {quote_name(*clone)} ALTER {quote_identifier(each.name)} DROP NOT NULL"
        for each in columns
        if each.may_hold_nulls
    )


def checksum(table: tuple[str, str], columns: Sequence[Column]) -> str:
    """Return the question for the number of rows and a checksum, whatever order they have."""
    values = ", ".join(
        each.hashed.replace("{}", quote_identifier(each.name))
        for each in columns
        if not each.is_generated
    )
    row = f"pg_catalog.hash_record_extended(ROW({values}), 0)"
    return (
        f"SELECT pg_catalog.count(*), COALESCE(pg_catalog.sum({row}), 0)::text"
        f" FROM ONLY {quote_name(*table)}"
    )


@dataclass(frozen=True)
class Names:
    """Names of the objects of one checkpoint; all but the triggers are in the ledger's schema.

    Attributes:
        schema: The ledger's.
        short: What tells this checkpoint from others.
    """

    schema: str
    short: str

    @property
    def journal(self) -> str:
        """Return the quoted name of the journal."""
        return quote_name(self.schema, journal_name(self.short))

    @property
    def function(self) -> str:
        """Return the quoted name of the capture function, with its parentheses."""
        return quote_name(self.schema, f"capture_{self.short}") + "()"

    @property
    def truncate_function(self) -> str:
        """Return the quoted name of the function that refuses TRUNCATE, with its parentheses."""
        return quote_name(self.schema, f"refuse_truncate_{self.short}") + "()"

    @property
    def triggers(self) -> list[str]:
        """Return the names of the triggers of a covered table: capture, TRUNCATE."""
        return [f"{CAPTURE_TRIGGERS}{self.short}", f"{CAPTURE_TRIGGERS}truncate_{self.short}"]


def journal_name(short: str) -> str:
    """Return the name of a checkpoint's journal."""
    return f"journal_{short}"


def clone_name(short: str, number: int) -> str:
    """Return the name of the copy of a covered table."""
    return f"clone_{short}_{number}"


def kept_name(short: str, number: int) -> str:
    """Return the name that a failed table gets when the clone takes its place."""
    return f"kept_{short}_{number}"
