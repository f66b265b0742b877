"""Tool `prisma`: its migration directory is run by us, its table kept as its engine keeps it.

What the engine writes and compares was read in prisma/prisma-engines, schema-engine/connectors:
`sql_migration_persistence.rs`, `checksum.rs`, `migrations_directory.rs`, `flavour/postgres.rs`,
`flavour/mysql.rs`.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Facts, Unfinished
from whimbrel.model.spec import Tool
from whimbrel.model.steps import CatalogObject, MigrationFile
from whimbrel.planning.dialects.mariadb import THEN
from whimbrel.planning.dialects.postgresql_errors import without_values
from whimbrel.planning.expected_objects import expected, first_missing
from whimbrel.planning.file_tool import FileTool, KeptTable, Key
from whimbrel.planning.sql_dialects import sql_dialect
from whimbrel.planning.sql_files import check_texts
from whimbrel.planning.syntax import Parsed

LOCK_FILE: Final = "migration_lock.toml"
# By the last word for the kind of server, which is the provider.
_SERVERS: Final = {"postgresql": "PostgreSQL", "mysql": "MariaDB"}
_SAYS_PROVIDER: Final = re.compile(r'^\s*provider\s*=\s*"([^"]*)"', re.MULTILINE)
# A ConfigMap has no folders: there a point stands for the slash.
_NAME: Final = re.compile(r"([^\s/]{1,255})[/.](migration|down)\.sql")
# Each text matches in one way only: no text makes the search slow.
_SKIPPED: Final = r"(?:\s|--[^\n]*\n|/\*(?:[^*]|\*(?!/))*\*/)*"
_ENDS: Final = r"(?:\s+(?:WORK|TRANSACTION))?\s*"
_BEGIN: Final = re.compile(
    rf"\A{_SKIPPED}\b(?:BEGIN{_ENDS}|START\s+TRANSACTION\s*);", re.IGNORECASE
)
_COMMIT: Final = re.compile(
    rf"(?<=;){_SKIPPED}\bCOMMIT{_ENDS};?{_SKIPPED}(?:--[^\n]*)?\Z", re.IGNORECASE
)
_WORD: Final = re.compile(r"\b(?:BEGIN|START|COMMIT|WORK|TRANSACTION)\b|;", re.IGNORECASE)
_SAID: Final = re.compile(r"\b(?:ERROR|FATAL): ?([^\n]*)")
_CODE: Final = re.compile(r"^Database error code: (\w+)$", re.MULTILINE)
_SHOWN: Final = 6  # statements of a failed file in a message

_ROW: Final = "id, checksum, migration_name, started_at, finished_at, logs, applied_steps_count"
# The start of the transaction, or the end of the migration before in the same one: the engine
# sorts by it.
_BEGAN: Final = (
    "GREATEST(pg_catalog.transaction_timestamp(),"
    " (SELECT pg_catalog.max(p.finished_at) FROM {t} p))"
)
# The engine takes a name for applied as soon as one row of it is not rolled back.
_NOT_THERE: Final = (
    " WHERE NOT EXISTS (SELECT FROM {t} o WHERE o.migration_name = $1::text"
    " AND o.rolled_back_at IS NULL) RETURNING id"
)
_UUID: Final = "pg_catalog.gen_random_uuid()::text"
_NOW: Final = "pg_catalog.clock_timestamp()"
_LOCK: Final = 72707369  # of the engine's own advisory lock, which it holds until it ends

_TABLE: Final = "_prisma_migrations"
_COLUMNS: Final = (
    *("id", "checksum", "finished_at", "migration_name"),
    *("logs", "rolled_back_at", "started_at", "applied_steps_count"),
)
ON_POSTGRESQL: Final = KeptTable(
    name=_TABLE,
    columns=_COLUMNS,
    create=(
        "CREATE TABLE IF NOT EXISTS {t} (id varchar(36) PRIMARY KEY NOT NULL,"
        " checksum varchar(64) NOT NULL, finished_at timestamptz,"
        " migration_name varchar(255) NOT NULL, logs text, rolled_back_at timestamptz,"
        " started_at timestamptz NOT NULL DEFAULT pg_catalog.now(),"
        " applied_steps_count integer NOT NULL DEFAULT 0)"
    ),
    read=(
        "SELECT id, migration_name, migration_name || '/migration.sql', checksum,"
        " CASE WHEN finished_at IS NULL THEN 'unfinished' ELSE 'applied' END,"
        " started_at, COALESCE(logs, '')"
        " FROM {t} WHERE rolled_back_at IS NULL ORDER BY started_at, id"
    ),
    apply=(
        f"INSERT INTO {{t}} ({_ROW})"
        f" SELECT {_UUID}, $2::text, $1::text, {_BEGAN}, {_NOW}, NULL, 1{_NOT_THERE}"
    ),
    # As `migrate resolve --applied` does: one time, empty logs, no step.
    adopt=(
        f"INSERT INTO {{t}} ({_ROW})"  # noqa: S608 - constants of this file
        f" SELECT {_UUID}, $2::text, $1::text, n.now, n.now, '', 0"
        f" FROM (SELECT {_NOW} AS now) n{_NOT_THERE}"
    ),
    # Its rolled back rows too: `migrate status` takes any row for "nothing to do".
    remove=(
        "WITH gone AS (DELETE FROM {t} WHERE migration_name = $1::text"
        " RETURNING finished_at, rolled_back_at)"
        " SELECT 1 FROM gone WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL"
    ),
    undo=(
        "UPDATE {t} SET rolled_back_at = pg_catalog.clock_timestamp()"
        " WHERE id::text = ANY ($1::text[]) AND finished_at IS NULL AND rolled_back_at IS NULL"
    ),
    try_lock=f"SELECT pg_catalog.pg_try_advisory_xact_lock({_LOCK})",
    is_locked=(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l"  # noqa: S608 - constants of this file
        " JOIN pg_catalog.pg_database d"
        " ON d.oid = l.database WHERE d.datname = pg_catalog.current_database()"
        f" AND l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid = {_LOCK}"
        " AND l.objsubid = 1 AND l.pid <> pg_catalog.pg_backend_pid())"
    ),
)

# The engine's times are UTC, and it sorts by the start. Names are compared as bytes: to the
# table's collation `a` and `A` are one.
_START: Final = (
    "INSERT INTO {t} (id, checksum, migration_name, started_at) SELECT UUID(), $2, $1,"
    " GREATEST(UTC_TIMESTAMP(3), COALESCE((SELECT MAX(p.started_at) FROM {t} p)"
    " + INTERVAL 1000 MICROSECOND, UTC_TIMESTAMP(3))) FROM DUAL WHERE NOT EXISTS (SELECT 1"
    " FROM {t} o WHERE CAST(o.migration_name AS BINARY) = $1 AND o.rolled_back_at IS NULL)"
)
_CHANGED: Final = "SELECT 1 FROM DUAL WHERE ROW_COUNT() > 0"
ON_MARIADB: Final = KeptTable(
    name=_TABLE,
    columns=_COLUMNS,
    create=(
        "CREATE TABLE IF NOT EXISTS {t} (id VARCHAR(36) PRIMARY KEY NOT NULL,"
        " checksum VARCHAR(64) NOT NULL, finished_at DATETIME(3),"
        " migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at DATETIME(3),"
        " started_at DATETIME(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),"
        " applied_steps_count INTEGER UNSIGNED NOT NULL DEFAULT 0)"
        " DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci"
    ),
    read=(
        "SELECT id, migration_name, CONCAT(migration_name, '/migration.sql'), checksum,"
        " IF(finished_at IS NULL, 'unfinished', 'applied'), started_at, COALESCE(logs, '')"
        " FROM {t} WHERE rolled_back_at IS NULL ORDER BY started_at, id"
    ),
    begin=THEN.join((_START, _CHANGED)),
    # With the checksum: the text may have been mended since the file began.
    apply=THEN.join(
        (
            _START,
            "UPDATE {t} SET finished_at = GREATEST(UTC_TIMESTAMP(3), started_at), logs = NULL,"
            " checksum = $2, applied_steps_count = 1 WHERE CAST(migration_name AS BINARY) = $1"
            " AND finished_at IS NULL AND rolled_back_at IS NULL",
            _CHANGED,
        )
    ),
    adopt=THEN.join(
        (
            "INSERT INTO {t} (id, checksum, migration_name, started_at, finished_at, logs)"
            " SELECT UUID(), $2, $1, n.now, n.now, '' FROM (SELECT GREATEST(UTC_TIMESTAMP(3),"
            " COALESCE((SELECT MAX(p.started_at) FROM {t} p) + INTERVAL 1000 MICROSECOND,"
            " UTC_TIMESTAMP(3))) AS now) n WHERE NOT EXISTS (SELECT 1 FROM {t} o"
            " WHERE CAST(o.migration_name AS BINARY) = $1 AND o.rolled_back_at IS NULL)",
            _CHANGED,
        )
    ),
    remove=THEN.join(
        (
            "DELETE FROM {t} WHERE CAST(migration_name AS BINARY) = $1"
            " AND (finished_at IS NULL OR rolled_back_at IS NOT NULL)",
            "DELETE FROM {t} WHERE CAST(migration_name AS BINARY) = $1",
            _CHANGED,
        )
    ),
    undo=(
        "UPDATE {t} SET rolled_back_at = UTC_TIMESTAMP(3) WHERE JSON_CONTAINS($1, JSON_QUOTE(id))"
        " AND finished_at IS NULL AND rolled_back_at IS NULL"
    ),
    fail=(
        "UPDATE {t} SET logs = $2 WHERE CAST(migration_name AS BINARY) = $1"
        " AND finished_at IS NULL AND rolled_back_at IS NULL"
    ),
    forget=(
        "DELETE FROM {t} WHERE CAST(migration_name AS BINARY) = $1"
        " AND finished_at IS NULL AND rolled_back_at IS NULL"
    ),
    # The lock belongs to the whole server: one that is held for another database stops nobody.
    try_lock=(
        "SELECT IF(COALESCE(IS_USED_LOCK('prisma_migrate') = CONNECTION_ID(), 0), 1,"
        " GET_LOCK('prisma_migrate', 0)) = 1 OR EXISTS (SELECT 1"
        " FROM information_schema.PROCESSLIST p"
        " WHERE p.ID = IS_USED_LOCK('prisma_migrate') AND p.DB <> DATABASE())"
    ),
    is_locked=(
        "SELECT COALESCE(IS_USED_LOCK('prisma_migrate') <> CONNECTION_ID(), 0) AND NOT EXISTS"
        " (SELECT 1 FROM information_schema.PROCESSLIST p"
        " WHERE p.ID = IS_USED_LOCK('prisma_migrate') AND p.DB <> DATABASE())"
    ),
)


def _read(files: Mapping[str, str]) -> tuple[MigrationFile, ...]:
    """Return the migrations of a directory, ordered by the names of their folders."""
    check_texts(files)
    folders: dict[str, dict[str, str]] = {}
    for name, text in files.items():
        if name != LOCK_FILE:
            folder, kind = _parts(name)
            folders.setdefault(folder, {})[kind] = text
    if not folders:
        raise RefusedError(
            "NoFiles",
            "there are no migrations: the directory holds no folder with a migration.sql",
        )
    return tuple(_migration(folder, folders[folder]) for folder in sorted(folders))


def _for_server(files: Mapping[str, str], variants: Sequence[str]) -> Mapping[str, str]:
    """Return the files, if they are for this kind of server; one directory is for one of them.

    Raises:
        RefusedError: ``WrongProvider``.
    """
    said = _SAYS_PROVIDER.search(files.get(LOCK_FILE, ""))
    provider, wanted = said[1] if said else "none", variants[-1]
    if LOCK_FILE in files and provider != wanted:
        raise RefusedError(
            "WrongProvider",
            f"{LOCK_FILE} names the provider {provider}, but the database is {_SERVERS[wanted]}: "
            f"name the migration directory that was made for {wanted} (prisma.path)",
        )
    return files


def _parts(name: str) -> tuple[str, str]:
    if name.endswith("/"):
        return name[:-1], ""
    match = _NAME.fullmatch(name)
    if match is None:
        raise RefusedError(
            "BadFileName",
            f"{name!r} is not part of a migration: it must look like NAME/migration.sql or "
            "NAME/down.sql (in a ConfigMap NAME.migration.sql), without spaces in NAME",
        )
    return match[1], match[2]


def _migration(folder: str, texts: Mapping[str, str]) -> MigrationFile:
    if "migration" not in texts:
        raise RefusedError(
            "MigrationMissing",
            f"the folder {folder} has no migration.sql: restore the file or delete the folder",
        )
    text, down = texts["migration"], texts.get("down")
    return MigrationFile(
        version=folder,
        name=f"{folder}/migration.sql",
        up=_without_transaction(text),
        down=None if down is None else _without_transaction(down),
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        also=frozenset(_checksums(text)),
    )


def _checksums(text: str) -> Iterator[str]:
    """Yield what the engine takes for the checksum of a text: git changes the ends of lines."""
    unix = text.replace("\r\n", "\n")
    for variant in (text, unix, unix.replace("\n", "\r\n")):
        digest = hashlib.sha256(variant.encode()).digest()
        # Engines before 2021 left the zeros out (prisma/prisma-engines issue 1887).
        yield from (digest.hex(), "".join(f"{byte:x}" for byte in digest))


def _without_transaction(text: str) -> str:
    """Return a text without a BEGIN and COMMIT around all of it; places and lines stay the same.

    Authors write them because the engine promises no transaction; here the file has one anyway.
    """
    begin, commit = _BEGIN.search(text), _COMMIT.search(text)
    if begin is None or commit is None:
        return text
    first, last = begin.end(), commit.start()
    return _blanked(text[:first]) + text[first:last] + _blanked(text[last:])


def _blanked(text: str) -> str:
    comments = re.split(r"(--[^\n]*|/\*.*?\*/)", text, flags=re.DOTALL)
    return "".join(
        part if number % 2 else _WORD.sub(lambda word: " " * len(word[0]), part)
        for number, part in enumerate(comments)
    )


def _find(wanted: str, files: Mapping[Key, str]) -> Key | None:
    key = (0, wanted.removesuffix("/migration.sql"))
    return key if key in files else None


def _unfinished(owner: str, facts: Facts, files: tuple[MigrationFile, ...]) -> tuple[str, ...]:
    """Return notes on failed migrations of Prisma's own, of which nothing stayed.

    Raises:
        HeldError: ``FailedMigration`` (Prisma's P3009): it cannot be proven which way is right.
    """
    known = {file.version: file for file in files}
    rows = [row for row in facts.unfinished if not row.is_ours]
    return tuple(_judged(owner, row, known.get(row.version), facts) for row in rows)


def _judged(owner: str, row: Unfinished, file: MigrationFile | None, facts: Facts) -> str:
    parsed = _parsed(file, facts)
    if row.said and parsed and not any(_may_have_stayed(parsed, each, facts) for each in parsed):
        return (
            f"{row.version} failed under Prisma ({_said(row)}) and nothing of it stayed: when it "
            "runs again, its row is marked as by `prisma migrate resolve --rolled-back`"
        )
    end = f"failed ({_said(row)})" if row.said else "has no end in its table"
    namespace, _, name = owner.partition("/")
    raise HeldError(
        "FailedMigration",
        f"{row.version}, which Prisma began at {row.since}, {end} (P3009); "
        f"{_seen(parsed, facts)}; nothing was touched. If nothing of it is there: "
        f"`prisma migrate resolve --rolled-back {row.version}`, and it is applied again; if all of "
        f"it is there: `prisma migrate resolve --applied {row.version}`; then retry",
        command=f"whimbrel retry {name} -n {namespace}",
    )


def _parsed(file: MigrationFile | None, facts: Facts) -> tuple[Parsed, ...]:
    try:
        return sql_dialect(facts.dialect).parse(file.name, file.up) if file else ()
    except RefusedError:
        return ()  # that may be why it failed


def _may_have_stayed(whole: Iterable[Parsed], one: Parsed, facts: Facts) -> bool:
    """Tell whether a statement may have left something: rows leave nothing that can be seen."""
    made = expected([one])
    lasting = set(expected(whole))
    return not made or any(each not in lasting or _is_there(each, facts) for each in made)


def _is_there(item: CatalogObject, facts: Facts) -> bool:
    return first_missing([item], facts.catalog) is None


def _said(row: Unfinished) -> str:
    """Return code and first line of an error: what follows may hold values of rows."""
    code, told = (find.search(row.said) for find in (_CODE, _SAID))
    words = [code[1]] if code else []
    if told:
        words.append(without_values(code[1] if code else "22000", told[1]))
    return ": ".join(words) or "see its column logs"


def _seen(parsed: tuple[Parsed, ...], facts: Facts) -> str:
    if not parsed:
        return "what is there of it cannot be told, as its file is missing or no SQL"
    told = [_seen_of(each, facts) for each in parsed[:_SHOWN]]
    more = len(parsed) - _SHOWN
    return ", ".join(told) + (f" and {more} more statements" if more > 0 else "")


def _seen_of(parsed: Parsed, facts: Facts) -> str:
    made = expected([parsed])
    place = f"line {parsed.statement.line} ({' '.join(parsed.statement.text.split()[:3])})"
    if not made:
        return f"{place} cannot be seen"
    there = sum(_is_there(each, facts) for each in made)
    return f"{place} is " + (
        "there" if there == len(made) else "in part there" if there else "not there"
    )


PRISMA: Final = FileTool(
    tool=Tool.PRISMA,
    title="Prisma",
    patterns=(LOCK_FILE, "*/", "*/migration.sql", "*/down.sql"),
    read=_read,
    key=lambda version: (0, version),
    find=_find,
    down_name=lambda name: name.removesuffix("migration.sql") + "down.sql",
    no_down="%s has no down.sql beside it: a rollback of it needs a checkpoint",
    later="rename its folder so that it sorts after it",
    unfinished=_unfinished,
    tables={"postgresql": ON_POSTGRESQL, "mariadb": ON_MARIADB},
    choose=_for_server,
)
