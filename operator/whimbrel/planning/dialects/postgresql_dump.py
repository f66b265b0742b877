"""Dumps on PostgreSQL, as text: their rows in the ledger, and what stands around a restore.

`{s}` is the ledger's schema. A restore is one transaction of psql: `before`, what pg_restore
wrote, `after`. The ledger's schema is left out of it: what was done and undone stays known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal

READ_DUMPS: Final = (
    "SELECT key, value FROM {s}.note WHERE kind = 'dump' ORDER BY value ->> 'at', key"
)
NOW: Final = (
    "SELECT pg_catalog.clock_timestamp(),"
    " pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $1::float8)"
)
DATABASE_BYTES: Final = "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())"
# Runs later than a dump's ($1) that changed the database: a restore would undo them as well.
LATER_RUNS: Final = """
SELECT r.namespace || '/' || r.name FROM {s}.run r JOIN {s}.run d ON d.id = $1::text
WHERE r.opened_at > d.opened_at AND (
    EXISTS (SELECT FROM {s}.applied a WHERE a.run = r.id)
    OR EXISTS (SELECT FROM {s}.tool_run t WHERE t.run = r.id)) ORDER BY r.opened_at LIMIT 1
"""

# Schemas of users; $1, or a literal, is the ledger's.
_USERS: Final = (
    "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND n.nspname <> {ledger}"
)
_MEMBERS: Final = (
    "SELECT FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass"
    " AND d.refobjid = n.oid AND d.deptype = 'n'"
)
_OF_EXTENSION: Final = (
    "EXISTS (SELECT FROM pg_catalog.pg_depend e WHERE e.classid = d.classid AND e.objid = d.objid"
    " AND e.deptype = 'e')"
)
# An extension, or a part of one, is in it: such a schema cannot go, nor can `public`.
_CANNOT_GO: Final = (
    f"(n.nspname = 'public' OR EXISTS ({_MEMBERS} AND ({_OF_EXTENSION}"
    " OR d.classid = 'pg_catalog.pg_extension'::regclass))"
    " OR EXISTS (SELECT FROM pg_catalog.pg_depend x WHERE x.objid = n.oid AND x.deptype = 'e'"
    " AND x.classid = 'pg_catalog.pg_namespace'::regclass))"
)
CANNOT_GO: Final = (
    "SELECT n.nspname::text FROM pg_catalog.pg_namespace n WHERE "
    f"{_USERS.format(ledger='$1::text')} AND {_CANNOT_GO}"
)
# What a login that is not the owner could not drop and make again. $1 the ledger's schema.
NOT_OURS: Final = f"""
WITH n AS (SELECT n.oid, n.nspname, n.nspowner FROM pg_catalog.pg_namespace n
    WHERE {_USERS.format(ledger="$1::text")}),
found (what, owner, classid, objid) AS (
    SELECT c.oid::regclass::text, c.relowner, 'pg_catalog.pg_class'::regclass, c.oid
    FROM pg_catalog.pg_class c JOIN n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f')
    UNION ALL SELECT p.oid::regprocedure::text, p.proowner, 'pg_catalog.pg_proc'::regclass, p.oid
    FROM pg_catalog.pg_proc p JOIN n ON n.oid = p.pronamespace
    UNION ALL SELECT t.oid::regtype::text, t.typowner, 'pg_catalog.pg_type'::regclass, t.oid
    FROM pg_catalog.pg_type t JOIN n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd', 'r')
    UNION ALL SELECT 'schema ' || n.nspname, n.nspowner, 'pg_catalog.pg_namespace'::regclass, n.oid
    FROM n WHERE NOT {_CANNOT_GO}
    UNION ALL SELECT 'publication ' || b.pubname, b.pubowner,
        'pg_catalog.pg_publication'::regclass, b.oid FROM pg_catalog.pg_publication b)
SELECT f.what, pg_catalog.pg_get_userbyid(f.owner) FROM found f
WHERE NOT pg_catalog.pg_has_role(current_user, f.owner, 'USAGE')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = f.classid
        AND d.objid = f.objid AND d.deptype = 'e') ORDER BY 1 LIMIT 1
"""
# Columns of our own tables whose type would go with a restore. $1 the ledger's schema.
NEEDED_BY_US: Final = """
SELECT c.relname::text, t.oid::regtype::text FROM pg_catalog.pg_attribute a
JOIN pg_catalog.pg_class c ON c.oid = a.attrelid AND c.relkind = 'r'
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1::text
JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
JOIN pg_catalog.pg_type e ON e.oid = CASE WHEN t.typelem <> 0 AND t.typlen = -1
    THEN t.typelem ELSE t.oid END
JOIN pg_catalog.pg_namespace tn ON tn.oid = e.typnamespace
WHERE a.attnum > 0 AND NOT a.attisdropped AND tn.nspname NOT IN ('pg_catalog', $1::text) LIMIT 1
"""

_OURS: Final = _USERS.format(ledger="{ledger}")
# A busy table is given way to before the server's own look for deadlocks (1 s) finds a victim.
_BEFORE: Final = """\
SET search_path = pg_catalog, pg_temp;
SET lock_timeout = '900ms';
DO $whimbrel$
DECLARE item record;
BEGIN
    PERFORM 1 FROM {s}.meta WHERE epoch = {epoch} FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'somebody took over' USING ERRCODE = 'serialization_failure';
    END IF;
    -- Sequences too, and last: LOCK TABLE keeps no nextval() away, a change that changes nothing
    -- does; and who draws a number for a row has its table already.
    FOR item IN SELECT pg_catalog.format(CASE c.relkind
            WHEN 'S' THEN 'ALTER SEQUENCE %1$I.%2$I OWNER TO %3$I'
            ELSE 'LOCK TABLE %1$I.%2$I IN ACCESS EXCLUSIVE MODE' END,
            n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner)) AS lock
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'S') AND {ours} AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e'
            AND e.classid = 'pg_catalog.pg_class'::regclass)
        ORDER BY c.relkind = 'S', n.nspname, c.relname
    LOOP
        EXECUTE item.lock;
    END LOOP;
    CREATE TEMPORARY TABLE whimbrel_sequences ON COMMIT DROP AS
        SELECT pg_catalog.format('%I.%I', schemaname, sequencename) AS name, last_value
        FROM pg_catalog.pg_sequences WHERE last_value IS NOT NULL;
    {thawed}
    FOR item IN SELECT pubname FROM pg_catalog.pg_publication LOOP
        EXECUTE pg_catalog.format('DROP PUBLICATION %I', item.pubname);
    END LOOP;
    FOR item IN SELECT extname FROM pg_catalog.pg_extension
        WHERE extname NOT IN ({extensions})
    LOOP
        EXECUTE pg_catalog.format('DROP EXTENSION IF EXISTS %I CASCADE', item.extname);
    END LOOP;
    FOR item IN SELECT n.nspname FROM pg_catalog.pg_namespace n
        WHERE {ours} AND n.nspname NOT IN ({staying})
    LOOP
        EXECUTE pg_catalog.format('DROP SCHEMA %I CASCADE', item.nspname);
    END LOOP;
    FOR item IN SELECT d.classid, d.objid, o.type, o.identity
        FROM pg_catalog.pg_namespace n JOIN pg_catalog.pg_depend d
            ON d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = n.oid
        CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) o
        WHERE {ours} AND d.deptype = 'n' AND NOT {of_extension}
            AND d.classid NOT IN ('pg_catalog.pg_extension'::regclass,
                'pg_catalog.pg_default_acl'::regclass)
        ORDER BY o.type <> 'table', o.type = 'sequence', o.identity
    LOOP
        -- What stood on an earlier one is gone with it.
        IF (pg_catalog.pg_identify_object(item.classid, item.objid, 0)).identity IS NOT NULL THEN
            EXECUTE pg_catalog.format('DROP %s IF EXISTS %s CASCADE', CASE item.type
                WHEN 'statistics object' THEN 'statistics' ELSE item.type END, item.identity);
        END IF;
    END LOOP;
END
$whimbrel$;
"""
_THAWED: Final = """IF pg_catalog.clock_timestamp() >= {until} THEN
        RAISE EXCEPTION 'the writes of applications are not stopped any more'
            USING ERRCODE = 'serialization_failure';
    END IF;"""
_AFTER: Final = """\
SET search_path = pg_catalog, pg_temp;
DO $whimbrel$
DECLARE item record; now_at bigint;
BEGIN
    FOR item IN SELECT q.name, s.seqincrement > 0 AS goes_up,
            GREATEST(s.seqmin, LEAST(s.seqmax, q.last_value)) AS last_value
        FROM pg_temp.whimbrel_sequences q JOIN pg_catalog.pg_sequence s
            ON s.seqrelid = pg_catalog.to_regclass(q.name)
    LOOP
        EXECUTE 'SELECT last_value FROM ' || item.name INTO now_at;
        IF now_at = item.last_value OR (now_at < item.last_value) = item.goes_up THEN
            PERFORM pg_catalog.setval(item.name::regclass, item.last_value);
        END IF;
    END LOOP;
END
$whimbrel$;
DELETE FROM {s}.applied WHERE run = {run};
DELETE FROM {s}.tool_run WHERE run = {run};
DELETE FROM {s}.step WHERE run = {run};
-- Every object has another number now; the names are the same.
UPDATE {s}.tool_run SET home = 0;
UPDATE {s}.note SET value = pg_catalog.jsonb_set(value, '{{state}}', '"Restored"')
WHERE kind = 'dump' AND key = {run};
"""


@dataclass(frozen=True)
class Around:
    """What a restore has to know.

    Attributes:
        ledger: Schema of the ledger.
        epoch: Of the attempt that restores: whoever takes over has a higher one.
        run: Whose dump it is; the ledger forgets what this run applied.
        extensions: Names of those that the dump has.
        staying: Schemas that are emptied and not dropped.
        frozen_until: Time at which writes of applications are possible again, "" where they are.
    """

    ledger: str
    epoch: int
    run: str
    extensions: Sequence[str]
    staying: Sequence[str]
    frozen_until: str = ""


def before(around: Around) -> str:
    """Return what empties the database, but for extensions and the ledger, in psql's words."""
    until = quote_literal(around.frozen_until)
    return _BEFORE.format(
        ours=_OURS.format(ledger=quote_literal(around.ledger)),
        s=quote_identifier(around.ledger),
        epoch=around.epoch,
        thawed=_THAWED.format(until=until) if around.frozen_until else "",
        extensions=", ".join(map(quote_literal, ("plpgsql", *around.extensions))),
        staying=", ".join(map(quote_literal, around.staying)),
        of_extension=_OF_EXTENSION,
    )


def after(around: Around) -> str:
    """Return what ends the transaction: no number is given twice, and the ledger knows."""
    return _AFTER.format(s=quote_identifier(around.ledger), run=quote_literal(around.run))
