"""The ledger on MariaDB as text: its tables by version, and every statement that uses them.

The tables stand in the migrated database itself, their names begin with the ledger's schema:
`{s}.meta` is `whimbrel_meta`. So a dump of the database holds its ledger, and no right is needed
that a migration would not need anyway. Everything here may be run again: DDL commits by itself.
"""

import re
from typing import Final

from whimbrel.planning.dialects.mariadb import HELD_HERE, THEN, quote_identifier
from whimbrel.planning.dialects.mariadb_checkpoint_manifest import CREATE_CHECKPOINT

LEDGER_VERSION: Final = 4

_NOW: Final = "UTC_TIMESTAMP(6)"
_AT: Final = f"DATETIME(6) NOT NULL DEFAULT ({_NOW})"
_KEY_TEXT: Final = "VARCHAR(190) NOT NULL"
_JSON: Final = "LONGTEXT NOT NULL"
_TABLE: Final = ") ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"

HAS_SCHEMA: Final = "SELECT 1 WHERE $1 IS NOT NULL"
CREATE_SCHEMA: Final = "DO 0"  # there is always a place
READ_TABLES: Final = (
    "SELECT SUBSTRING(TABLE_NAME, CHAR_LENGTH($1) + 2) FROM information_schema.TABLES"
    " WHERE TABLE_SCHEMA = DATABASE() AND LEFT(TABLE_NAME, CHAR_LENGTH($1) + 1) = CONCAT($1, '_')"
)
CREATE_META: Final = f"""
CREATE TABLE IF NOT EXISTS {{s}}.meta (
    one_row TINYINT NOT NULL DEFAULT 1 PRIMARY KEY CHECK (one_row = 1),
    version INT NOT NULL,
    `database` CHAR(36) NOT NULL,
    epoch BIGINT NOT NULL DEFAULT 0,
    created_at {_AT}
{_TABLE}"""
FIRST_META: Final = "INSERT IGNORE INTO {s}.meta (version, `database`) VALUES (0, UUID())"

_VERSION_1: Final = (
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.run (
    id {_KEY_TEXT} PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    uid TEXT NOT NULL,
    cluster TEXT NOT NULL,
    `number` BIGINT NOT NULL,
    purpose TEXT NOT NULL,
    plan_digest TEXT NOT NULL DEFAULT '',
    image TEXT NOT NULL DEFAULT '',
    state VARCHAR(20) NOT NULL DEFAULT 'open' CHECK (state IN
        ('open', 'held', 'done', 'failed', 'rolled_back', 'aborted', 'superseded')),
    opened_at {_AT},
    closed_at DATETIME(6),
    target TEXT NOT NULL DEFAULT '',
    failure MEDIUMTEXT NOT NULL DEFAULT '',
    steps {_JSON} DEFAULT '[]',
    only_one_open TINYINT AS (IF(state IN ('open', 'held'), 1, NULL)) PERSISTENT UNIQUE
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.attempt (
    run {_KEY_TEXT},
    segment VARCHAR(32) NOT NULL,
    attempt INT NOT NULL,
    epoch BIGINT NOT NULL,
    application_name TEXT NOT NULL,
    backend_pid BIGINT NOT NULL,
    login TEXT NOT NULL,
    run_role TEXT NOT NULL DEFAULT '',
    tool BOOLEAN NOT NULL DEFAULT 0,
    host TEXT NOT NULL,
    boot_id TEXT NOT NULL,
    pid BIGINT NOT NULL,
    pid_start BIGINT NOT NULL,
    state VARCHAR(20) NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'fenced')),
    fence TEXT NOT NULL DEFAULT '',
    result MEDIUMTEXT NOT NULL DEFAULT '',
    opened_at {_AT},
    closed_at DATETIME(6),
    PRIMARY KEY (run, segment, attempt)
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.step (
    run {_KEY_TEXT},
    step {_KEY_TEXT},
    state VARCHAR(20) NOT NULL CHECK (state IN ('started', 'done')),
    at {_AT},
    PRIMARY KEY (run, step)
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.applied (
    seq BIGINT NOT NULL AUTO_INCREMENT UNIQUE,
    history {_KEY_TEXT},
    version VARCHAR(32) NOT NULL,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL,
    owner TEXT NOT NULL,
    run TEXT NOT NULL,
    image TEXT NOT NULL,
    down LONGTEXT,
    added {_JSON},
    at {_AT},
    PRIMARY KEY (history, version)
{_TABLE}""",
    # Statements of a file that has begun and is not over. Ordinal 0 is the file itself, with what
    # the whole database held and looked like before; `known` of a statement is what it makes, and
    # `shape` how what it names looked before it. Direction `undo` is a file's way back after it
    # failed; its ordinal 0 tells why.
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.piece (
    history {_KEY_TEXT},
    version VARCHAR(32) NOT NULL,
    direction VARCHAR(8) NOT NULL,
    ordinal INT NOT NULL,
    run TEXT NOT NULL,
    file TEXT NOT NULL,
    line INT NOT NULL,
    digest CHAR(64) NOT NULL,
    state VARCHAR(20) NOT NULL CHECK (state IN ('started', 'done')),
    shape TEXT NOT NULL,
    known {_JSON},
    at {_AT},
    PRIMARY KEY (history, version, direction, ordinal)
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.tool_run (
    seq BIGINT NOT NULL AUTO_INCREMENT UNIQUE,
    run {_KEY_TEXT},
    segment VARCHAR(32) NOT NULL,
    attempt INT NOT NULL,
    step {_KEY_TEXT},
    history TEXT NOT NULL,
    image TEXT NOT NULL,
    `before` {_JSON},
    `after` LONGTEXT,
    added {_JSON},
    fingerprint_before TEXT NOT NULL,
    fingerprint_after TEXT NOT NULL,
    cut BOOLEAN NOT NULL,
    at {_AT},
    PRIMARY KEY (run, segment, attempt, step)
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.salvage (
    run TEXT NOT NULL,
    table_name VARCHAR(64) NOT NULL PRIMARY KEY,
    source TEXT NOT NULL,
    `rows` BIGINT NOT NULL,
    at {_AT},
    kept_until DATETIME(6) NOT NULL
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.rolled_back (
    history {_KEY_TEXT},
    digest VARCHAR(64) NOT NULL,
    run TEXT NOT NULL,
    at {_AT},
    PRIMARY KEY (history, digest)
{_TABLE}""",
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.resolution (
    seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    run {_KEY_TEXT},
    verdict VARCHAR(64) NOT NULL,
    `by` TEXT NOT NULL,
    reason TEXT NOT NULL,
    at {_AT}
{_TABLE}""",
)
_VERSION_2: Final = (
    # What is kept beside the runs, as JSON: see `runner.notes` for the kinds.
    f"""
CREATE TABLE IF NOT EXISTS {{s}}.note (
    kind VARCHAR(32) NOT NULL,
    `key` VARCHAR(500) NOT NULL,
    value {_JSON},
    at {_AT},
    PRIMARY KEY (kind, `key`)
{_TABLE}""",
)
_VERSION_3: Final = (
    # Folders of migrations have longer names than numbers of files.
    "ALTER TABLE {s}.applied MODIFY version VARCHAR(255) NOT NULL",
    "ALTER TABLE {s}.piece MODIFY version VARCHAR(255) NOT NULL",
    "ALTER TABLE {s}.step MODIFY step VARCHAR(500) NOT NULL",
)
# What leads from one version of the ledger to the next; 0 is a ledger with nothing but `meta`.
UPGRADES: Final[dict[int, tuple[str, ...]]] = {
    0: _VERSION_1,
    1: _VERSION_2,
    2: _VERSION_3,
    3: CREATE_CHECKPOINT,
}

READ_META: Final = "SELECT version, `database`, epoch FROM {s}.meta"
LOCK_META: Final = "SELECT version FROM {s}.meta FOR UPDATE"
SET_VERSION: Final = "UPDATE {s}.meta SET version = $1"
RAISE_EPOCH: Final = (
    f"UPDATE {{s}}.meta SET epoch = LAST_INSERT_ID(GREATEST(epoch, $1) + 1){THEN}"
    "SELECT LAST_INSERT_ID()"
)
# One statement, so that nothing fits between the two questions. The row stays locked until the
# end of the transaction: whoever raises the epoch waits for it.
CHECK_STEP: Final = f"SELECT m.epoch, {HELD_HERE} FROM {{s}}.meta m LOCK IN SHARE MODE"
_CHANGED: Final = f"{THEN}SELECT 1 FROM DUAL WHERE ROW_COUNT() > 0"

_RUN: Final = (
    "id, namespace, name, uid, cluster, `number`, purpose, plan_digest, image, state,"
    " opened_at, closed_at, target, failure, steps"
)
READ_OPEN_RUN: Final = f"SELECT {_RUN} FROM {{s}}.run WHERE state IN ('open', 'held')"
READ_RUN: Final = f"SELECT {_RUN} FROM {{s}}.run WHERE id = $1"
READ_RUNS: Final = f"SELECT {_RUN} FROM {{s}}.run ORDER BY opened_at, id"
NEWER_RUN: Final = (
    "SELECT id FROM {s}.run WHERE cluster = $1 AND namespace = $2 AND name = $3"
    " AND uid = $4 AND `number` > $5 ORDER BY `number` DESC LIMIT 1"
)
INSERT_RUN: Final = (
    "INSERT INTO {s}.run (id, namespace, name, uid, cluster, `number`, purpose)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7)"
)
SET_RUN_PLAN: Final = "UPDATE {s}.run SET plan_digest = $2, image = $3, steps = $4 WHERE id = $1"
SET_RUN_TARGET: Final = "UPDATE {s}.run SET target = $2, failure = $3 WHERE id = $1"
SET_RUN_STATE: Final = (
    "UPDATE {s}.run SET state = $2,"
    f" closed_at = IF($2 IN ('open', 'held'), NULL, {_NOW}) WHERE id = $1"
)

_ATTEMPT: Final = (
    "run, segment, attempt, epoch, application_name, backend_pid, login, run_role, tool, host,"
    " boot_id, pid, pid_start, state, fence, result, CAST(opened_at AS CHAR)"
)
_KEY: Final = "run = $1 AND segment = $2 AND attempt = $3"
READ_ATTEMPT: Final = f"SELECT {_ATTEMPT} FROM {{s}}.attempt WHERE {_KEY}"
READ_ATTEMPTS: Final = (
    f"SELECT {_ATTEMPT} FROM {{s}}.attempt WHERE run = $1 ORDER BY opened_at, attempt"
)
INSERT_ATTEMPT: Final = (
    "INSERT INTO {s}.attempt (run, segment, attempt, epoch, application_name, backend_pid, login,"
    " run_role, tool, host, boot_id, pid, pid_start)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
)
# The second start of one attempt changes no row.
SET_ATTEMPT_TOOL: Final = (
    f"UPDATE {{s}}.attempt SET tool = 1, run_role = $4 WHERE {_KEY} AND state = 'open'{THEN}"
    f"SELECT attempt FROM {{s}}.attempt WHERE {_KEY} AND state = 'open'"
)
CLOSE_ATTEMPT: Final = (
    f"UPDATE {{s}}.attempt SET state = 'closed', result = $4, closed_at = {_NOW}"
    f" WHERE {_KEY} AND state = 'open'{_CHANGED}"
)
FENCE_ATTEMPT: Final = (
    f"UPDATE {{s}}.attempt SET state = 'fenced', fence = $4, closed_at = {_NOW}"
    f" WHERE {_KEY} AND state = 'open'"
)

START_STEP: Final = (
    "INSERT INTO {s}.step (run, step, state) VALUES ($1, $2, 'started')"
    f" ON DUPLICATE KEY UPDATE state = 'started', at = {_NOW}"
)
FINISH_STEP: Final = (
    "INSERT INTO {s}.step (run, step, state) VALUES ($1, $2, 'done')"
    f" ON DUPLICATE KEY UPDATE state = 'done', at = {_NOW}"
)
READ_STEPS: Final = "SELECT step, state, '' FROM {s}.step WHERE run = $1 ORDER BY at, step"
# The newest word on each step, whichever run said it: a later run goes on with what one began.
READ_STARTED: Final = (
    "SELECT step FROM (SELECT step, state, ROW_NUMBER() OVER (PARTITION BY step ORDER BY at DESC)"
    " AS nth FROM {s}.step) newest WHERE nth = 1 AND state = 'started'"
)
FORGET_STEP: Final = "DELETE FROM {s}.step WHERE step = $1 AND state = 'started'"

READ_APPLIED: Final = (
    "SELECT history, version, name, checksum, owner, run, image, down, added FROM {s}.applied"
    " WHERE history = $1 ORDER BY seq"
)
INSERT_APPLIED: Final = (
    "INSERT INTO {s}.applied (history, version, name, checksum, owner, run, image, down, added)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
DELETE_APPLIED: Final = (
    "DELETE FROM {s}.applied WHERE history = $1 AND version = $2 RETURNING version"
)

_OF_FILE: Final = "history = $1 AND version = $2 AND direction = $3"
START_PIECE: Final = (
    "INSERT INTO {s}.piece (history, version, direction, ordinal, run, file, line, digest, state,"
    " shape, known) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'started', $9, $10)"
    " ON DUPLICATE KEY UPDATE run = VALUES(run), file = VALUES(file), line = VALUES(line),"
    f" digest = VALUES(digest), state = 'started', shape = VALUES(shape), at = {_NOW}"
)
FINISH_PIECE: Final = (
    f"UPDATE {{s}}.piece SET state = 'done', at = {_NOW} WHERE {_OF_FILE} AND ordinal = $4"
)
FORGET_PIECE: Final = f"DELETE FROM {{s}}.piece WHERE {_OF_FILE} AND ordinal = $4"
FORGET_PIECES: Final = f"DELETE FROM {{s}}.piece WHERE {_OF_FILE}"
READ_HALF: Final[tuple[str, ...]] = (
    "SELECT DISTINCT version, file FROM {s}.piece WHERE history = $1 AND ordinal = 0",
)
FORGET_HALF: Final[tuple[str, ...]] = ("DELETE FROM {s}.piece WHERE history = $1 AND version = $2",)
READ_PIECES: Final = (
    "SELECT version, direction, ordinal, file, line, digest, state, shape, known FROM {s}.piece"
    " WHERE history = $1 ORDER BY version, direction, ordinal"
)

RECORD_TOOL_RUN: Final = (
    "INSERT INTO {s}.tool_run (run, segment, attempt, step, history, image, `before`, `after`,"
    " added, fingerprint_before, fingerprint_after, cut)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)"
    " ON DUPLICATE KEY UPDATE `after` = VALUES(`after`), added = VALUES(added),"
    f" fingerprint_after = VALUES(fingerprint_after), cut = VALUES(cut), at = {_NOW}"
)
READ_TOOL_RUNS: Final = (
    "SELECT run, segment, attempt, step, history, image, `before`, `after`, added,"
    " fingerprint_before, fingerprint_after, cut, 1 FROM {s}.tool_run"
    " WHERE history = $1 ORDER BY seq"
)

RECORD_SALVAGE: Final = (
    "INSERT INTO {s}.salvage (run, table_name, source, `rows`, kept_until) VALUES ($1, $2, $3, $4,"
    f" {_NOW} + INTERVAL $5 SECOND)"
)
_SALVAGE: Final = "SELECT run, table_name, source, `rows`, kept_until FROM {s}.salvage"
READ_SALVAGE: Final = _SALVAGE + " ORDER BY at, table_name"
EXPIRED_SALVAGE: Final = _SALVAGE + f" WHERE kept_until <= {_NOW} ORDER BY at, table_name"
FORGET_SALVAGE: Final = "DELETE FROM {s}.salvage WHERE table_name = $1"

RECORD_ROLLED_BACK: Final = (
    "INSERT INTO {s}.rolled_back (history, digest, run) VALUES ($1, $2, $3)"
    f" ON DUPLICATE KEY UPDATE run = VALUES(run), at = {_NOW}"
)
READ_NOTE: Final = "SELECT value FROM {s}.note WHERE kind = $1 AND `key` = $2"
WRITE_NOTE: Final = (
    "INSERT INTO {s}.note (kind, `key`, value) VALUES ($1, $2, $3)"
    f" ON DUPLICATE KEY UPDATE value = VALUES(value), at = {_NOW}"
)
FORGET_NOTE: Final = "DELETE FROM {s}.note WHERE kind = $1 AND `key` = $2"

LIFT_ROLLED_BACK: Final = "DELETE FROM {s}.rolled_back WHERE history = $1"
READ_ROLLED_BACK: Final = "SELECT digest FROM {s}.rolled_back WHERE history = $1"

RECORD_RESOLUTION: Final = (
    "INSERT INTO {s}.resolution (run, verdict, `by`, reason) SELECT $1, $2, $3, $4 FROM DUAL"
    " WHERE NOT EXISTS (SELECT 1 FROM {s}.resolution r WHERE r.run = $1 AND r.verdict = $2"
    " AND r.`by` = $3 AND r.reason = $4)"
)
READ_RESOLUTIONS: Final = "SELECT run, verdict, `by`, reason, at FROM {s}.resolution ORDER BY seq"

_OURS: Final = re.compile(r"\{s\}\.(\w+)")


def in_schema(statement: str, schema: str) -> str:
    """Return a statement of this module for the ledger whose tables begin with `schema`."""
    return _OURS.sub(lambda match: quote_identifier(f"{schema}_{match[1]}"), statement)


def tables(version: int) -> frozenset[str]:
    """Return the names of the tables of a ledger of a version."""
    made = (each for older in range(version) for each in UPGRADES[older])
    return frozenset(re.findall(r"EXISTS \{s\}\.(\w+)", "".join((CREATE_META, *made))))


def naming(schema: str) -> str:
    """Return a pattern for a table of the ledger in any code; `schema` is a pattern itself."""
    names = "|".join(sorted(tables(LEDGER_VERSION)))
    made = r"(?:salvage|journal|clone|kept)_\w+"
    return rf"(?:(?<![\w$])|(?<=\\[nrt])){schema}_(?:{names}|{made})(?![\w$])"
