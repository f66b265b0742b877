"""What a run needs to know around its checkpoint, as text: names."""

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
# Table that a foreign key points at, and the one that has it: TRUNCATE ... CASCADE asks no action.
READ_KEYS: Final = """
SELECT DISTINCT pn.nspname::text, p.relname::text, n.nspname::text, c.relname::text
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class p ON p.oid = k.confrelid
JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE k.contype = 'f'
"""
# $1: oids of tables. What they, and the sequences of their columns, are called now.
READ_NAMES: Final = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid::bigint = ANY ($1::bigint[]) OR (c.relkind = 'S' AND EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refobjid::bigint = ANY ($1::bigint[])))
"""
