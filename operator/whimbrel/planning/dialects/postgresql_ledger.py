"""The ledger on PostgreSQL as text: its tables by version, and every statement that uses them.

`{s}` is the quoted schema. A version is only ever added to; nothing is dropped or renamed, so the
runner before and the runner after may stand side by side.
"""

import re
from typing import Final

from whimbrel.planning.dialects.postgresql import LOCK_CLASS, MIGRATOR_KEY, quote_identifier
from whimbrel.planning.dialects.postgresql_manifest import CREATE_CHECKPOINT, MARK_SHOWN

LEDGER_VERSION: Final = 4

HAS_SCHEMA: Final = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text)"
CREATE_SCHEMA: Final = "CREATE SCHEMA {s}"
READ_TABLES: Final = (
    "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n"
    " ON n.oid = c.relnamespace WHERE n.nspname = $1::text AND c.relkind = 'r'"
)

# `one_row` allows one row. The row is locked FOR SHARE by every step, FOR UPDATE by whoever raises
# the epoch: a step in flight and a raise exclude each other.
CREATE_META: Final = """
CREATE TABLE {s}.meta (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    version integer NOT NULL,
    database uuid NOT NULL DEFAULT pg_catalog.gen_random_uuid(),
    epoch bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
)"""
FIRST_META: Final = "INSERT INTO {s}.meta (version) VALUES (0)"

_VERSION_1: Final = (
    """
CREATE TABLE {s}.run (
    id text PRIMARY KEY,
    namespace text NOT NULL,
    name text NOT NULL,
    uid text NOT NULL,
    cluster text NOT NULL,
    number bigint NOT NULL,
    purpose text NOT NULL,
    plan_digest text NOT NULL DEFAULT '',
    image text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'open' CHECK (state IN
        ('open', 'held', 'done', 'failed', 'rolled_back', 'aborted', 'superseded')),
    opened_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    closed_at timestamptz,
    target text NOT NULL DEFAULT '',
    failure text NOT NULL DEFAULT '',
    steps text[] NOT NULL DEFAULT ARRAY[]::text[]
)""",
    # A held run is not over: it goes on holding the database until a human has decided.
    "CREATE UNIQUE INDEX run_only_one_open ON {s}.run ((true)) WHERE state IN ('open', 'held')",
    """
CREATE TABLE {s}.attempt (
    run text NOT NULL REFERENCES {s}.run (id),
    segment text NOT NULL,
    attempt integer NOT NULL,
    epoch bigint NOT NULL,
    application_name text NOT NULL,
    backend_pid integer NOT NULL,
    login text NOT NULL,
    run_role text NOT NULL DEFAULT '',
    tool boolean NOT NULL DEFAULT false,
    host text NOT NULL,
    boot_id text NOT NULL,
    pid integer NOT NULL,
    pid_start bigint NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'fenced')),
    fence text NOT NULL DEFAULT '',
    result text NOT NULL DEFAULT '',
    opened_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    closed_at timestamptz,
    PRIMARY KEY (run, segment, attempt)
)""",
    """
CREATE TABLE {s}.step (
    run text NOT NULL REFERENCES {s}.run (id),
    step text NOT NULL,
    state text NOT NULL CHECK (state IN ('started', 'done')),
    xid text NOT NULL DEFAULT '',
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (run, step)
)""",
    """
CREATE TABLE {s}.applied (
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    history text NOT NULL,
    version text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    owner text NOT NULL,
    run text NOT NULL,
    image text NOT NULL,
    down text,
    added jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (history, version)
)""",
    """
CREATE TABLE {s}.tool_run (
    seq bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    run text NOT NULL REFERENCES {s}.run (id),
    segment text NOT NULL,
    attempt integer NOT NULL,
    step text NOT NULL,
    history text NOT NULL,
    image text NOT NULL,
    before text[] NOT NULL,
    after text[],
    added jsonb NOT NULL,
    home oid NOT NULL,
    fingerprint_before text NOT NULL,
    fingerprint_after text NOT NULL,
    cut boolean NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (run, segment, attempt, step)
)""",
    """
CREATE TABLE {s}.salvage (
    run text NOT NULL REFERENCES {s}.run (id),
    table_name text PRIMARY KEY,
    source text NOT NULL,
    rows bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    kept_until timestamptz NOT NULL
)""",
    """
CREATE TABLE {s}.rolled_back (
    history text NOT NULL,
    digest text NOT NULL,
    run text NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (history, digest)
)""",
    """
CREATE TABLE {s}.resolution (
    run text NOT NULL,
    verdict text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (run, verdict, by, reason)
)""",
)
_VERSION_2: Final = (
    # What is kept beside the runs, as JSON: see `runner.notes` for the kinds.
    """
CREATE TABLE {s}.note (
    kind text NOT NULL,
    key text NOT NULL,
    value jsonb NOT NULL,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (kind, key)
)""",
)
# What leads from one version of the ledger to the next; 0 is a ledger with nothing but `meta`.
UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    0: _VERSION_1,
    1: _VERSION_2,
    2: CREATE_CHECKPOINT,
    3: MARK_SHOWN,
}

READ_META: Final = "SELECT version, database::text, epoch FROM {s}.meta"
LOCK_META: Final = "SELECT version FROM {s}.meta FOR UPDATE"
SET_VERSION: Final = "UPDATE {s}.meta SET version = $1::int"
RAISE_EPOCH: Final = "UPDATE {s}.meta SET epoch = GREATEST(epoch, $1::bigint) + 1 RETURNING epoch"
# One statement, so that nothing fits between the two questions.
CHECK_STEP: Final = (
    "SELECT m.epoch, EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.locktype = 'advisory'"
    f" AND l.granted AND l.classid = {LOCK_CLASS}::oid AND l.objid = {MIGRATOR_KEY}::oid"
    " AND l.objsubid = 2 AND l.pid = pg_catalog.pg_backend_pid())"
    " FROM {s}.meta m FOR SHARE OF m"
)

_RUN: Final = (
    "id, namespace, name, uid, cluster, number, purpose, plan_digest, image, state,"
    " opened_at, closed_at, target, failure, steps"
)
READ_OPEN_RUN: Final = f"SELECT {_RUN} FROM {{s}}.run WHERE state IN ('open', 'held')"
READ_RUN: Final = f"SELECT {_RUN} FROM {{s}}.run WHERE id = $1::text"
READ_RUNS: Final = f"SELECT {_RUN} FROM {{s}}.run ORDER BY opened_at, id"
NEWER_RUN: Final = (
    "SELECT id FROM {s}.run WHERE cluster = $1 AND namespace = $2 AND name = $3"
    " AND uid = $4 AND number > $5::bigint ORDER BY number DESC LIMIT 1"
)
INSERT_RUN: Final = (
    "INSERT INTO {s}.run (id, namespace, name, uid, cluster, number, purpose)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
SET_RUN_PLAN: Final = (
    "UPDATE {s}.run SET plan_digest = $2, image = $3, steps = $4::text[] WHERE id = $1::text"
)
SET_RUN_TARGET: Final = "UPDATE {s}.run SET target = $2, failure = $3 WHERE id = $1::text"
SET_RUN_STATE: Final = (
    "UPDATE {s}.run SET state = $2::text, closed_at = CASE WHEN $2::text IN ('open', 'held')"
    " THEN NULL ELSE pg_catalog.clock_timestamp() END WHERE id = $1::text"
)

_ATTEMPT: Final = (
    "run, segment, attempt, epoch, application_name, backend_pid, login, run_role, tool, host,"
    " boot_id, pid, pid_start, state, fence, result, opened_at::text"
)
_KEY: Final = "run = $1::text AND segment = $2::text AND attempt = $3::int"
READ_ATTEMPT: Final = f"SELECT {_ATTEMPT} FROM {{s}}.attempt WHERE {_KEY}"
READ_ATTEMPTS: Final = (
    f"SELECT {_ATTEMPT} FROM {{s}}.attempt WHERE run = $1::text ORDER BY opened_at, attempt"
)
INSERT_ATTEMPT: Final = (
    "INSERT INTO {s}.attempt (run, segment, attempt, epoch, application_name, backend_pid, login,"
    " run_role, tool, host, boot_id, pid, pid_start)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
)
SET_ATTEMPT_TOOL: Final = (
    f"UPDATE {{s}}.attempt SET tool = true, run_role = $4 WHERE {_KEY} AND state = 'open'"
    " RETURNING attempt"
)
CLOSE_ATTEMPT: Final = (
    "UPDATE {s}.attempt SET state = 'closed', result = $4,"
    f" closed_at = pg_catalog.clock_timestamp() WHERE {_KEY} AND state = 'open' RETURNING attempt"
)
FENCE_ATTEMPT: Final = (
    "UPDATE {s}.attempt SET state = 'fenced', fence = $4,"
    f" closed_at = pg_catalog.clock_timestamp() WHERE {_KEY} AND state = 'open'"
)

START_STEP: Final = (
    "INSERT INTO {s}.step (run, step, state) VALUES ($1, $2, 'started')"
    " ON CONFLICT (run, step) DO UPDATE SET state = 'started',"
    " at = pg_catalog.clock_timestamp()"
)
FINISH_STEP: Final = (
    "INSERT INTO {s}.step (run, step, state, xid)"
    " VALUES ($1, $2, 'done', pg_catalog.pg_current_xact_id()::text)"
    " ON CONFLICT (run, step) DO UPDATE SET state = 'done', xid = EXCLUDED.xid,"
    " at = pg_catalog.clock_timestamp()"
)
READ_STEPS: Final = "SELECT step, state, xid FROM {s}.step WHERE run = $1::text ORDER BY at, step"

# The newest word on each step, whichever run said it: a later run goes on with what one began.
READ_STARTED: Final = (
    "SELECT step FROM (SELECT DISTINCT ON (step) step, state FROM {s}.step"
    " ORDER BY step, at DESC) newest WHERE state = 'started'"
)

FORGET_STEP: Final = "DELETE FROM {s}.step WHERE step = $1::text AND state = 'started'"

READ_APPLIED: Final = (
    "SELECT history, version, name, checksum, owner, run, image, down, added FROM {s}.applied"
    " WHERE history = $1::text ORDER BY seq"
)
INSERT_APPLIED: Final = (
    "INSERT INTO {s}.applied (history, version, name, checksum, owner, run, image, down, added)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb)"
)
DELETE_APPLIED: Final = (
    "DELETE FROM {s}.applied WHERE history = $1::text AND version = $2::text RETURNING version"
)

READ_HALF: Final[tuple[str, ...]] = ()  # a file is there, or nothing of it
FORGET_HALF: Final[tuple[str, ...]] = ()

# Whoever restores a dump gives every object another oid, `meta` too: then `added` holds the names
# of the same things, and the numbers of others.
RECORD_TOOL_RUN: Final = (
    "INSERT INTO {s}.tool_run (run, segment, attempt, step, history, image, before, after, added,"
    " home, fingerprint_before, fingerprint_after, cut)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7::text[], $8::text[], $9::jsonb,"
    " (SELECT tableoid FROM {s}.meta), $10, $11, $12)"
    " ON CONFLICT (run, segment, attempt, step) DO UPDATE SET after = EXCLUDED.after,"
    " added = EXCLUDED.added, home = EXCLUDED.home, fingerprint_after = EXCLUDED.fingerprint_after,"
    " cut = EXCLUDED.cut, at = pg_catalog.clock_timestamp()"
)
READ_TOOL_RUNS: Final = (
    "SELECT run, segment, attempt, step, history, image, before, after, added, fingerprint_before,"
    " fingerprint_after, cut, home = (SELECT tableoid FROM {s}.meta) FROM {s}.tool_run"
    " WHERE history = $1::text ORDER BY seq"
)

READ_NOTE: Final = "SELECT value FROM {s}.note WHERE kind = $1::text AND key = $2::text"
WRITE_NOTE: Final = (
    "INSERT INTO {s}.note (kind, key, value) VALUES ($1, $2, $3::jsonb) ON CONFLICT (kind, key)"
    " DO UPDATE SET value = EXCLUDED.value, at = pg_catalog.clock_timestamp()"
)
FORGET_NOTE: Final = "DELETE FROM {s}.note WHERE kind = $1::text AND key = $2::text"

RECORD_SALVAGE: Final = (
    "INSERT INTO {s}.salvage (run, table_name, source, rows, kept_until) VALUES ($1, $2, $3, $4,"
    " pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $5::float8))"
)
_SALVAGE: Final = "SELECT run, table_name, source, rows, kept_until FROM {s}.salvage"
READ_SALVAGE: Final = _SALVAGE + " ORDER BY at, table_name"
EXPIRED_SALVAGE: Final = (
    _SALVAGE + " WHERE kept_until <= pg_catalog.clock_timestamp() ORDER BY at, table_name"
)
FORGET_SALVAGE: Final = "DELETE FROM {s}.salvage WHERE table_name = $1::text"

RECORD_ROLLED_BACK: Final = (
    "INSERT INTO {s}.rolled_back (history, digest, run) VALUES ($1, $2, $3)"
    " ON CONFLICT (history, digest) DO UPDATE SET run = EXCLUDED.run,"
    " at = pg_catalog.clock_timestamp()"
)
LIFT_ROLLED_BACK: Final = "DELETE FROM {s}.rolled_back WHERE history = $1::text"
READ_ROLLED_BACK: Final = "SELECT digest FROM {s}.rolled_back WHERE history = $1::text"

RECORD_RESOLUTION: Final = (
    "INSERT INTO {s}.resolution (run, verdict, by, reason) VALUES ($1, $2, $3, $4)"
    " ON CONFLICT DO NOTHING"
)
READ_RESOLUTIONS: Final = "SELECT run, verdict, by, reason, at FROM {s}.resolution ORDER BY at"


# Tables that are there once for each roll-back or checkpoint.
_NUMBERED: Final = r"(?:salvage|journal|clone|kept)_\w+"


def in_schema(statement: str, schema: str) -> str:
    """Return a statement of this module for the ledger in a schema."""
    return statement.replace("{s}", quote_identifier(schema))


def tables(version: int) -> frozenset[str]:
    """Return the names of the tables of a ledger of a version."""
    made = (each for older in range(version) for each in UPGRADES[older])
    return frozenset(re.findall(r"TABLE \{s\}\.(\w+)", "".join((CREATE_META, *made))))


def naming(schema: str) -> str:
    """Return a pattern for the ledger's schema in any code; `schema` is a pattern itself.

    Its name alone may be anything: with it stands a table of the ledger, or the word schema.
    """
    quote, names = r"""(?:\\?["'`])?""", "|".join(sorted(tables(LEDGER_VERSION)))
    return (
        rf"""(?:(?<![\w$.])|(?<=\\[nrt])){schema}{quote}\s*\.\s*{quote}(?:{names}|{_NUMBERED})\b"""
        rf"""|\bschema["'`]?\s*[:=]\s*["'`]{schema}["'`]"""
        rf"""|\bschema\s+(?:if\s+(?:not\s+)?exists\s+)?{quote}{schema}(?!\w)"""
        rf"""|schema\(\s*["'`]{schema}["'`]"""
    )
