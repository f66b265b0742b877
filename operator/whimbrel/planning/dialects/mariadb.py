"""MariaDB: quoting, and every statement of ours but the ledger's, as text.

Values are numbered parameters ($1), as on PostgreSQL; the session puts them in. Where a statement
needs two, they stand in one text with `THEN` between them, and the last one answers.

A session of ours, or of a tool, is known by a user-level lock whose name holds that of the attempt
and the session's number: a server without performance_schema (the default) shows neither program
names nor connection attributes. MariaDB gives such a lock back only when the session's last
statement is over and its transaction is rolled back.
"""

import re
from typing import Final

from whimbrel.model.errors import SpecError

MAX_IDENTIFIER: Final = 64  # characters
OLDEST_SERVER: Final = (10, 6)
NEWEST_SERVER: Final = (11, 4)
THEN: Final = "\n;\n"


def _lock(kind: str, of: str) -> str:
    # A lock's name belongs to the whole server and has at most 64 characters.
    return f"CONCAT('whimbrel:{kind}:', LEFT(SHA2({of}, 256), 40))"


_MIGRATOR: Final = _lock("m", "DATABASE()")
_BOOTSTRAP: Final = _lock("b", "DATABASE()")

_NAMED: Final = "CONCAT('whimbrel:s:', LEFT(SHA2(CONCAT(DATABASE(), ':', $1), 256), 32), ':', {0})"
TAKE_NAME: Final = f"GET_LOCK({_NAMED.format('CONNECTION_ID()')}, 0)"
HAS_NAME: Final = f"COALESCE(IS_USED_LOCK({_NAMED.format('p.ID')}) = p.ID, 0)"
TRY_LOCK: Final = f"SELECT GET_LOCK({_MIGRATOR}, 0)"
UNLOCK: Final = f"SELECT RELEASE_LOCK({_MIGRATOR})"
HELD_HERE: Final = f"COALESCE(IS_USED_LOCK({_MIGRATOR}) = CONNECTION_ID(), 0)"
HOLDS_LOCK: Final = f"SELECT {HELD_HERE}"
LOCK_HOLDER: Final = (
    f"SELECT l.id, '' FROM (SELECT IS_USED_LOCK({_MIGRATOR}) AS id) l WHERE l.id IS NOT NULL"
)
TRY_BOOTSTRAP_LOCK: Final = f"SELECT GET_LOCK({_BOOTSTRAP}, 0)"
AFTER_INSTALL: Final[tuple[str, ...]] = (f"SELECT RELEASE_LOCK({_BOOTSTRAP})",)

CONNECTION: Final = "SELECT CONNECTION_ID()"
# Login, account and database: the account is what GRANT needs.
WHO_AM_I: Final = (
    "SELECT LEFT(USER(), CHAR_LENGTH(USER()) - LOCATE('@', REVERSE(USER()))),"
    " CURRENT_USER(), DATABASE()"
)
# Whether it belongs to a cluster (a node may have wsrep_on turned off and still be in it), and
# whether it gets rows from another server; any login may ask.
SERVER: Final = (
    "SELECT VERSION(), @@global.read_only, DATABASE(), CONNECTION_ID(),"
    " EXISTS (SELECT 1 FROM information_schema.GLOBAL_VARIABLES"
    " WHERE VARIABLE_NAME = 'WSREP_ON' AND VARIABLE_VALUE = 'ON')"
    " OR EXISTS (SELECT 1 FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME = 'WSREP_CONNECTED' AND VARIABLE_VALUE = 'ON'),"
    " EXISTS (SELECT 1 FROM information_schema.GLOBAL_STATUS"
    " WHERE VARIABLE_NAME = 'SLAVES_RUNNING' AND VARIABLE_VALUE <> '0')"
)

# $1 name, $2 login, $3 login of the run or "".
THEIRS: Final = (
    "SELECT p.ID FROM information_schema.PROCESSLIST p WHERE p.ID <> CONNECTION_ID()"
    f" AND ((p.USER = $2 AND {HAS_NAME}) OR ($3 <> '' AND p.USER = $3))"
)
# What a tool may have opened without our name: sessions of its login ($1) that came after ours
# ($2), since numbers only grow, and are not idle. Who is dead begins nothing; whoever idles has
# nothing open that a dead client could still commit.
BUSY_STRANGERS: Final = (
    "SELECT p.ID FROM information_schema.PROCESSLIST p WHERE p.USER = $1 AND p.ID > $2"
    " AND p.ID <> CONNECTION_ID() AND p.COMMAND <> 'Sleep'"
)
PROCESSES: Final = (
    f"SELECT p.ID, p.USER, p.COMMAND, COALESCE(p.STATE, ''), {HAS_NAME}, p.DB = DATABASE()"
    " FROM information_schema.PROCESSLIST p WHERE p.ID <> CONNECTION_ID()"
)
# Only with the privilege PROCESS: waiting session, seconds, who blocks it.
ROW_WAITS: Final = (
    "SELECT r.trx_mysql_thread_id,"
    " TIMESTAMPDIFF(MICROSECOND, r.trx_wait_started, NOW(6)) / 1000000,"
    " b.trx_mysql_thread_id FROM information_schema.INNODB_LOCK_WAITS w"
    " JOIN information_schema.INNODB_TRX r ON r.trx_id = w.requesting_trx_id"
    " JOIN information_schema.INNODB_TRX b ON b.trx_id = w.blocking_trx_id"
)
SESSION_FACTS: Final = (
    "SELECT p.ID, '', p.USER, LOWER(COALESCE(NULLIF(p.STATE, ''), p.COMMAND)), p.TIME_MS / 1000,"
    " COALESCE(p.INFO, '') FROM information_schema.PROCESSLIST p"
    " WHERE JSON_CONTAINS($1, p.ID)"
)
METADATA_WAIT: Final = "Waiting for table metadata lock"
IDLE: Final = "Sleep"
# As an init_command of a tool: what it waits for is bounded, and its sessions carry our name.
TOOL_SESSION: Final = (
    f"SET SESSION lock_wait_timeout = $2, innodb_lock_wait_timeout = $2, @whimbrel := {TAKE_NAME}"
)
READ_ONLY: Final = "SET SESSION TRANSACTION READ ONLY"


def kill(pid: int, *, hard: bool) -> str:
    """Return the statement that cancels what a session does, or ends the session."""
    return f"KILL {'CONNECTION' if hard else 'QUERY'} {pid:d}"


def read_setting(name: str) -> str:
    """Return the question for a setting of the session."""
    return f"SELECT @@SESSION.{quote_identifier(name)}"


def set_setting(name: str) -> str:
    """Return the statement that gives a setting of the session the value $1."""
    return f"SET SESSION {quote_identifier(name)} = $1"


def quote_identifier(name: str) -> str:
    """Return a name as a quoted identifier.

    Raises:
        SpecError: It is empty, longer than 64 characters, or holds or ends with what no name may.
    """
    if not name or "\0" in name or len(name) > MAX_IDENTIFIER or name.endswith(" "):
        problem = f"an identifier has 1 to {MAX_IDENTIFIER} characters, no NUL and no space at end"
        raise SpecError("database", f"{name[:80]!r} is no MariaDB name: {problem}")
    return "`" + name.replace("`", "``") + "`"


def quote_name(schema: str, name: str) -> str:
    """Return database and name, both quoted; without a database, the one that is connected to."""
    before = f"{quote_identifier(schema)}." if schema else ""
    return before + quote_identifier(name)


def quote_account(account: str) -> str:
    """Return an account as CURRENT_USER() says it (app@%) for GRANT."""
    login, _, host = account.rpartition("@")
    return "@".join("'" + part.replace("'", "''") + "'" for part in (login, host))


RENEW_LOGIN: Final = "SET PASSWORD = $1"


def prepare_account(database: str) -> str:
    """Return the sentence that says what a DBA prepares for a tool's runs."""
    account = quote_account(f"{database}_runs@%")
    return (
        "database.runRole must be an account of its own, which no application and no other object "
        "uses and which may change its password; a database administrator runs: CREATE USER "
        f"{account} IDENTIFIED BY 'choose-one'; "
        f"GRANT ALL ON {quote_identifier(database)}.* TO {account}"
    )


def first_words(query: str, limit: int = 6) -> str:
    """Return how a query begins, without any value of it: it goes into messages and status."""
    plain = re.split(r"['\"0-9]|--|/\*|#", query, maxsplit=1)[0]
    return " ".join(plain.split()[:limit])


def ledger_grants(schema: str, account: str, database: str, *, exists: bool) -> tuple[str, ...]:
    """Return what a DBA runs so that an account can have its ledger in the migrated database."""
    wide = "CREATE, ALTER, DROP, INDEX, REFERENCES, SELECT, INSERT, UPDATE, DELETE"
    del schema, exists  # the tables of the ledger stand beside the author's
    return (f"GRANT {wide} ON {quote_identifier(database)}.* TO {quote_account(account)};",)
