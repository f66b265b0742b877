"""The manifest of a checkpoint in the ledger on PostgreSQL, as text; `{s}` is the schema."""

from typing import Final

# Version 3 of the ledger. At most one checkpoint has anything left in the database.
CREATE_CHECKPOINT: Final = (
    """
CREATE TABLE {s}.checkpoint (
    id text PRIMARY KEY,
    run text NOT NULL,
    state text NOT NULL CHECK (state IN
        ('Capturing', 'Ready', 'Restoring', 'Restored', 'Closing', 'Closed')),
    login text NOT NULL,
    own_login boolean NOT NULL,
    journal text NOT NULL,
    snapshot text NOT NULL DEFAULT '',
    opened_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    kept_until timestamptz NOT NULL,
    max_journal bigint NOT NULL,
    on_conflict text NOT NULL CHECK (on_conflict IN ('Record', 'Hold')),
    mappings jsonb NOT NULL DEFAULT '[]',
    capture_role text NOT NULL DEFAULT '',
    capture jsonb NOT NULL DEFAULT '{}',
    reason text NOT NULL DEFAULT ''
)""",
    "CREATE UNIQUE INDEX checkpoint_only_one ON {s}.checkpoint ((true)) WHERE state <> 'Closed'",
    """
CREATE TABLE {s}.checkpoint_table (
    checkpoint text NOT NULL REFERENCES {s}.checkpoint (id),
    number integer NOT NULL,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    oid bigint NOT NULL,
    key text[] NOT NULL,
    clone text NOT NULL,
    kept text NOT NULL,
    manifest jsonb NOT NULL,
    rows bigint NOT NULL DEFAULT 0,
    bytes bigint NOT NULL DEFAULT 0,
    checksum text NOT NULL DEFAULT '',
    PRIMARY KEY (checkpoint, number)
)""",
    # What could not be mapped back by a restore, row by row.
    """
CREATE TABLE {s}.checkpoint_conflict (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    checkpoint text NOT NULL REFERENCES {s}.checkpoint (id),
    number integer NOT NULL,
    key json NOT NULL,
    kind text NOT NULL,
    column_name text NOT NULL DEFAULT '',
    value json,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp()
)""",
)
# Version 4: of a round that was undone, for a person to look at; the next try begins without them.
MARK_SHOWN: Final = (
    "ALTER TABLE {s}.checkpoint_conflict ADD COLUMN shown boolean NOT NULL DEFAULT false",
)

_CHECKPOINT: Final = (
    "SELECT c.id, c.run, c.state, c.login, c.own_login, c.journal, c.snapshot, c.opened_at,"
    " c.kept_until, c.max_journal, c.on_conflict, c.mappings, c.capture_role, c.capture, c.reason,"
    " c.kept_until <= pg_catalog.clock_timestamp() FROM {s}.checkpoint c"
)
READ_CHECKPOINT: Final = _CHECKPOINT + " WHERE c.id = $1::text"
READ_CHECKPOINTS: Final = _CHECKPOINT + " ORDER BY c.opened_at, c.id"
READ_COVERED: Final = (
    "SELECT number, schema_name, table_name, oid, key, clone, kept, manifest, rows, bytes,"
    " checksum FROM {s}.checkpoint_table WHERE checkpoint = $1::text ORDER BY number"
)
INSERT_CHECKPOINT: Final = (
    "INSERT INTO {s}.checkpoint (id, run, state, login, own_login, journal, kept_until,"
    " max_journal, on_conflict, mappings) VALUES ($1, $2, 'Capturing', $3, $4, $5,"
    " pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $6::float8), $7::bigint,"
    " $8, $9::jsonb)"
)
INSERT_COVERED: Final = (
    "INSERT INTO {s}.checkpoint_table (checkpoint, number, schema_name, table_name, oid, key,"
    " clone, kept, manifest) VALUES ($1, $2::int, $3, $4, $5::bigint, $6::text[], $7, $8,"
    " $9::jsonb)"
)
SET_COPIED: Final = (
    "UPDATE {s}.checkpoint_table SET rows = $3::bigint, bytes = $4::bigint, checksum = $5::text"
    " WHERE checkpoint = $1::text AND number = $2::int"
)
SET_CAPTURE_ROLE: Final = "UPDATE {s}.checkpoint SET capture_role = $2::text WHERE id = $1::text"
SET_CAPTURE: Final = "UPDATE {s}.checkpoint SET capture = $2::jsonb WHERE id = $1::text"
SET_SNAPSHOT: Final = "UPDATE {s}.checkpoint SET snapshot = $2::text WHERE id = $1::text"
SET_REASON: Final = "UPDATE {s}.checkpoint SET reason = $2::text WHERE id = $1::text"
# $3: the states from which this one may be reached.
SET_STATE: Final = (
    "UPDATE {s}.checkpoint SET state = $2::text, reason = $4::text"
    " WHERE id = $1::text AND state = ANY ($3::text[]) RETURNING state"
)
FORGET_COVERED: Final = "DELETE FROM {s}.checkpoint_table WHERE checkpoint = $1::text"
FORGET_CHECKPOINT: Final = "DELETE FROM {s}.checkpoint WHERE id = $1::text"
READ_CONFLICTS: Final = (
    "SELECT f.number, t.schema_name, t.table_name, f.key, f.kind, f.column_name, f.value, f.at"
    " FROM {s}.checkpoint_conflict f JOIN {s}.checkpoint_table t"
    " ON t.checkpoint = f.checkpoint AND t.number = f.number"
    " WHERE f.checkpoint = $1::text ORDER BY f.seq"
)
COUNT_CONFLICTS: Final = (
    "SELECT pg_catalog.count(*) FROM {s}.checkpoint_conflict WHERE checkpoint = $1::text"
)
FORGET_CONFLICTS: Final = "DELETE FROM {s}.checkpoint_conflict WHERE checkpoint = $1::text"
# Of checkpoints whose time is over.
READ_OLD_CONFLICTS: Final = (
    "SELECT c.id, pg_catalog.count(*) FROM {s}.checkpoint_conflict f JOIN {s}.checkpoint c"
    " ON c.id = f.checkpoint WHERE c.kept_until <= pg_catalog.clock_timestamp()"
    " GROUP BY c.id ORDER BY c.id"
)
# How many, and those that a person looks at, as text that outlives the transaction.
SHOW_CONFLICTS: Final = (
    "SELECT (SELECT pg_catalog.count(*) FROM {s}.checkpoint_conflict WHERE checkpoint = $1::text),"
    " (SELECT pg_catalog.json_agg(f)::text FROM (SELECT seq, checkpoint, number, key, kind,"
    " column_name, value, at, true AS shown FROM {s}.checkpoint_conflict"
    " WHERE checkpoint = $1::text ORDER BY seq LIMIT 10000) f)"
)
# Those of rounds that were not undone are there.
KEEP_SHOWN: Final = (
    "INSERT INTO {s}.checkpoint_conflict OVERRIDING SYSTEM VALUE SELECT * FROM"
    " pg_catalog.json_populate_recordset(NULL::{s}.checkpoint_conflict, $1::json)"
    " ON CONFLICT DO NOTHING"
)
FORGET_SHOWN: Final = "DELETE FROM {s}.checkpoint_conflict WHERE checkpoint = $1::text AND shown"
# $1 schemas, $2 tables. A table that nobody has analysed yet has no estimate of its rows.
READ_COSTS: Final = """
SELECT w.s, w.t, CASE WHEN c.reltuples < 0 THEN pg_catalog.pg_relation_size(c.oid) / 100
    ELSE c.reltuples::bigint END, pg_catalog.pg_table_size(c.oid)
FROM ROWS FROM (pg_catalog.unnest($1::text[]), pg_catalog.unnest($2::text[])) AS w (s, t)
JOIN pg_catalog.pg_namespace n ON n.nspname = w.s
JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.t ORDER BY 1, 2
"""
_FORGET: Final = "DELETE FROM {s}.%s WHERE run = $1::text"
# All that the ledger says of what a run applied: it is as if that had never been.
FORGET_RUN: Final[tuple[str, ...]] = (
    _FORGET % "applied",
    _FORGET % "tool_run",
    _FORGET % "step",
)
# A run that has done nothing gives the database back; its steps' rows would keep it.
FORGET_RESERVATION: Final[tuple[str, ...]] = (
    _FORGET % "attempt",
    "DELETE FROM {s}.run WHERE id = $1::text",
)
STARTED_STEPS: Final = "SELECT step FROM {s}.step WHERE run = $1::text AND state = 'started'"
_WISHES: Final = "on_conflict = $2::text, mappings = $3::jsonb"
SET_WISHES: Final = f"UPDATE {{s}}.checkpoint SET {_WISHES} WHERE id = $1::text"
