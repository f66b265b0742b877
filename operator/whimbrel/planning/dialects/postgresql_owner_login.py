"""What a session may do beyond the owner of tables, and which functions of his they call."""

from typing import Final

from whimbrel.planning.dialects.postgresql_checkpoint import USED_TYPES

# For each owner of tables ($1, names): whether our login cannot do more than he, whatever runs in
# its session (`SET ROLE NONE`), and whether we act as he.
IS_NO_MORE_THAN_OWNER: Final = """
SELECT DISTINCT session_user = o.rolname OR (current_user = o.rolname AND NOT (l.rolsuper
        OR l.rolcreaterole OR l.rolcreatedb OR l.rolreplication OR l.rolbypassrls
        OR EXISTS (SELECT FROM pg_catalog.pg_roles g WHERE g.oid <> l.oid
            AND pg_catalog.pg_has_role(l.oid, g.oid, 'MEMBER')
            AND NOT pg_catalog.pg_has_role(o.oid, g.oid, 'MEMBER')))),
    current_user = o.rolname
FROM pg_catalog.pg_roles o JOIN pg_catalog.pg_roles l ON l.rolname = session_user
WHERE o.rolname = ANY ($1::name[])
"""
# Functions that a row of tables ($1) may call when it is put into a copy, but for those of
# superusers and our own: table, its owner, function, its owner.
READ_FUNCTIONS_OF: Final = f"""
{USED_TYPES},
calling (class, id, tables) AS (
    SELECT 'pg_constraint'::regclass::oid, k.oid, CASE k.conrelid WHEN 0 THEN $1 ELSE
        ARRAY[k.conrelid] END FROM pg_catalog.pg_constraint k
    WHERE k.contype = 'c' AND (k.conrelid = ANY ($1::oid[]) OR k.contypid IN (TABLE used))
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, ARRAY[d.adrelid] FROM pg_catalog.pg_attrdef d
    WHERE d.adrelid = ANY ($1::oid[])
    UNION ALL SELECT 'pg_class'::regclass, i.indexrelid, ARRAY[i.indrelid]
    FROM pg_catalog.pg_index i WHERE i.indrelid = ANY ($1::oid[])
    UNION ALL SELECT 'pg_cast'::regclass, k.oid, $1 FROM pg_catalog.pg_cast k
    WHERE k.casttarget IN (TABLE used)
)
SELECT DISTINCT c.oid::regclass::text, pg_catalog.pg_get_userbyid(c.relowner)::text,
    p.oid::regprocedure::text, r.rolname::text
FROM calling JOIN pg_catalog.pg_depend d ON d.classid = calling.class AND d.objid = calling.id
LEFT JOIN pg_catalog.pg_operator o
    ON d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
JOIN pg_catalog.pg_proc p ON p.oid = CASE d.refclassid WHEN 'pg_proc'::regclass THEN d.refobjid
    WHEN 'pg_operator'::regclass THEN o.oprcode::oid END
JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
JOIN pg_catalog.pg_class c ON c.oid = calling.tables[1]
WHERE NOT r.rolsuper AND r.rolname <> session_user ORDER BY 1, 3
"""
