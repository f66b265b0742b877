"""PostgreSQL: quoting, and every statement of ours but the ledger's, as text.

Values are numbered parameters ($1): no percent sign is special then, whatever an identifier holds.
Our statements name the schema of every relation, function and operator that matters, and the
runner pins the search path around them, so nothing planted in a user's schema can shadow them
(PostgreSQL manual, "Writing SECURITY DEFINER Functions Safely").
"""

import re
from typing import Final

from whimbrel.model.errors import SpecError

MAX_IDENTIFIER_BYTES: Final = 63  # NAMEDATALEN - 1
OLDEST_SERVER: Final = 14
NEWEST_SERVER: Final = 18

# Two-key advisory locks are separate for each database; "whmb" in ASCII is our class.
LOCK_CLASS: Final = 0x77686D62
MIGRATOR_KEY: Final = 1
BOOTSTRAP_KEY: Final = 2

# Where unqualified names go now, and where "$user" would send them once that schema exists.
HOME_SCHEMA: Final = (
    "SELECT pg_catalog.current_schema(), CASE WHEN pg_catalog.current_setting('search_path')"
    " LIKE '%$user%' THEN current_user END, current_user"
)
READ_SEARCH_PATH: Final = "SELECT pg_catalog.current_setting('search_path')"
# One round trip: the list of a SELECT is evaluated from left to right.
PIN_SEARCH_PATH: Final = (
    "SELECT pg_catalog.current_setting('search_path'),"
    " pg_catalog.set_config('search_path', $1, true)"
)
SET_LOCAL_SEARCH_PATH: Final = "SELECT pg_catalog.set_config('search_path', $1, true)"
# pg_temp last: it is searched first unless it is named.
PINNED_SEARCH_PATH: Final = "pg_catalog, pg_temp"
IS_PREPARED: Final = (
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE name = $1::text)"
)

# The server itself refuses whatever in us would write.
READ_ONLY: Final = "SET default_transaction_read_only = on"
SET_SESSION: Final = "SELECT pg_catalog.set_config($1, $2, false)"
BACKEND_PID: Final = "SELECT pg_catalog.pg_backend_pid()"

TRY_LOCK: Final = f"SELECT pg_catalog.pg_try_advisory_lock({LOCK_CLASS}, {MIGRATOR_KEY})"
UNLOCK: Final = f"SELECT pg_catalog.pg_advisory_unlock({LOCK_CLASS}, {MIGRATOR_KEY})"
TRY_BOOTSTRAP_LOCK: Final = (
    f"SELECT pg_catalog.pg_try_advisory_xact_lock({LOCK_CLASS}, {BOOTSTRAP_KEY})"
)
AFTER_INSTALL: Final[tuple[str, ...]] = ()  # the bootstrap lock ends with its transaction
_EQ: Final = "OPERATOR(pg_catalog.=)"
_OUR_LOCK: Final = (
    f"l.locktype {_EQ} 'advisory'::pg_catalog.text AND l.granted"
    f" AND l.objsubid {_EQ} 2::pg_catalog.int2"
    f" AND l.classid {_EQ} {LOCK_CLASS}::pg_catalog.oid"
    f" AND l.objid {_EQ} {MIGRATOR_KEY}::pg_catalog.oid"
)
# The heartbeat runs this as a single statement beside the worker, without a pinned search path.
HOLDS_LOCK: Final = (
    f"SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE {_OUR_LOCK}"
    f" AND l.pid {_EQ} pg_catalog.pg_backend_pid())"
)
LOCK_HOLDER: Final = (
    "SELECT l.pid, a.application_name FROM pg_catalog.pg_locks l"
    f" LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE {_OUR_LOCK}"
    " AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d"
    " WHERE d.datname = pg_catalog.current_database())"
)

WHO_AM_I: Final = (
    "SELECT session_user::text, current_user::text, pg_catalog.current_database()::text"
)
# What a login can do beyond any owner of tables; nothing where there is no other login.
SERVER: Final = (
    "SELECT pg_catalog.current_setting('server_version_num')::int,"
    " pg_catalog.pg_is_in_recovery(),"
    " pg_catalog.current_setting('transaction_read_only')::bool,"
    " pg_catalog.current_database()::text, CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_roles o"
    " WHERE o.rolcanlogin AND NOT o.rolsuper AND o.oid <> r.oid) THEN pg_catalog.concat_ws(' ',"
    " CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END,"
    " CASE WHEN r.rolreplication THEN 'REPLICATION' END) ELSE '' END"
    " FROM pg_catalog.pg_roles r WHERE r.rolname = session_user"
)

# Sessions of an earlier attempt: by the name they gave, or by the login that was theirs alone.
# $1 application_name, $2 login of those, $3 login of the run or "", $4 pids to spare.
_THEIRS: Final = (
    " FROM pg_catalog.pg_stat_activity a WHERE a.datname = pg_catalog.current_database()"
    " AND a.pid <> pg_catalog.pg_backend_pid() AND NOT a.pid = ANY($4::int[])"
    " AND ((a.application_name = $1::text AND a.usename = $2::text)"
    " OR ($3::text <> '' AND a.usename = $3::text))"
)
TERMINATE_THEIRS: Final = "SELECT a.pid, pg_catalog.pg_terminate_backend(a.pid)" + _THEIRS
COUNT_THEIRS: Final = "SELECT pg_catalog.count(*)" + _THEIRS

# What a tool may have opened under another name: sessions of its login ($1) since $2 that are not
# idle. An idle one has ended its transaction, and whoever is dead begins no other; the server ends
# it as soon as it reads that. Facts of another login are hidden (NULL) and count as the worst.
BUSY_STRANGERS: Final = (
    "SELECT a.pid FROM pg_catalog.pg_stat_activity a"
    " WHERE a.datname = pg_catalog.current_database() AND a.usename = $1::text"
    " AND a.application_name !~ '^whimbrel:' AND a.pid <> pg_catalog.pg_backend_pid()"
    " AND a.state IS DISTINCT FROM 'idle' AND a.backend_type IS DISTINCT FROM 'walsender'"
    " AND COALESCE(a.backend_start, 'infinity') >= $2::timestamptz"
)

# A login may be used from any database, so the fence of a role looks at all of them.
_OF_LOGIN: Final = (
    " FROM pg_catalog.pg_stat_activity a WHERE a.usename = $1::text"
    " AND a.pid <> pg_catalog.pg_backend_pid()"
)
TERMINATE_LOGIN: Final = "SELECT a.pid, pg_catalog.pg_terminate_backend(a.pid)" + _OF_LOGIN
COUNT_LOGIN: Final = "SELECT pg_catalog.count(*)" + _OF_LOGIN

# $1 exact application_name, $2 login or "", $3 pids.
_WATCHED: Final = (
    "a.pid <> pg_catalog.pg_backend_pid() AND (a.application_name = $1::text"
    " OR ($2::text <> '' AND a.usename = $2::text) OR a.pid = ANY($3::int[]))"
)
WATCHED: Final = (
    "SELECT a.pid, a.state FROM pg_catalog.pg_stat_activity a"
    " WHERE a.datname = pg_catalog.current_database() AND a.state <> 'idle' AND " + _WATCHED
)
# pg_locks shows every waiter to everybody; wait_event would be hidden for other logins.
# waitstart exists since 14 and may be NULL for a moment.
WAITERS: Final = (
    "SELECT w.pid, w.seconds, pg_catalog.pg_blocking_pids(w.pid) FROM ("
    "SELECT l.pid, pg_catalog.max(COALESCE(EXTRACT(epoch FROM"
    " pg_catalog.clock_timestamp() - l.waitstart), 0))::float8 AS seconds"
    " FROM pg_catalog.pg_locks l WHERE NOT l.granted GROUP BY l.pid) w"
)
SESSION_FACTS: Final = (
    "SELECT a.pid, COALESCE(a.application_name, ''), COALESCE(a.usename::text, ''),"
    " COALESCE(a.state, ''), COALESCE(EXTRACT(epoch FROM"
    " pg_catalog.clock_timestamp() - COALESCE(a.xact_start, a.backend_start)), 0)::float8,"
    " COALESCE(a.query, '')"
    " FROM pg_catalog.pg_stat_activity a WHERE a.pid = ANY($1::int[])"
)
CANCEL: Final = "SELECT pg_catalog.pg_cancel_backend($1::int)"
TERMINATE: Final = "SELECT pg_catalog.pg_terminate_backend($1::int)"


def quote_identifier(name: str) -> str:
    """Return a name as a quoted identifier.

    Raises:
        SpecError: It is empty, longer than 63 bytes (the server would cut it) or holds a NUL.
    """
    if not name or "\0" in name or len(name.encode()) > MAX_IDENTIFIER_BYTES:
        problem = f"an identifier has 1 to {MAX_IDENTIFIER_BYTES} bytes and no NUL"
        raise SpecError("database", f"{name[:80]!r} is no PostgreSQL name: {problem}")
    return '"' + name.replace('"', '""') + '"'


def quote_name(schema: str, name: str) -> str:
    """Return schema and name, both quoted, with a dot between them."""
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def quote_literal(text: str) -> str:
    """Return text as a string constant, for statements that take no parameters.

    Raises:
        ValueError: The text holds a NUL, which no string of PostgreSQL can.
    """
    if "\0" in text:
        raise ValueError("a PostgreSQL string cannot hold a NUL")
    quoted = text.replace("'", "''")
    if "\\" not in text:
        return f"'{quoted}'"
    return "E'" + quoted.replace("\\", "\\\\") + "'"


def prepare(name: str, question: str, texts: int) -> str:
    """Return the statement that prepares a question with so many texts in it."""
    types = ", ".join(["text"] * texts)
    return f"PREPARE {quote_identifier(name)} ({types}) AS {question}"


def execute_planned(name: str, texts: tuple[str, ...]) -> str:
    """Return the statements that ask it, planned once for all texts; the second returns rows."""
    values = ", ".join(map(quote_literal, texts))
    return (
        "SET LOCAL plan_cache_mode = force_generic_plan;"
        f" EXECUTE {quote_identifier(name)} ({values}); SET LOCAL plan_cache_mode = auto"
    )


def first_words(query: str, limit: int = 6) -> str:
    """Return how a query begins, without any value of it: it goes into messages and status."""
    plain = re.split(r"['\"$0-9]|--|/\*|<insufficient", query, maxsplit=1)[0]
    return " ".join(plain.split()[:limit])


def ledger_grants(schema: str, account: str, database: str, *, exists: bool) -> tuple[str, ...]:
    """Return what a DBA runs in the database so that a role can have its ledger there.

    A schema of its own; `exists`: the right to use the schema of another.
    """
    del database  # the sentence around it names it
    name, role = quote_identifier(schema), quote_identifier(account)
    if not exists:
        return (f"CREATE SCHEMA {name} AUTHORIZATION {role};",)
    return (
        f"GRANT USAGE, CREATE ON SCHEMA {name} TO {role};",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {role};",
    )
