"""What a run needs to know and to write around its checkpoint, as text: names, sizes, rows.

`{s}` is the ledger's schema.
"""

from typing import Final

# Index, or sequence of a column, and the table that it belongs to.
READ_PARTS: Final = """
SELECT n.nspname::text, c.relname::text, tn.nspname::text, t.relname::text
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
CROSS JOIN LATERAL (SELECT i.indrelid FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid
    UNION ALL SELECT d.refobjid FROM pg_catalog.pg_depend d
    WHERE c.relkind = 'S' AND d.objid = c.oid AND d.deptype IN ('a', 'i')) AS p (id)
JOIN pg_catalog.pg_class t ON t.oid = p.id
JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace WHERE n.nspname !~ '^pg_'
"""
# $1 schemas, $2 tables. A table that nobody has analysed yet has no estimate of its rows.
READ_COSTS: Final = """
SELECT w.s, w.t, CASE WHEN c.reltuples < 0 THEN pg_catalog.pg_relation_size(c.oid) / 100
    ELSE c.reltuples::bigint END, pg_catalog.pg_table_size(c.oid)
FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w (s, t)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.s
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.t ORDER BY 1, 2
"""
# $1: oids of tables. What they, and the sequences of their columns, are called now.
READ_NAMES: Final = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid::bigint = ANY ($1::bigint[]) OR (c.relkind = 'S' AND EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refobjid::bigint = ANY ($1::bigint[])))
"""
_FORGET: Final = "DELETE FROM {s}.%s WHERE run = $1::text"
# All that the ledger says of what a run applied: it is as if that had never been.
FORGET_RUN: Final = tuple(_FORGET % each for each in ("applied", "tool_run", "step"))
# A run that has done nothing gives the database back; its steps' rows would keep it.
FORGET_RESERVATION: Final = (_FORGET % "attempt", "DELETE FROM {s}.run WHERE id = $1::text")
STARTED_STEPS: Final = "SELECT step FROM {s}.step WHERE run = $1::text AND state = 'started'"
_WISHES: Final = "on_conflict = $2::text, mappings = $3::jsonb"
SET_WISHES: Final = f"UPDATE {{s}}.checkpoint SET {_WISHES} WHERE id = $1::text"
