"""What an error of MariaDB means for the next try: one table from its number to fate.

The numbers tell more than SQLSTATE, which is HY000 for most of them (MariaDB manual, "MariaDB
Error Code Reference").
"""

import re
from typing import Final

from whimbrel.planning.dialects.fates import Fate, Trouble

FATES: Final[dict[int, Fate]] = {
    0: Fate.UNKNOWN,  # the driver's own words: the session is of no use any more
    1020: Fate.HEALS,  # record has changed since last read
    1021: Fate.HEALS,  # disk full
    1037: Fate.HEALS,  # out of memory
    1040: Fate.HEALS,  # too many connections
    1041: Fate.HEALS,  # out of memory
    1043: Fate.UNKNOWN,  # bad handshake
    1053: Fate.UNKNOWN,  # the server shuts down
    1129: Fate.HEALS,  # host is blocked
    1158: Fate.UNKNOWN,  # network read
    1159: Fate.UNKNOWN,
    1160: Fate.UNKNOWN,  # network write
    1161: Fate.UNKNOWN,
    1180: Fate.UNKNOWN,  # the COMMIT failed
    1203: Fate.HEALS,  # max_user_connections
    1205: Fate.HEALS,  # lock wait timeout, of a row or of a table's definition
    1206: Fate.HEALS,  # no room for more locks
    1213: Fate.HEALS,  # dead-lock
    1290: Fate.HEALS,  # --read-only: a replica, until the fail-over is through
    1317: Fate.HEALS,  # query interrupted: by our watchdog or a person
    1684: Fate.HEALS,  # information_schema left a table out: somebody changes its definition
    1836: Fate.HEALS,  # read-only mode
    1927: Fate.UNKNOWN,  # connection was killed
    1969: Fate.HEALS,  # max_statement_time
    2002: Fate.UNKNOWN,
    2003: Fate.UNKNOWN,
    2006: Fate.UNKNOWN,  # server has gone away
    2013: Fate.UNKNOWN,  # lost connection during query
    2014: Fate.UNKNOWN,  # commands out of sync
    2055: Fate.UNKNOWN,
    3024: Fate.HEALS,  # maximum statement execution time, MySQL's number for 1969
    4166: Fate.HEALS,  # idle_transaction_timeout
}
TROUBLES: Final[dict[int, Trouble]] = {
    1205: Trouble.LOCK,
    1317: Trouble.CANCELLED,
    1062: Trouble.DUPLICATE,
    1044: Trouble.PRIVILEGE,  # on the database
    1142: Trouble.PRIVILEGE,  # on a table
    1143: Trouble.PRIVILEGE,  # on a column
    1227: Trouble.PRIVILEGE,  # a global one
    1370: Trouble.PRIVILEGE,  # on a routine
}
# "Duplicate entry 'ann@example.org' for key ...": these words quote a row.
_QUOTES_A_ROW: Final = frozenset({1062, 1292, 1366, 1411, 1525, 1690, 4025})
_QUOTED: Final = re.compile(r":? '.*'(?= for | in )")
NO_SUCH_SESSION: Final = 1094


def fate_of(number: int) -> Fate:
    """Return what an error means."""
    return FATES.get(number, Fate.PERMANENT)


def fate_of_code(code: str) -> Fate:
    """Return what an error means, by its number as a tool tells it."""
    return fate_of(int(code)) if code.isdecimal() else Fate.PERMANENT


def trouble_of(number: int) -> Trouble:
    """Return which error it is, of those that are answered in a way of their own."""
    return TROUBLES.get(number, Trouble.OTHER)


def without_values(number: int, text: str) -> str:
    """Return the server's words without what they quote of a row."""
    return _QUOTED.sub("", text, count=1) if number in _QUOTES_A_ROW else text
