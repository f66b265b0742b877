"""Capture on PostgreSQL, as text: the journal, the function that writes it, its owner, triggers.

The function is SECURITY DEFINER and its owner may do nothing but insert into the journal: whatever
a row makes it run (a cast from a user's type to json) can do no more than that.
"""

from typing import Final

from whimbrel.planning.dialects.postgresql import quote_identifier, quote_literal, quote_name
from whimbrel.planning.dialects.postgresql_checkpoint import PREPARED_ROLE, Names

SESSION_NAME: Final = "whimbrel.session"  # a setting of ours that says application_name again
# What a value looks like as text must not depend on the writer's session. Each costs a writer some
# microseconds with each row, so they are set only where a type needs them (`NEEDS_SETTINGS`). Of a
# column that the migration gives such a type the writer's own hold: its text may have fewer digits.
_SETTINGS: Final = {
    "search_path": "pg_catalog, pg_temp",
    "datestyle": "'ISO, YMD'",
    "intervalstyle": "'postgres'",
    "timezone": "'UTC'",
    "bytea_output": "'hex'",
    "extra_float_digits": "'3'",
}

# The size of the journal is looked at with every 16th row: it is a quarter of what capture costs.
# By the clock: rows and transactions may go on for long without a number that fits.
_SOMETIMES: Final = (
    "pg_catalog.date_part('microsecond', pg_catalog.clock_timestamp())::pg_catalog.int4"
    " OPERATOR(pg_catalog.%) 16 OPERATOR(pg_catalog.=) 0"
)
# Whether a column of tables ($1), or a part of one, is of a type whose text depends on settings of
# the session; any that we do not know might. JSON writes dates its own way, where they are no part
# of another value; those of a key before a change are read from the row's text.
NEEDS_SETTINGS: Final = """
WITH RECURSIVE used (id, is_text) AS (
    SELECT a.atttypid, EXISTS (SELECT FROM pg_catalog.pg_index i
        WHERE i.indrelid = a.attrelid AND i.indisunique AND a.attnum = ANY (i.indkey))
    FROM pg_catalog.pg_attribute a
    WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT next.id, used.is_text OR t.typtype <> 'd' FROM used
    JOIN pg_catalog.pg_type t ON t.oid = used.id
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typcategory = 'A'
        UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE t.typtype = 'c'
            AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped) AS next (id)
)
SELECT EXISTS (SELECT FROM used JOIN pg_catalog.pg_type t ON t.oid = used.id
    WHERE t.typtype NOT IN ('c', 'd', 'e') AND t.typcategory <> 'A'
    AND t.oid <> ALL (ARRAY['bool', 'int2', 'int4', 'int8', 'numeric', 'oid', 'text', 'varchar',
        'bpchar', 'name', '"char"', 'uuid', 'json', 'jsonb', 'inet', 'cidr', 'macaddr', 'time',
        'tsvector', 'bit', 'varbit', 'bytea']::regtype[])
    AND (used.is_text OR t.oid <> ALL (ARRAY['date', 'timestamp', 'timestamptz']::regtype[])))
"""

FIND_TOAST: Final = (
    "SELECT c.reltoastrelid::int8 FROM pg_catalog.pg_class c WHERE c.oid = $1::regclass"
)
# Whether a journal ($1) tells rows as `create_journal` says.
HAS_IMAGES: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute a"
    " WHERE a.attrelid = pg_catalog.to_regclass($1) AND a.attname = 'image')"
)
# Bytes of a journal with its long values; NULL where there is none.
JOURNAL_BYTES: Final = (
    "SELECT pg_catalog.pg_relation_size(c.oid) + pg_catalog.pg_relation_size(c.reltoastrelid)"
    " FROM pg_catalog.pg_class c WHERE c.oid = pg_catalog.to_regclass($1)"
)

_GRANTEE: Final = (
    "SELECT DISTINCT CASE a.grantee WHEN 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END"
)
# Default privileges may have given others rights on a new object of ours; "" is PUBLIC.
GRANTEES_OF_TABLE: Final = (
    f"{_GRANTEE} FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a"
    " WHERE c.oid = $1::regclass AND a.grantee <> c.relowner"
)
GRANTEES_OF_FUNCTION: Final = (
    f"{_GRANTEE} FROM pg_catalog.pg_proc p, pg_catalog.aclexplode(COALESCE(p.proacl,"
    " pg_catalog.acldefault('f', p.proowner))) a"
    " WHERE p.oid = $1::regprocedure AND a.grantee <> p.proowner"
)

# Whether we may make a role the owner of something, and whether it is more than such an owner.
MAY_OWN: Final = (
    "SELECT pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER'),"
    " r.rolcanlogin OR r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication"
    " OR r.rolbypassrls OR EXISTS (SELECT FROM pg_catalog.pg_auth_members m WHERE m.member = r.oid)"
    " FROM pg_catalog.pg_roles r WHERE r.rolname = $1::text"
)
# Whether a role ($1) is used in another database: that one may be a copy of ours, ledger and all.
IS_USED_ELSEWHERE: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_shdepend d JOIN pg_catalog.pg_roles r"
    " ON r.oid = d.refobjid WHERE r.rolname = $1::text AND d.dbid <> 0 AND d.dbid <> ("
    "SELECT b.oid FROM pg_catalog.pg_database b WHERE b.datname = pg_catalog.current_database())"
    " AND d.refclassid = 'pg_authid'::regclass)"
)
CURRENT_ROLE: Final = "SELECT current_user::text, pg_catalog.current_setting('role')"
SET_ROLE: Final = "SELECT pg_catalog.set_config('role', $1, true)"

# One line for whatever must not change while a checkpoint is open. xmin: a trigger that was
# disabled and enabled again shows it nowhere else. Casts to json decide what becomes of a row.
# $1 function, $2 tables, $3 names of triggers.
CAPTURE_LINES: Final = """
SELECT 0::int8, pg_catalog.concat_ws('|', p.oid, p.xmin, pg_catalog.pg_get_userbyid(p.proowner),
    p.prosecdef, p.proconfig::text, p.proacl::text, pg_catalog.md5(p.prosrc), r.rolcanlogin,
    r.rolsuper, r.rolbypassrls, (SELECT pg_catalog.string_agg(k.oid::text, ' ' ORDER BY k.oid)
        FROM pg_catalog.pg_cast k WHERE k.casttarget = 'json'::regtype))
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_roles r ON r.oid = p.proowner
WHERE p.oid = pg_catalog.to_regprocedure($1)
UNION ALL
SELECT c.oid::int8, COALESCE(pg_catalog.string_agg(pg_catalog.concat_ws('|', g.oid, g.xmin,
    g.tgname, g.tgenabled, g.tgtype, g.tgfoid, pg_catalog.encode(g.tgargs, 'hex'),
    pg_catalog.md5(g.tgqual::text)), ';' ORDER BY g.tgname), '')
FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_trigger g ON g.tgrelid = c.oid
    AND g.tgname = ANY ($3::name[])
WHERE c.oid = ANY ($2::oid[])
GROUP BY c.oid ORDER BY 1
"""

IS_OVER: Final = "SELECT $1::timestamptz <= pg_catalog.clock_timestamp()"
# Other sessions of a login ($1) in this database, but for ours: $2, and those of any Whimbrel,
# which look, measure or wait for their turn, and write to no covered table.
# Everybody is shown the login of every session; more of it only whoever asks as that login.
SHARED_LOGIN: Final = (
    "SELECT a.pid FROM pg_catalog.pg_stat_activity a WHERE a.usename = $1::text"
    " AND a.datname = pg_catalog.current_database() AND a.pid <> pg_catalog.pg_backend_pid()"
    " AND NOT a.pid = ANY ($2::int[])"
    " AND COALESCE(a.backend_type, 'client backend') = 'client backend'"
    " AND COALESCE(a.application_name, '') !~ '^whimbrel' ORDER BY 1"
)
# Tables that still have triggers of a checkpoint, wherever they are by now. $1 names of triggers.
FIND_TRIGGERS: Final = (
    "SELECT DISTINCT n.nspname::text, c.relname::text FROM pg_catalog.pg_trigger g"
    " JOIN pg_catalog.pg_class c ON c.oid = g.tgrelid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE g.tgname = ANY ($1::name[]) AND NOT g.tgisinternal ORDER BY 1, 2"
)


def create_journal(names: Names) -> str:
    """Return the statement that makes a journal.

    `image` is the row as JSON, after the write or, of a DELETE, before it: its names tell what the
    columns were called. `old` and `new` are the row as text, field by field in the same order: they
    tell what JSON does not (a JSON null from no value, where an array begins) and what changed.
    Those of earlier code have two JSONs instead, `old` and `new` (`HAS_IMAGES`).
    `old_tid`, `new_tid` and `late` tell in what order one transaction wrote a row
    (`in_true_order`). Vacuum must never make it shorter: once it was too long, rows are missing.
    """
    return (
        f"CREATE TABLE {names.journal} ("
        "seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " xid xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),"
        ' number integer NOT NULL, op "char" NOT NULL, image json NOT NULL, old text, new text,'
        " old_tid tid, new_tid tid, late boolean NOT NULL)"
        " WITH (autovacuum_enabled = false, vacuum_truncate = false,"
        " toast.autovacuum_enabled = false, toast.vacuum_truncate = false)"
    )


def create_capture(names: Names, *, toast: int, max_journal: int, settings: bool) -> str:
    """Return the statement that makes the trigger function; it never fails a write.

    A row that was written again before its trigger came to run has an xmax: it is `late`, and the
    later write is in the journal already. No name in it is looked up in a search path, and no cast
    of a row to text: anybody may make one.

    Args:
        names: The names of the checkpoint.
        toast: Table of the journal's long values (`FIND_TOAST`).
        max_journal: Bytes of both together; who finds as many writes nothing. Whatever is written
            after all stays, and a journal never becomes shorter: nothing is missing below it.
        settings: Whether values are to be written under settings of ours (`NEEDS_SETTINGS`).
    """
    pinned = (f"SET {name} = {value}" for name, value in _SETTINGS.items() if settings)
    number = "TG_ARGV[0]::pg_catalog.int4"
    late = "NEW.xmax OPERATOR(pg_catalog.<>) '0'"
    body = f"""
BEGIN
    IF {_SOMETIMES}
        AND pg_catalog.pg_relation_size({quote_literal(names.journal)}::pg_catalog.regclass)
        OPERATOR(pg_catalog.+)
        pg_catalog.pg_relation_size({toast}::pg_catalog.oid::pg_catalog.regclass)
        OPERATOR(pg_catalog.>=) {max_journal} THEN
        RETURN NULL;
    END IF;
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
        INSERT INTO {names.journal} (number, op, image, old, new, old_tid, new_tid, late) VALUES
            ({number}, 'U', pg_catalog.row_to_json(NEW), pg_catalog.concat(OLD),
            pg_catalog.concat(NEW), OLD.ctid, NEW.ctid, {late});
    ELSIF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
        INSERT INTO {names.journal} (number, op, image, new, new_tid, late) VALUES
            ({number}, 'I', pg_catalog.row_to_json(NEW), pg_catalog.concat(NEW), NEW.ctid, {late});
    ELSE
        INSERT INTO {names.journal} (number, op, image, old_tid, late) VALUES
            ({number}, 'D', pg_catalog.row_to_json(OLD), OLD.ctid, false);
    END IF;
    RETURN NULL;
END"""
    return (
        f"CREATE FUNCTION {names.function} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        f" {' '.join(pinned)} AS {quote_literal(body)}"
    )


def create_refusal(names: Names) -> str:
    """Return the statement that makes the function which refuses TRUNCATE."""
    sentence = quote_literal(
        "TRUNCATE is refused while a Whimbrel checkpoint of this table is open: use DELETE, or "
        "wait until the checkpoint is closed"
    )
    body = f"""
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'object_not_in_prerequisite_state', MESSAGE = {sentence};
END"""
    return (
        f"CREATE FUNCTION {names.truncate_function} RETURNS trigger LANGUAGE plpgsql"
        f" SET search_path = pg_catalog, pg_temp AS {quote_literal(body)}"
    )


def condition(login: str, kept_until: str, *, is_prefix: bool, name: str = "") -> str:
    """Return whose writes are captured and until when.

    A migration may give its session another name, or RESET ALL, but hardly both: either tells it
    (`postgresql_session.open_session`).

    Args:
        login: Login of the migration.
        kept_until: A time as PostgreSQL writes it, with its zone.
        is_prefix: `login` is how the names of its logins begin.
        name: What our sessions are called, where none but they run the migration.
    """
    who = f"session_user <> {quote_literal(login)}::pg_catalog.name"
    if is_prefix:
        who = f"NOT pg_catalog.starts_with(session_user::pg_catalog.text, {quote_literal(login)})"
    if name:
        names = ("application_name", SESSION_NAME)  # NULL where it was never set
        said = ", ".join(f"pg_catalog.current_setting('{each}', true)" for each in names)
        who = f"({who} OR ({quote_literal(name)} = ANY (ARRAY[{said}])) IS NOT TRUE)"
    until = f"pg_catalog.now() < {quote_literal(kept_until)}::pg_catalog.timestamptz"
    return f"{who} AND {until}"


def create_triggers(
    names: Names, table: tuple[str, str], *, number: int, when: str
) -> tuple[str, ...]:
    """Return the statements that make the triggers of a table; `when` is a `condition`.

    ALWAYS: they fire under `session_replication_role = replica` too.
    """
    target = quote_name(*table)
    capture, truncate = (quote_identifier(each) for each in names.triggers)
    return (
        f"CREATE TRIGGER {capture} AFTER INSERT OR UPDATE OR DELETE ON {target} FOR EACH ROW"
        f" WHEN ({when}) EXECUTE FUNCTION {names.function[:-1]}'{number}')",
        f"CREATE TRIGGER {truncate} BEFORE TRUNCATE ON {target} FOR EACH STATEMENT"
        f" WHEN ({when}) EXECUTE FUNCTION {names.truncate_function}",
        f"ALTER TABLE {target} ENABLE ALWAYS TRIGGER {capture}, ENABLE ALWAYS TRIGGER {truncate}",
    )


def drop_triggers(names: Names, schema: str, table: str) -> tuple[str, ...]:
    """Return the statements that drop the triggers of a table."""
    target = quote_name(schema, table)
    return tuple(
        f"DROP TRIGGER IF EXISTS {quote_identifier(each)} ON {target}" for each in names.triggers
    )


def drop_functions(names: Names) -> tuple[str, ...]:
    """Return the statements that drop the functions."""
    return (
        f"DROP FUNCTION IF EXISTS {names.function}",
        f"DROP FUNCTION IF EXISTS {names.truncate_function}",
    )


def revoke(kind: str, target: str, grantee: str) -> str:
    """Return the statement that takes every right on an object (TABLE, FUNCTION) from a role."""
    who = quote_identifier(grantee) if grantee else "PUBLIC"
    return f"REVOKE ALL ON {kind} {target} FROM {who}"


def create_role(role: str) -> str:
    """Return the statement that makes the owner of the capture function."""
    return f"CREATE ROLE {quote_identifier(role)} NOLOGIN"


def lend_role(role: str, member: str) -> str:
    """Return the statement that lets a member act as a role."""
    return f"GRANT {quote_identifier(role)} TO {quote_identifier(member)}"


def take_back_role(role: str, member: str) -> str:
    """Return the statement after which it cannot any more."""
    return f"REVOKE {quote_identifier(role)} FROM {quote_identifier(member)}"


def own_capture(names: Names, role: str) -> tuple[str, ...]:
    """Return the statements that give the capture function to its owner, who may then insert.

    An owner needs CREATE in the schema for the moment of ALTER ... OWNER.
    """
    schema, owner = quote_identifier(names.schema), quote_identifier(role)
    return (
        f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner}",
        f"ALTER FUNCTION {names.function} OWNER TO {owner}",
        f"REVOKE CREATE ON SCHEMA {schema} FROM {owner}",
        f"GRANT INSERT ON {names.journal} TO {owner}",
    )


def let_attach(names: Names, role: str) -> str:
    """Return the statement, of the function's owner, that lets a role make triggers of it."""
    return f"GRANT EXECUTE ON FUNCTION {names.function} TO {quote_identifier(role)}"


def drop_journal(names: Names) -> str:
    """Return the statement that drops the journal."""
    return f"DROP TABLE IF EXISTS {names.journal}"


def forget_schema(names: Names, role: str) -> str:
    """Return the statement that takes the schema from a capture function's owner."""
    schema = quote_identifier(names.schema)
    return f"REVOKE ALL ON SCHEMA {schema} FROM {quote_identifier(role)}"


def drop_owned(role: str) -> str:
    """Return the statement that drops whatever a role owns; the role itself runs it."""
    return f"DROP OWNED BY {quote_identifier(role)}"


def drop_role(role: str) -> str:
    """Return the statement that drops a role to which nothing belongs any more."""
    return f"DROP ROLE {quote_identifier(role)}"


def prepare_role(schema: str, login: str, owner: str) -> tuple[str, ...]:
    """Return what a DBA runs so that there can be an owner of capture functions, either way."""
    role, user, name = (quote_identifier(each) for each in (PREPARED_ROLE, owner, schema))
    return (
        f"ALTER ROLE {quote_identifier(login)} CREATEROLE;",
        f"CREATE ROLE {role} NOLOGIN; GRANT {role} TO {user};"
        f" GRANT USAGE, CREATE ON SCHEMA {name} TO {user} WITH GRANT OPTION;",
    )


def in_true_order(rows: str) -> str:
    """Return a query for rows of a journal with `place`, the order in which they were written.

    `seq` is the order in which triggers ran. A statement that writes several rows, and whose
    trigger for one of them writes another one again, has the second write of that other row in the
    journal before the first one. The first is `late` then, and each row of a transaction tells
    which version of the row it found (`old_tid`) and which it made (`new_tid`).

    Args:
        rows: A journal, or a query in parentheses that returns rows of it.
    """
    return f"""
WITH RECURSIVE j AS (SELECT * FROM {rows} AS r),
chain (late_seq, seq, after, tid, xid, number) AS (
    SELECT seq, seq, 0, new_tid, xid, number FROM j WHERE late
    UNION ALL
    SELECT c.late_seq, j.seq, c.after + 1, j.new_tid, c.xid, c.number FROM chain c
    JOIN j ON j.xid = c.xid AND j.number = c.number AND j.old_tid = c.tid
),
moved AS (
    SELECT late_seq, pg_catalog.min(seq) - pg_catalog.max(after) / 1000000.0 AS place
    FROM chain GROUP BY late_seq
)
SELECT j.*, COALESCE(m.place, j.seq) AS place FROM j LEFT JOIN moved m ON m.late_seq = j.seq"""
