"""PostgreSQL's catalogue as text: what is there, what it looks like, what an effect left behind."""

from collections.abc import Sequence
from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_name
from whimbrel.planning.dialects.postgresql_checkpoint import CAPTURE_TRIGGERS

# $1 is the ledger's schema. Schemas that begin with pg_ are reserved (manual, CREATE SCHEMA).
_SCHEMAS: Final = (
    "(SELECT oid, nspname, xmin AS made FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_'"
    " AND nspname <> 'information_schema' AND nspname <> $1::text) s"
)
_RELATION_KIND: Final = (
    "CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'v' THEN 'view'"
    " WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index'"
    " WHEN 'S' THEN 'sequence' ELSE 'foreign table' END"
)
# Those of a checkpoint come and go beside the migrations.
_OF_USERS: Final = (
    f"NOT g.tgisinternal AND NOT pg_catalog.starts_with(g.tgname, '{CAPTURE_TRIGGERS}')"
)
# kind, schema, name, part, oid, attribute number: the last two stay when a name changes.
_OBJECTS: Final = f"""
SELECT 'schema', '', s.nspname::text, '', s.oid, 0, s.made FROM {_SCHEMAS}
UNION ALL
SELECT 'extension', '', e.extname::text, '', e.oid, 0, e.xmin FROM pg_catalog.pg_extension e
UNION ALL
SELECT {_RELATION_KIND}, s.nspname::text, c.relname::text, '', c.oid, 0, c.xmin
FROM pg_catalog.pg_class c JOIN {_SCHEMAS} ON s.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'i', 'I', 'S', 'f')
UNION ALL
SELECT 'column', s.nspname::text, c.relname::text, a.attname::text, c.oid, a.attnum, a.xmin
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
JOIN {_SCHEMAS} ON s.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'function', s.nspname::text, p.proname::text,
pg_catalog.pg_get_function_identity_arguments(p.oid), p.oid, 0, p.xmin
FROM pg_catalog.pg_proc p JOIN {_SCHEMAS} ON s.oid = p.pronamespace
UNION ALL
SELECT 'type', s.nspname::text, t.typname::text, '', t.oid, 0, t.xmin
FROM pg_catalog.pg_type t JOIN {_SCHEMAS} ON s.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
WHERE t.typtype IN ('e', 'd', 'r') OR (t.typtype = 'c' AND c.relkind = 'c')
UNION ALL
SELECT 'trigger', s.nspname::text, c.relname::text, g.tgname::text, g.oid, 0, g.xmin
FROM pg_catalog.pg_trigger g JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid
JOIN {_SCHEMAS} ON s.oid = c.relnamespace WHERE {_OF_USERS}
UNION ALL
SELECT 'constraint', s.nspname::text, c.relname::text, k.conname::text, k.oid, 0, k.xmin
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN {_SCHEMAS} ON s.oid = c.relnamespace WHERE k.contype <> 'n'
"""
_NAMED: Final = f"({_OBJECTS}) AS o (kind, schema_name, name, part, id, number, made)"
READ_OBJECTS: Final = f"SELECT kind, schema_name, name, part, id, number FROM {_NAMED}"
# $2: an open transaction. Rows that it or anybody later wrote; its subtransactions are later too.
READ_NEW_OBJECTS: Final = (
    f"{READ_OBJECTS} WHERE pg_catalog.age(made) <= pg_catalog.age($2::text::xid)"
)

_ACTION: Final = (
    "CASE {} WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'"
    " ELSE '' END"
)
_NAMES: Final = (
    "ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a"
    " WHERE a.attrelid = {} AND a.attnum = ANY ({}))"
)
# The constraint with its columns, what they refer to, what is done on DELETE and on UPDATE. What is
# done to rows of a partitioned table is done to its partitions, and those may be referred to alone.
READ_FOREIGN_KEYS: Final = f"""
SELECT s.nspname::text, c.relname::text, k.conname::text,
    {_NAMES.format("k.conrelid", "k.conkey")},
    n.nspname::text, p.relname::text, {_NAMES.format("k.confrelid", "k.confkey")},
    {_ACTION.format("k.confdeltype")}, {_ACTION.format("k.confupdtype")}
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN {_SCHEMAS} ON s.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT k.confrelid
    UNION SELECT relid::oid FROM pg_catalog.pg_partition_ancestors(k.confrelid)) AS r (id)
JOIN pg_catalog.pg_class p ON p.oid = r.id JOIN pg_catalog.pg_namespace n ON n.oid = p.relnamespace
WHERE k.contype = 'f' ORDER BY 1, 2, 3, 5, 6
"""

_FIRST_OF_USERS: Final = 16384  # FirstNormalObjectId of PostgreSQL's access/transam.h
# Each row is one line of the fingerprint: kind, name, text. An index is told under its table. The
# lines of the kind `order` count only where nothing may have happened at all.
# What an extension brought is known by its version.
_OF_EXTENSION: Final = "(SELECT objid FROM pg_catalog.pg_depend WHERE deptype = 'e')"
_RELATIONS: Final = f"""
WITH w AS (
    SELECT c.*, s.nspname || '.' || COALESCE(t.relname, c.relname) AS label,
        CASE WHEN t.oid IS NULL THEN 'relation' ELSE 'index' END AS kind
    FROM {_SCHEMAS} JOIN pg_catalog.pg_class c ON c.relnamespace = s.oid
    LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = c.oid
    LEFT JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    WHERE c.relkind <> 't'
)"""
# Who may what, however it came to that: no rights on record are the owner's own, and GRANT and
# REVOKE leave them on record, in the order in which they were given.
_SORTED: Final = "(SELECT pg_catalog.array_agg(r ORDER BY r::text) FROM pg_catalog.unnest({}) r)"
_RIGHTS: Final = _SORTED.format(
    "COALESCE(w.relacl, pg_catalog.acldefault("
    "CASE w.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", w.relowner))"
)
READ_SHAPE: Final = f"""{_RELATIONS}
SELECT w.kind, w.label, pg_catalog.concat_ws('|', w.relname, w.relkind, w.relpersistence,
    w.relrowsecurity, w.relforcerowsecurity, w.relreplident, w.reloptions::text,
    pg_catalog.pg_get_userbyid(w.relowner), {_RIGHTS}::text,
    pg_catalog.pg_get_expr(w.relpartbound, w.oid), pg_catalog.pg_get_partkeydef(w.oid),
    (SELECT pg_catalog.array_agg(h.inhparent::regclass::text ORDER BY h.inhseqno)::text
     FROM pg_catalog.pg_inherits h WHERE h.inhrelid = w.oid))
FROM w
UNION ALL
SELECT 'order', w.label, pg_catalog.array_agg(a.attname ORDER BY a.attnum)::text
FROM w JOIN pg_catalog.pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0
    AND NOT a.attisdropped
WHERE w.kind = 'relation' GROUP BY w.label
UNION ALL
SELECT CASE w.kind WHEN 'index' THEN w.kind ELSE 'column' END, w.label,
    pg_catalog.concat_ws('|', w.relname, a.attname,
    pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
    a.attgenerated, a.attcollation::regcollation::text,
    CASE WHEN a.attacl IS NOT NULL THEN {_SORTED.format("a.attacl")}::text END,
    a.attstorage, a.attstattarget, a.attoptions::text,
    pg_catalog.pg_get_expr(d.adbin, d.adrelid))
FROM w JOIN pg_catalog.pg_attribute a ON a.attrelid = w.oid AND a.attnum > 0
    AND NOT a.attisdropped
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', w.label, pg_catalog.concat_ws('|', k.conname, k.contype, k.convalidated,
    pg_catalog.pg_get_constraintdef(k.oid))
FROM w JOIN pg_catalog.pg_constraint k ON k.conrelid = w.oid
UNION ALL
SELECT 'index', w.label, pg_catalog.concat_ws('|', pg_catalog.pg_get_indexdef(i.indexrelid),
    i.indisvalid, i.indisready, i.indisclustered, i.indisreplident)
FROM w JOIN pg_catalog.pg_index i ON i.indrelid = w.oid
UNION ALL
SELECT 'trigger', w.label, pg_catalog.concat_ws('|', pg_catalog.pg_get_triggerdef(g.oid),
    g.tgenabled)
FROM w JOIN pg_catalog.pg_trigger g ON g.tgrelid = w.oid AND {_OF_USERS}
UNION ALL
SELECT 'rule', w.label, pg_catalog.pg_get_ruledef(r.oid)
FROM w JOIN pg_catalog.pg_rewrite r ON r.ev_class = w.oid
UNION ALL
SELECT 'policy', w.label, pg_catalog.concat_ws('|', p.polname, p.polcmd, p.polpermissive,
    p.polroles::text, pg_catalog.pg_get_expr(p.polqual, p.polrelid),
    pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid))
FROM w JOIN pg_catalog.pg_policy p ON p.polrelid = w.oid
UNION ALL
SELECT 'sequence', w.label, pg_catalog.concat_ws('|', q.seqtypid::regtype::text, q.seqstart,
    q.seqincrement, q.seqmin, q.seqmax, q.seqcache, q.seqcycle)
FROM w JOIN pg_catalog.pg_sequence q ON q.seqrelid = w.oid
UNION ALL
SELECT 'schema', s.nspname, pg_catalog.concat_ws('|', pg_catalog.pg_get_userbyid(n.nspowner),
    n.nspacl::text)
FROM {_SCHEMAS} JOIN pg_catalog.pg_namespace n ON n.oid = s.oid
UNION ALL
SELECT 'extension', e.extname, e.extversion FROM pg_catalog.pg_extension e
UNION ALL
SELECT 'function', s.nspname || '.' || p.proname, pg_catalog.concat_ws('|',
    pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid),
    pg_catalog.pg_get_userbyid(p.proowner), p.proacl::text,
    CASE p.prokind WHEN 'a'
    THEN pg_catalog.concat_ws('|', g.aggtransfn::text, g.aggfinalfn::text, g.agginitval)
    ELSE pg_catalog.pg_get_functiondef(p.oid) END)
FROM {_SCHEMAS} JOIN pg_catalog.pg_proc p ON p.pronamespace = s.oid
LEFT JOIN pg_catalog.pg_aggregate g ON g.aggfnoid = p.oid
WHERE p.oid NOT IN {_OF_EXTENSION}
UNION ALL
SELECT 'type', s.nspname || '.' || t.typname, pg_catalog.concat_ws('|', t.typtype,
    pg_catalog.pg_get_userbyid(t.typowner), t.typacl::text, t.typnotnull, t.typdefault,
    pg_catalog.format_type(t.typbasetype, t.typtypmod),
    pg_catalog.format_type(r.rngsubtype, NULL),
    (SELECT pg_catalog.array_agg(e.enumlabel ORDER BY e.enumsortorder)::text
     FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid),
    (SELECT pg_catalog.array_agg(k.conname || pg_catalog.pg_get_constraintdef(k.oid)
     || k.convalidated ORDER BY k.conname)::text
     FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid))
FROM {_SCHEMAS} JOIN pg_catalog.pg_type t ON t.typnamespace = s.oid
LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
WHERE t.typtype IN ('e', 'd', 'r')
UNION ALL
SELECT 'comment', pg_catalog.pg_describe_object(d.classoid, d.objoid, d.objsubid), d.description
FROM pg_catalog.pg_description d WHERE d.objoid >= {_FIRST_OF_USERS}
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = d.objoid
        AND d.classoid = 'pg_catalog.pg_class'::regclass AND c.relpersistence = 't')
UNION ALL
SELECT DISTINCT 'other', pg_catalog.pg_describe_object(d.classid, d.objid, 0), ''
FROM pg_catalog.pg_depend d
WHERE d.objid >= {_FIRST_OF_USERS} AND d.classid::regclass::text <> ALL ($2::text[])
    AND d.objid NOT IN {_OF_EXTENSION}
"""
# Told above, or parts of what is told above; of the others (operators, casts, statistics,
# publications, collations, event triggers ...) the name must do.
TOLD: Final[tuple[str, ...]] = (
    "pg_attrdef", "pg_class", "pg_constraint", "pg_extension", "pg_namespace",
    "pg_policy", "pg_proc", "pg_rewrite", "pg_trigger", "pg_type",
)  # fmt: skip

# $1 name of the table, $2 its columns, $3 its schema or NULL for any: the project may choose it.
FIND_TABLES: Final = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relname = $1 AND c.relkind IN ('r', 'p')
  AND pg_catalog.cardinality($2::text[]) = (
    SELECT pg_catalog.count(*) FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = c.oid AND a.attname = ANY ($2::text[])
      AND a.attnum > 0 AND NOT a.attisdropped)
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND ($3::text IS NULL OR n.nspname = $3)
ORDER BY 1
"""

CURRENT_XID: Final = "SELECT pg_catalog.pg_current_xact_id()::text"
READ_XID: Final[tuple[str, ...]] = (CURRENT_XID,)
# NULL when the id is so old that its commit status is no longer kept.
XACT_STATUS: Final = "SELECT pg_catalog.pg_xact_status($1::text::xid8)"

READ_LOCK_TIMEOUT: Final = "SELECT pg_catalog.current_setting('lock_timeout')"
# A migration may leave SET behind for its successors; these are put back after each file.
READ_SETTINGS: Final = (
    "SELECT name, setting FROM pg_catalog.pg_settings WHERE context IN ('user', 'superuser')"
    " AND name !~ '^transaction_' AND name <> 'search_path'"
    " UNION ALL SELECT 'session_authorization', session_user::text"
    " UNION ALL SELECT 'role', pg_catalog.current_setting('role')"
)

# These run under the author's own search path, for names that stand without a schema in a file;
# qualified operators keep them safe from what is planted there.
_IS: Final = "OPERATOR(pg_catalog.=)"
LOOK_INDEX: Final = (
    "SELECT n.nspname::text, c.relname::text, i.indisvalid AND i.indisready"
    " FROM pg_catalog.pg_index i"
    f" JOIN pg_catalog.pg_class c ON c.oid {_IS} i.indexrelid"
    f" JOIN pg_catalog.pg_namespace n ON n.oid {_IS} c.relnamespace"
    f" WHERE i.indexrelid {_IS} pg_catalog.to_regclass($1::text)::oid"
)
# What REINDEX CONCURRENTLY leaves on the table of $1 (itself, or an index) when it is interrupted
# (PostgreSQL manual, REINDEX, "Rebuilding Indexes Concurrently").
LOOK_TRANSIENT_INDEX: Final = (
    "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_index i"
    f" JOIN pg_catalog.pg_class c ON c.oid {_IS} i.indexrelid"
    f" JOIN pg_catalog.pg_namespace n ON n.oid {_IS} c.relnamespace"
    " WHERE NOT i.indisvalid AND c.relname::text OPERATOR(pg_catalog.~) '_cc(new|old)[0-9]*$'"
    f" AND (i.indrelid {_IS} pg_catalog.to_regclass($1::text)::oid OR i.indrelid {_IS}"
    " (SELECT o.indrelid FROM pg_catalog.pg_index o"
    f" WHERE o.indexrelid {_IS} pg_catalog.to_regclass($1::text)::oid)) ORDER BY 1, 2 LIMIT 1"
)
LOOK_ENUM: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_enum e"
    f" WHERE e.enumtypid {_IS} pg_catalog.to_regtype($1::text)::oid"
    f" AND e.enumlabel::text {_IS} $2::text)"
)
LOOK_PARTITION: Final = (
    "SELECT pn.nspname::text, p.relname::text, cn.nspname::text, c.relname::text,"
    " i.inhdetachpending FROM pg_catalog.pg_inherits i"
    f" JOIN pg_catalog.pg_class c ON c.oid {_IS} i.inhrelid"
    f" JOIN pg_catalog.pg_namespace cn ON cn.oid {_IS} c.relnamespace"
    f" JOIN pg_catalog.pg_class p ON p.oid {_IS} i.inhparent"
    f" JOIN pg_catalog.pg_namespace pn ON pn.oid {_IS} p.relnamespace"
    f" WHERE i.inhrelid {_IS} pg_catalog.to_regclass($1::text)::oid"
    f" AND i.inhparent {_IS} pg_catalog.to_regclass($2::text)::oid"
)

# $1 schema, $2 table. Generated columns follow from the others.
READ_COLUMNS: Final = (
    "SELECT a.attname::text, a.attgenerated <> '' FROM pg_catalog.pg_attribute a"
    " JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p')"
    " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"
)
# The narrowest key without NULLs, the primary key first.
READ_KEY: Final = (
    "SELECT ARRAY(SELECT a.attname::text FROM pg_catalog.unnest(i.indkey[0:i.indnkeyatts - 1])"
    " WITH ORDINALITY AS k (attnum, place)"
    " JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum"
    " ORDER BY k.place)"
    " FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE n.nspname = $1::text AND c.relname = $2::text AND i.indisunique AND i.indisvalid"
    " AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS ("
    "SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = i.indrelid AND NOT a.attnotnull"
    " AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1]))"
    " ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid LIMIT 1"
)
# Schema and name of each partition, and of a table that holds its rows too.
READ_PARTITIONS: Final = (
    "SELECT n.nspname::text, c.relname::text, pn.nspname::text, p.relname::text"
    " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " CROSS JOIN LATERAL pg_catalog.pg_partition_ancestors(c.oid) AS a"
    " JOIN pg_catalog.pg_class p ON p.oid = a.relid AND p.oid <> c.oid"
    " JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace WHERE c.relispartition"
)
# A policy must not hide rows from a copy: with `off` the server refuses instead.
_ROW_SECURITY: Final = "SELECT pg_catalog.set_config('row_security', '{}', true)"
BEFORE_COPY: Final[tuple[str, ...]] = (_ROW_SECURITY.format("off"),)
AFTER_COPY: Final[tuple[str, ...]] = (_ROW_SECURITY.format("on"),)


def spelled(schema: str, name: str) -> str:
    """Return a quoted name as the file wrote it: without a schema, the search path decides."""
    return quote_name(schema, name) if schema else quote_identifier(name)


def ledger_table(schema: str, name: str) -> tuple[str, str]:
    """Return schema and name of a table of the ledger."""
    return schema, name


def lock_table(schema: str, name: str) -> tuple[str, ...]:
    """Return the statement that keeps everybody away from a table until the transaction ends."""
    return (f"LOCK TABLE {quote_name(schema, name)} IN ACCESS EXCLUSIVE MODE",)


def has_data(schema: str, name: str, columns: Sequence[str]) -> str:
    """Return the question whether a table has rows, or values in the given columns."""
    where = _any_value(columns)
    return f"SELECT EXISTS (SELECT FROM {quote_name(schema, name)}{where})"


def copy_table(
    copy: tuple[str, str], source: tuple[str, str], shown: Sequence[str], columns: Sequence[str]
) -> str:
    """Return the statement that copies what would be lost.

    Args:
        copy: Schema and name of the new table.
        source: Schema and name of the table that is copied.
        shown: The columns to copy; empty for all.
        columns: Only rows that have a value in one of these; empty for all rows.
    """
    listed = ", ".join(quote_identifier(each) for each in shown) or "*"
    return (
        f"CREATE TABLE {quote_name(*copy)} AS SELECT {listed}"
        f" FROM {quote_name(*source)}{_any_value(columns)}"
    )


def count_rows(schema: str, name: str) -> str:
    """Return the question how many rows a table has."""
    return f"SELECT pg_catalog.count(*) FROM {quote_name(schema, name)}"


def drop_table(schema: str, name: str) -> str:
    """Return the statement that drops a table of ours."""
    return f"DROP TABLE IF EXISTS {quote_name(schema, name)}"


def drop_index(schema: str, name: str) -> str:
    """Return the statement that drops a half-built index without stopping anybody."""
    return f"DROP INDEX CONCURRENTLY IF EXISTS {quote_name(schema, name)}"


def finalize_detach(parent: tuple[str, str], partition: tuple[str, str]) -> str:
    """Return the statement that ends an interrupted DETACH PARTITION CONCURRENTLY."""
    return f"ALTER TABLE {quote_name(*parent)} DETACH PARTITION {quote_name(*partition)} FINALIZE"


def select_rows(schema: str, table: str, columns: Sequence[str], order: str) -> str:
    """Return the query for columns of a tool's table, as text."""
    listed = ", ".join(f"{quote_identifier(each)}::pg_catalog.text" for each in columns)
    by = quote_identifier(order) if order else "1"
    return f"SELECT {listed} FROM {quote_name(schema, table)} ORDER BY {by}"


def _any_value(columns: Sequence[str]) -> str:
    if not columns:
        return ""
    return " WHERE " + " OR ".join(f"{quote_identifier(each)} IS NOT NULL" for each in columns)
