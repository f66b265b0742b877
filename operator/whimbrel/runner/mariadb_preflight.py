"""What must be true of a MariaDB before anything is locked or written."""

import re
from contextlib import closing
from typing import Final

import pymysql

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.planning.dialects import mariadb as words
from whimbrel.runner.mariadb_session import connect
from whimbrel.runner.mariadb_wire import connect_error
from whimbrel.runner.preflight import Server
from whimbrel.runner.session import Session
from whimbrel.runner.target import Target

_LONGEST_SCHEMA: Final = 10  # characters; "_salvage_<run>_9999" follows with 54, a name has 64
_VERSION: Final = re.compile(r"(?:5\.5\.5-)?([0-9]+)\.([0-9]+)\.[0-9]+.*-mariadb", re.IGNORECASE)


def check_server(target: Target, name: str) -> Server:
    """Return what answers at the target, after asking whether it can carry migrations.

    Raises:
        RefusedError: Not a MariaDB, one that is too old, a Galera cluster, a proxy.
        TransientError: Not reachable, read-only, or a replica.
    """
    with closing(connect(target, name)) as session:
        try:
            (found,) = session.ask(words.SERVER, ())
        except pymysql.MySQLError as error:
            raise _not_mariadb(target, error) from None
        told = session.handshake_id
    version, read_only, database, number, cluster, replica = found
    known = checked_version(str(version))
    if number != told:
        raise RefusedError(
            "ProxyBetween",
            f"a proxy (MaxScale, ProxySQL) stands before the database at {target}: give the "
            "direct address of the server, since a lock belongs to one session of it",
        )
    if cluster:
        raise RefusedError(
            "GaleraCluster",
            f"{target} is a node of a Galera cluster, where a lock of one node is not known to "
            "the others: give a server that replicates in another way",
        )
    if read_only or replica:
        raise TransientError("ReadOnly", f"{target} {_behind(read_only=bool(read_only))}")
    return Server(known[0], str(database), (*target.warnings, *warnings_of(known)))


def _behind(*, read_only: bool) -> str:
    """Return why nothing is written there, and what helps."""
    if read_only:
        return "is read-only, a replica it seems; give the primary's URL"
    return (
        "gets rows from another server (START SLAVE): it is a replica, or both are written to, and "
        "a lock of one is not known to the other; give the server that gets rows from nobody"
    )


def _not_mariadb(target: Target, error: pymysql.MySQLError) -> RefusedError | TransientError:
    # MySQL has no information_schema.GLOBAL_VARIABLES any more.
    if error.args and error.args[0] == 1109:
        return RefusedError("NotMariaDB", _not_carried("MySQL"))
    return connect_error(target, error)


def _not_carried(what: str) -> str:
    return f"{what} answers there, and of its kind only MariaDB 10.6 and later is carried"


def checked_version(text: str) -> tuple[int, int]:
    """Return major and minor of a version as the server says it.

    Raises:
        RefusedError: No MariaDB, or one that is too old.
    """
    match = _VERSION.match(text)
    if match is None:
        raise RefusedError("NotMariaDB", _not_carried("MySQL"))
    found = int(match[1]), int(match[2])
    if found < words.OLDEST_SERVER:
        oldest = ".".join(map(str, words.OLDEST_SERVER))
        raise RefusedError(
            "ServerTooOld",
            f"MariaDB {found[0]}.{found[1]} is older than {oldest}, the oldest that we carry",
        )
    return found


def warnings_of(found: tuple[int, int]) -> tuple[str, ...]:
    """Return what is said of a version, major and minor, that is newer than any tried."""
    if found <= words.NEWEST_SERVER:
        return ()
    newest = ".".join(map(str, words.NEWEST_SERVER))
    shown = ".".join(map(str, found))
    return (f"ServerUntested: MariaDB {shown} is newer than {newest}, the newest tested",)


def check_place(session: Session, schema: str) -> None:
    """Refuse a ledger schema from which no names of tables can be made.

    Raises:
        RefusedError: It is too long.
    """
    if len(schema) > _LONGEST_SCHEMA:
        raise RefusedError(
            "LedgerNameTooLong",
            f"database.ledgerSchema {schema} begins the names of the ledger's tables on "
            f"{session.dialect.title}: at most {_LONGEST_SCHEMA} characters",
        )
