"""The manifest of a checkpoint in the ledger on MariaDB, as text; `{s}` is the ledger's schema."""

from typing import Final

from whimbrel.planning.dialects.mariadb import THEN

_NOW: Final = "UTC_TIMESTAMP(6)"
_KEY_TEXT: Final = "VARCHAR(190) NOT NULL"
_TABLE: Final = ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

# Version 4 of the ledger. At most one checkpoint has anything left in the database.
CREATE_CHECKPOINT: Final = (
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.checkpoint (
    id {_KEY_TEXT} PRIMARY KEY,
    run {_KEY_TEXT},
    state VARCHAR(20) NOT NULL CHECK (state IN
        ('Capturing', 'Ready', 'Restoring', 'Restored', 'Closing', 'Closed')),
    login TEXT NOT NULL,
    own_login BOOLEAN NOT NULL,
    journal TEXT NOT NULL,
    snapshot TEXT NOT NULL DEFAULT '',
    opened_at DATETIME(6) NOT NULL DEFAULT ({_NOW}),
    kept_until DATETIME(6) NOT NULL,
    max_journal BIGINT NOT NULL,
    on_conflict VARCHAR(20) NOT NULL CHECK (on_conflict IN ('Record', 'Hold')),
    mappings LONGTEXT NOT NULL DEFAULT '[]',
    capture_role TEXT NOT NULL DEFAULT '',
    capture LONGTEXT NOT NULL DEFAULT '{{}}',
    reason TEXT NOT NULL DEFAULT '',
    only_one TINYINT AS (IF(state = 'Closed', NULL, 1)) PERSISTENT UNIQUE
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.checkpoint_table (
    checkpoint {_KEY_TEXT},
    number INT NOT NULL,
    schema_name VARCHAR(64) NOT NULL,
    table_name VARCHAR(64) NOT NULL,
    oid BIGINT NOT NULL,
    `key` LONGTEXT NOT NULL,
    clone VARCHAR(64) NOT NULL,
    kept VARCHAR(64) NOT NULL,
    manifest LONGTEXT NOT NULL,
    `rows` BIGINT NOT NULL DEFAULT 0,
    bytes BIGINT NOT NULL DEFAULT 0,
    checksum TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (checkpoint, number)
{_TABLE}""",
    # What could not be mapped back by a restore, row by row.
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.checkpoint_conflict (
    seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    checkpoint {_KEY_TEXT},
    number INT NOT NULL,
    `key` LONGTEXT NOT NULL,
    kind TEXT NOT NULL,
    column_name VARCHAR(64) NOT NULL DEFAULT '',
    value LONGTEXT,
    at DATETIME(6) NOT NULL DEFAULT ({_NOW})
{_TABLE}""",
)

_CHECKPOINT: Final = (
    "SELECT c.id, c.run, c.state, c.login, c.own_login, c.journal, c.snapshot, c.opened_at,"
    " c.kept_until, c.max_journal, c.on_conflict, c.mappings, c.capture_role, c.capture, c.reason,"
    f" c.kept_until <= {_NOW} FROM {{s}}.checkpoint c"
)
READ_CHECKPOINT: Final = _CHECKPOINT + " WHERE c.id = $1"
READ_CHECKPOINTS: Final = _CHECKPOINT + " ORDER BY c.opened_at, c.id"
READ_COVERED: Final = (
    "SELECT number, schema_name, table_name, oid, `key`, clone, kept, manifest, `rows`, bytes,"
    " checksum FROM {s}.checkpoint_table WHERE checkpoint = $1 ORDER BY number"
)
INSERT_CHECKPOINT: Final = (
    "INSERT INTO {s}.checkpoint (id, run, state, login, own_login, journal, kept_until,"
    " max_journal, on_conflict, mappings) VALUES ($1, $2, 'Capturing', $3, $4, $5,"
    f" {_NOW} + INTERVAL $6 SECOND, $7, $8, $9)"
)
INSERT_COVERED: Final = (
    "INSERT INTO {s}.checkpoint_table (checkpoint, number, schema_name, table_name, oid, `key`,"
    " clone, kept, manifest) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
SET_COPIED: Final = (
    "UPDATE {s}.checkpoint_table SET `rows` = $3, bytes = $4, checksum = $5"
    " WHERE checkpoint = $1 AND number = $2"
)
SET_CAPTURE: Final = "UPDATE {s}.checkpoint SET capture = $2 WHERE id = $1"
SET_SNAPSHOT: Final = "UPDATE {s}.checkpoint SET snapshot = $2 WHERE id = $1"
SET_REASON: Final = "UPDATE {s}.checkpoint SET reason = $2 WHERE id = $1"
# $3: the states from which this one may be reached. A state that is reached already is no change.
SET_STATE: Final = (
    "UPDATE {s}.checkpoint SET state = $2, reason = $4"
    f" WHERE id = $1 AND JSON_CONTAINS($3, JSON_QUOTE(state)){THEN}"
    "SELECT state FROM {s}.checkpoint WHERE id = $1 AND state = $2"
)
SET_WISHES: Final = "UPDATE {s}.checkpoint SET on_conflict = $2, mappings = $3 WHERE id = $1"
FORGET_COVERED: Final = "DELETE FROM {s}.checkpoint_table WHERE checkpoint = $1"
FORGET_CHECKPOINT: Final = "DELETE FROM {s}.checkpoint WHERE id = $1"
READ_CONFLICTS: Final = (
    "SELECT f.number, t.schema_name, t.table_name, f.`key`, f.kind, f.column_name, f.value, f.at"
    " FROM {s}.checkpoint_conflict f JOIN {s}.checkpoint_table t"
    " ON t.checkpoint = f.checkpoint AND t.number = f.number WHERE f.checkpoint = $1 ORDER BY f.seq"
)
COUNT_CONFLICTS: Final = "SELECT COUNT(*) FROM {s}.checkpoint_conflict WHERE checkpoint = $1"
FORGET_CONFLICTS: Final = "DELETE FROM {s}.checkpoint_conflict WHERE checkpoint = $1"
# Of checkpoints whose time is over.
READ_OLD_CONFLICTS: Final = (
    "SELECT c.id, COUNT(*) FROM {s}.checkpoint_conflict f JOIN {s}.checkpoint c"
    f" ON c.id = f.checkpoint WHERE c.kept_until <= {_NOW} GROUP BY c.id ORDER BY c.id"
)

_FORGET: Final = "DELETE FROM {s}.%s WHERE run = $1"
# All that the ledger says of what a run applied: it is as if that had never been.
FORGET_RUN: Final[tuple[str, ...]] = tuple(
    _FORGET % each for each in ("applied", "tool_run", "step", "piece")
)
# A run that has done nothing gives the database back; its steps' rows would keep it.
FORGET_RESERVATION: Final[tuple[str, ...]] = (
    _FORGET % "attempt",
    "DELETE FROM {s}.run WHERE id = $1",
)
STARTED_STEPS: Final = (
    "SELECT step FROM {s}.step WHERE run = $1 AND state = 'started'"
    " UNION ALL SELECT version FROM {s}.piece WHERE run = $1"
)
# $1 schemas, $2 tables.
READ_COSTS: Final = (
    "SELECT t.TABLE_SCHEMA, t.TABLE_NAME, COALESCE(t.TABLE_ROWS, 0), COALESCE(t.DATA_LENGTH, 0)"
    " FROM information_schema.TABLES t WHERE JSON_CONTAINS($1, JSON_QUOTE(t.TABLE_SCHEMA))"
    " AND JSON_CONTAINS($2, JSON_QUOTE(t.TABLE_NAME)) ORDER BY 1, 2"
)
