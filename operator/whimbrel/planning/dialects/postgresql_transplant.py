"""All that PostgreSQL's catalogue says of one table and of what hangs on it, in one question.

It is asked before a migration, and again before a restore commits: what differs is told. So the
lines must say everything that a dump would say, and nothing that changes when a table is built
again (oids, positions, values of sequences).
The question runs under the pinned search path alone: names come back with their schema.
"""

from typing import Final

from whimbrel.planning.dialects.postgresql_checkpoint import CAPTURE_TRIGGERS

_COMMENT: Final = "obj_description({oid}, '{catalog}')"
# Rights as grantee ('' for PUBLIC), privilege, grantable; the default ones spelled out.
_RIGHTS: Final = (
    "(SELECT jsonb_agg(jsonb_build_array(CASE e.grantee WHEN 0 THEN ''"
    " ELSE pg_get_userbyid(e.grantee) END, e.privilege_type, e.is_grantable)"
    " ORDER BY pg_get_userbyid(e.grantee), e.privilege_type) FROM aclexplode({acl}) e)"
)
_STATISTICS_TARGET: Final = "NULLIF({target}, -1)"  # NULL is the default since 17

# $1 schema, $2 table. Views and materialised views that read the table, through others too.
_RELATIONS: Final = """
WITH RECURSIVE reached AS (
    SELECT c.oid, 0 AS depth FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p', 'f', 'v', 'm')
    UNION
    SELECT v.oid, reached.depth + 1 FROM reached
    JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = reached.oid
        AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid AND w.rulename = '_RETURN'
    JOIN pg_class v ON v.oid = w.ev_class AND v.oid <> reached.oid
), relation AS MATERIALIZED (
    SELECT c.*, s.nspname, f.depth, f.depth = 0 AS is_table,
        quote_ident(s.nspname) || '.' || quote_ident(c.relname) AS label
    FROM (SELECT oid, max(depth) AS depth FROM reached GROUP BY oid) f
    JOIN pg_class c ON c.oid = f.oid JOIN pg_namespace s ON s.oid = c.relnamespace
)"""

_PARTS: Final[tuple[str, ...]] = (
    f"""
SELECT 'relation', c.oid, c.relname::text, jsonb_build_object('schema', c.nspname, 'depth', c.depth,
    'kind', c.relkind, 'is_populated', c.relispopulated, 'owner', pg_get_userbyid(c.relowner),
    'persistence', c.relpersistence,
    'options', c.reloptions, 'toast_options', (SELECT t.reloptions FROM pg_class t
     WHERE t.oid = c.reltoastrelid), 'rls', c.relrowsecurity, 'forced_rls', c.relforcerowsecurity,
    'replica_identity', CASE WHEN c.relkind = 'r' THEN c.relreplident END,
    'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = c.reltablespace),
    'comment', {_COMMENT.format(oid="c.oid", catalog="pg_class")}, 'acl',
    {_RIGHTS.format(acl="COALESCE(c.relacl, acldefault('r', c.relowner))")},
    'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
    'reads', (SELECT jsonb_agg(DISTINCT jsonb_build_array(r.nspname, r.relname))
     FROM pg_rewrite w JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
     AND d.refclassid = 'pg_class'::regclass JOIN relation r ON r.oid = d.refobjid
     WHERE w.ev_class = c.oid AND w.rulename = '_RETURN' AND r.oid <> c.oid))
FROM relation c""",
    f"""
SELECT 'column', c.oid, a.attname::text, jsonb_build_object(
    'place', row_number() OVER (PARTITION BY c.oid ORDER BY a.attnum),
    'type', format_type(a.atttypid, a.atttypmod), 'not_null', a.attnotnull,
    'base', (WITH RECURSIVE b AS (SELECT a.atttypid AS id UNION SELECT t.typbasetype FROM b
     JOIN pg_type t ON t.oid = b.id AND t.typtype = 'd')
     SELECT min(t.oid::regtype::text) FROM b JOIN pg_type t ON t.oid = b.id AND t.typtype <> 'd'),
    'is_scalar', y.typcategory NOT IN ('A', 'C'),
    'collation', CASE WHEN a.attcollation <> 0 THEN a.attcollation::regcollation::text END,
    'default', pg_get_expr(d.adbin, d.adrelid), 'identity', a.attidentity,
    'generated', a.attgenerated, 'storage', a.attstorage, 'compression', a.attcompression,
    'statistics', {_STATISTICS_TARGET.format(target="a.attstattarget")},
    'options', a.attoptions, 'comment', col_description(c.oid, a.attnum),
    'acl', {_RIGHTS.format(acl="a.attacl")})
FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type y ON y.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum""",
    f"""
SELECT CASE WHEN k.conrelid = c.oid THEN 'constraint' ELSE 'inbound' END, c.oid, k.conname::text,
    jsonb_build_object('schema', n.nspname, 'table', o.relname, 'kind', k.contype, 'definition',
    pg_get_constraintdef(k.oid), 'validated', k.convalidated, 'on_delete', k.confdeltype,
    'on_update', k.confupdtype, 'delete_sets', (SELECT jsonb_agg(a.attname) FROM pg_attribute a
     WHERE a.attrelid = k.conrelid AND a.attnum = ANY ({{delete_sets}})), 'target',
    (SELECT jsonb_build_array(fn.nspname, f.relname) FROM pg_class f JOIN pg_namespace fn
     ON fn.oid = f.relnamespace WHERE f.oid = k.confrelid),
    'columns', (SELECT jsonb_agg(a.attname ORDER BY u.place) FROM unnest(k.conkey)
     WITH ORDINALITY u (number, place) JOIN pg_attribute a ON a.attrelid = k.conrelid
     AND a.attnum = u.number),
    'referenced', (SELECT jsonb_agg(a.attname ORDER BY u.place) FROM unnest(k.confkey)
     WITH ORDINALITY u (number, place) JOIN pg_attribute a ON a.attrelid = k.confrelid
     AND a.attnum = u.number),
    'comment', {_COMMENT.format(oid="k.oid", catalog="pg_constraint")})
FROM relation c JOIN pg_constraint k ON c.is_table AND (k.conrelid = c.oid OR k.confrelid = c.oid)
    AND k.contype <> 't' AND k.conparentid = 0
JOIN pg_class o ON o.oid = k.conrelid JOIN pg_namespace n ON n.oid = o.relnamespace""",
    f"""
SELECT 'index', c.oid, x.relname::text, jsonb_build_object('definition', pg_get_indexdef(x.oid),
    'unique', i.indisunique, 'options', x.reloptions, 'tail', substr(pg_get_indexdef(x.oid),
    length('CREATE ' || CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || 'INDEX '
     || quote_ident(x.relname) || ' ON ' || c.label || ' ') + 1),
    'constraint', k.conname, 'clustered', i.indisclustered, 'replica_identity', i.indisreplident,
    'valid', i.indisvalid, 'tablespace', (SELECT t.spcname FROM pg_tablespace t
     WHERE t.oid = x.reltablespace), 'statistics', (SELECT jsonb_object_agg(a.attnum,
     a.attstattarget) FROM pg_attribute a WHERE a.attrelid = x.oid AND a.attstattarget >= 0),
    'comment', {_COMMENT.format(oid="x.oid", catalog="pg_class")})
FROM relation c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = x.oid AND k.conrelid = c.oid
    AND k.contype IN ('p', 'u', 'x')""",
    f"""
SELECT 'trigger', c.oid, g.tgname::text, jsonb_build_object('definition', pg_get_triggerdef(g.oid),
    'enabled', g.tgenabled, 'comment', {_COMMENT.format(oid="g.oid", catalog="pg_trigger")})
FROM relation c JOIN pg_trigger g ON g.tgrelid = c.oid AND NOT g.tgisinternal
WHERE NOT starts_with(g.tgname, '{CAPTURE_TRIGGERS}')""",
    f"""
SELECT 'rule', c.oid, r.rulename::text, jsonb_build_object('definition', pg_get_ruledef(r.oid),
    'enabled', r.ev_enabled, 'comment', {_COMMENT.format(oid="r.oid", catalog="pg_rewrite")})
FROM relation c JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'""",
    f"""
SELECT 'policy', c.oid, p.polname::text, jsonb_build_object('command', p.polcmd,
    'permissive', p.polpermissive, 'using', pg_get_expr(p.polqual, p.polrelid),
    'check', pg_get_expr(p.polwithcheck, p.polrelid),
    'roles', (SELECT jsonb_agg(CASE u WHEN 0 THEN '' ELSE pg_get_userbyid(u) END ORDER BY
     pg_get_userbyid(u)) FROM unnest(p.polroles) u),
    'comment', {_COMMENT.format(oid="p.oid", catalog="pg_policy")})
FROM relation c JOIN pg_policy p ON p.polrelid = c.oid""",
    f"""
SELECT 'statistics', c.oid, x.stxname::text, jsonb_build_object('schema', n.nspname,
    'definition', pg_get_statisticsobjdef(x.oid), 'owner', pg_get_userbyid(x.stxowner),
    'target', {_STATISTICS_TARGET.format(target="x.stxstattarget")},
    'comment', {_COMMENT.format(oid="x.oid", catalog="pg_statistic_ext")})
FROM relation c JOIN pg_statistic_ext x ON x.stxrelid = c.oid
JOIN pg_namespace n ON n.oid = x.stxnamespace""",
    """
SELECT 'publication', c.oid, p.pubname::text, jsonb_build_object('filter', {filter},
    'columns', {columns}, 'again', jsonb_build_array(
    format('DO %L', format('BEGIN IF NOT EXISTS (SELECT FROM pg_publication WHERE pubname = %1$L)'
        ' THEN CREATE PUBLICATION %1$I WITH (publish = %2$L, publish_via_partition_root = %3$s);'
        ' ALTER PUBLICATION %1$I OWNER TO %4$I; COMMENT ON PUBLICATION %1$I IS %5$L; END IF; END',
        p.pubname, concat_ws(', ', CASE WHEN p.pubinsert THEN 'insert' END,
            CASE WHEN p.pubupdate THEN 'update' END, CASE WHEN p.pubdelete THEN 'delete' END,
            CASE WHEN p.pubtruncate THEN 'truncate' END),
        p.pubviaroot::text, pg_get_userbyid(p.pubowner), obj_description(p.oid, 'pg_publication'))),
    format('DO %L', format('BEGIN IF EXISTS (SELECT FROM pg_publication WHERE pubname = %L'
        ' AND oid <> %s) THEN %s END IF; END', p.pubname, p.oid, (
        SELECT string_agg(format('IF to_regclass(%1$L) IS NOT NULL AND NOT EXISTS (SELECT FROM'
            ' pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid'
            ' WHERE p.pubname = %2$L AND r.prrelid = to_regclass(%1$L)) THEN'
            ' ALTER PUBLICATION %2$I ADD TABLE %1$s%3$s;'
            ' END IF;', o.prrelid::regclass, p.pubname, {others}), ' ')
        FROM pg_publication_rel o WHERE o.prpubid = p.oid AND o.prrelid <> c.oid)))))
FROM relation c JOIN pg_publication_rel r ON r.prrelid = c.oid
JOIN pg_publication p ON p.oid = r.prpubid""",
    f"""
SELECT 'sequence', c.oid, q.relname::text, jsonb_build_object('schema', n.nspname,
    'oid', q.oid::bigint, 'column', a.attname, 'identity', d.deptype = 'i',
    'owner', pg_get_userbyid(q.relowner),
    'type', s.seqtypid::regtype::text, 'start', s.seqstart, 'increment', s.seqincrement,
    'min', s.seqmin, 'max', s.seqmax, 'cache', s.seqcache, 'cycle', s.seqcycle,
    'persistence', q.relpersistence, 'last', pg_sequence_last_value(q.oid),
    'comment', {_COMMENT.format(oid="q.oid", catalog="pg_class")}, 'acl',
    {_RIGHTS.format(acl="COALESCE(q.relacl, acldefault('s', q.relowner))")})
FROM relation c JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
    AND d.refobjsubid > 0 AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
JOIN pg_namespace n ON n.oid = q.relnamespace JOIN pg_sequence s ON s.seqrelid = q.oid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid""",
)
# What cannot be built again, each as the start of a sentence.
_REFUSALS: Final[tuple[str, ...]] = (
    """
SELECT CASE WHEN c.is_table AND COALESCE(w.oid, p.oid) IS NOT NULL THEN 'asked'
    ELSE 'unsupported' END, c.oid,
    pg_describe_object(d.classid, d.objid, 0) || ' depends on ' || c.label,
    jsonb_build_object('by', COALESCE(w.ev_class, p.polrelid)::int8)
FROM relation c JOIN pg_type t ON t.oid = c.reltype
JOIN pg_depend d ON d.deptype IN ('n', 'a') AND (
    (d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid)
    OR (d.refclassid = 'pg_type'::regclass AND d.refobjid IN (c.reltype, t.typarray)))
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_policy p ON d.classid = 'pg_policy'::regclass AND p.oid = d.objid
LEFT JOIN pg_trigger g ON d.classid = 'pg_trigger'::regclass AND g.oid = d.objid
LEFT JOIN pg_class o ON d.classid = 'pg_class'::regclass AND o.oid = d.objid
WHERE (c.relkind = 'm' AND p.oid IS NOT NULL)
    OR c.is_table AND (d.classid IN ('pg_proc'::regclass, 'pg_type'::regclass)
    OR (w.oid IS NOT NULL AND w.ev_class NOT IN (SELECT oid FROM relation))
    OR (p.oid IS NOT NULL AND p.polrelid <> c.oid)
    OR (g.oid IS NOT NULL AND g.tgrelid <> c.oid AND NOT g.tgisinternal)
    OR (o.oid IS NOT NULL AND o.relkind NOT IN ('i', 'S') AND o.oid <> c.oid))""",
    """
SELECT 'unsupported', c.oid, 'the login does not own ' || o.what, '{}'::jsonb
FROM relation c JOIN LATERAL (
    SELECT 'the relation ' || c.label AS what, c.relowner AS owner
    UNION ALL SELECT 'the publication ' || quote_ident(p.pubname), p.pubowner
    FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE r.prrelid = c.oid
    UNION ALL SELECT 'the statistics ' || quote_ident(x.stxname), x.stxowner
    FROM pg_statistic_ext x WHERE x.stxrelid = c.oid
    UNION ALL SELECT 'the table ' || f.oid::regclass::text || ' that refers to it', f.relowner
    FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid WHERE k.confrelid = c.oid
) o ON NOT pg_has_role(o.owner, 'USAGE')""",
    """
SELECT 'unsupported', c.oid, 'the type ' || format_type(t.oid, NULL) || ' of column '
    || quote_ident(a.attname) || ' has a cast to json of its own', '{}'::jsonb
FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem
JOIN pg_cast x ON x.castsource IN (t.oid, e.oid, t.typbasetype)
    AND x.casttarget = 'json'::regtype AND x.castmethod = 'f' AND x.castsource >= 16384
WHERE c.is_table""",
    """
SELECT DISTINCT 'unsupported', c.oid, pg_get_userbyid(e.grantor)
    || ', who does not own it, has granted rights on ' || c.label, '{}'::jsonb
FROM relation c JOIN pg_attribute a ON a.attrelid = c.oid
CROSS JOIN LATERAL aclexplode(COALESCE(c.relacl, acldefault('r', c.relowner)) || a.attacl) e
WHERE e.grantor <> c.relowner""",
    """
SELECT 'unsupported', c.oid, u.what, '{}'::jsonb FROM relation c CROSS JOIN LATERAL (
    SELECT c.label || ' is a table of the type ' || c.reloftype::regtype::text WHERE c.reloftype > 0
    UNION ALL SELECT c.label || ' has the access method ' || m.amname FROM pg_am m
    WHERE m.oid = c.relam AND m.amname <> 'heap'
    UNION ALL SELECT c.label || ' has a security label' WHERE EXISTS (
        SELECT FROM pg_seclabel l WHERE l.objoid = c.oid AND l.classoid = 'pg_class'::regclass)
    UNION ALL SELECT 'the partitioned table ' || f.oid::regclass::text || ' refers to it'
    FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid AND f.relkind = 'p'
    WHERE k.confrelid = c.oid AND k.conparentid = 0
    UNION ALL SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
        || ' depends on the sequence of an identity, ' || d.refobjid::regclass::text
    FROM pg_depend i JOIN pg_depend d ON d.refclassid = i.classid AND d.refobjid = i.objid
        AND d.deptype = 'n' WHERE i.refclassid = 'pg_class'::regclass AND i.refobjid = c.oid
        AND i.refobjsubid > 0 AND i.classid = 'pg_class'::regclass AND i.deptype = 'i'
    UNION ALL SELECT 'the index ' || i.indexrelid::regclass::text || ' is not valid'
    FROM pg_index i WHERE i.indrelid = c.oid AND NOT i.indisvalid
) u (what)""",
)
# Row filters and column lists, and ON DELETE SET NULL for some columns, exist since 15.
_FILTERS: Final = {
    "filter": "pg_get_expr(r.prqual, r.prrelid)",
    "columns": "(SELECT jsonb_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a"
    " WHERE a.attrelid = c.oid AND a.attnum = ANY (r.prattrs))",
    "delete_sets": "k.confdelsetcols",
    "others": "COALESCE((SELECT ' (' || string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)"
    " || ')' FROM pg_attribute a WHERE a.attrelid = o.prrelid AND a.attnum = ANY (o.prattrs)), '')"
    " || COALESCE(' WHERE (' || pg_get_expr(o.prqual, o.prrelid) || ')', '')",
}
_NO_FILTERS: Final = {
    "filter": "NULL",
    "columns": "NULL",
    "delete_sets": "NULL::int2[]",
    "others": "''",
}


def describe_table(version: int) -> str:
    """Return the question, on a server of a major version: kind, oid of the relation, name, facts.

    $1 schema, $2 table. No row of kind `relation` with depth 0 means that there is no such table.
    """
    return _question(version, (*_PARTS, *_REFUSALS))


def describe_again(version: int) -> str:
    """Return the same question without what cannot be built again: asked while others wait."""
    return _question(version, _PARTS)


def _question(version: int, parts: tuple[str, ...]) -> str:
    text = _RELATIONS + " UNION ALL ".join(parts)
    for name, expression in (_FILTERS if version >= 15 else _NO_FILTERS).items():
        text = text.replace("{" + name + "}", expression)
    return text
