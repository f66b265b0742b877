"""Errors of a server: which ones there are, and what each says, whichever driver raised it."""

from typing import Final, TypeAlias

import psycopg
import pymysql

from whimbrel.planning.dialects import mariadb_errors as mariadb, postgresql_errors as postgresql
from whimbrel.planning.dialects.fates import Fate, Said, Trouble

SERVER_ERRORS: Final = (psycopg.Error, pymysql.MySQLError)
ServerError: TypeAlias = psycopg.Error | pymysql.MySQLError


def read_error(error: ServerError) -> Said:
    """Return what an error says."""
    if isinstance(error, psycopg.Error):
        return _of_postgresql(error)
    return _of_mariadb(error)


def is_trouble(error: ServerError, *which: Trouble) -> bool:
    """Return whether an error is one of those."""
    return read_error(error).trouble in which


def _of_postgresql(error: psycopg.Error) -> Said:
    code = error.sqlstate or ""
    # Without a SQLSTATE the text is libpq's own: the connection broke.
    text = error.diag.message_primary or _first_line(str(error)) or type(error).__name__
    return Said(
        code,
        f"SQLSTATE {code}" if code else "",
        postgresql.without_values(code, text),
        postgresql.fate_of(code),
        postgresql.trouble_of(code),
        int(error.diag.statement_position or 0),
    )


def _of_mariadb(error: pymysql.MySQLError) -> Said:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[-1]) if error.args else ""
    fate, trouble = mariadb.fate_of(number), mariadb.trouble_of(number)
    broke = fate is Fate.UNKNOWN
    return Said(
        "" if broke else str(number),
        f"error {number}" if number else "",
        mariadb.without_values(number, _first_line(text)) or type(error).__name__,
        fate,
        trouble,
    )


def _first_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[0] if lines else ""
