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
# Functions that may write: name, language, body. Those of an extension in C (uuid_generate_v4 ...)
# do not, but for extensions that run statements; STABLE and IMMUTABLE promise that they do not.
READ_WRITERS: Final = """
SELECT p.proname::text, l.lanname::text,
    CASE WHEN p.prosqlbody IS NULL THEN p.prosrc ELSE pg_catalog.pg_get_functiondef(p.oid) END
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang
WHERE p.provolatile = 'v' AND p.prokind IN ('f', 'p', 'w')
    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT (l.lanname = 'c' AND EXISTS (SELECT FROM pg_catalog.pg_depend d
        JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_extension'::regclass
            AND e.oid = d.refobjid AND d.deptype = 'e'
        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
            AND e.extname <> ALL (ARRAY['citus', 'dblink', 'pg_background', 'timescaledb'])))
ORDER BY 1, 2, 3
"""
# $1: oids of tables. What they, and the sequences of their columns, are called now.
READ_NAMES: Final = """
SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid::bigint = ANY ($1::bigint[]) OR (c.relkind = 'S' AND EXISTS (
    SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i')
    AND d.refobjid::bigint = ANY ($1::bigint[])))
"""
