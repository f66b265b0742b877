"""What an error of PostgreSQL means for the next try: one table from SQLSTATE to fate."""

import re
from typing import Final

from whimbrel.planning.dialects.fates import Fate, Trouble

# PostgreSQL manual, appendix A. The longest prefix wins: five characters before two.
FATES: Final[dict[str, Fate]] = {
    "08": Fate.UNKNOWN,  # connection exception
    "25006": Fate.HEALS,  # read-only transaction: a standby, until the fail-over is through
    "25P03": Fate.UNKNOWN,  # idle_in_transaction_session_timeout ends the session
    "28": Fate.HEALS,  # login refused: the Secret or pg_hba.conf is mended
    "3D000": Fate.HEALS,  # database does not exist yet
    "40": Fate.HEALS,  # serialization failure, dead-lock
    "40003": Fate.UNKNOWN,  # statement completion unknown
    "53": Fate.HEALS,  # no disk, memory or connection left
    "55006": Fate.HEALS,  # object in use
    "55P03": Fate.HEALS,  # lock not available
    "57014": Fate.HEALS,  # cancelled: by our watchdog, a timeout or a person
    "57P01": Fate.UNKNOWN,  # administrator terminated the session
    "57P02": Fate.UNKNOWN,  # another process crashed
    "57P03": Fate.HEALS,  # server starts or stops
    "57P05": Fate.UNKNOWN,  # idle_session_timeout ends the session
    "58": Fate.HEALS,  # I/O error of the server
    "72000": Fate.HEALS,  # snapshot too old
}


def fate_of(sqlstate: str | None) -> Fate:
    """Return what an error means; no SQLSTATE at all means that the connection broke."""
    if not sqlstate:
        return Fate.UNKNOWN
    return FATES.get(sqlstate, FATES.get(sqlstate[:2], Fate.PERMANENT))


TROUBLES: Final[dict[str, Trouble]] = {
    "55P03": Trouble.LOCK,
    "57014": Trouble.CANCELLED,
    "42501": Trouble.PRIVILEGE,
    "23505": Trouble.DUPLICATE,
}


def trouble_of(sqlstate: str) -> Trouble:
    """Return which error it is, of those that are answered in a way of their own."""
    return TROUBLES.get(sqlstate, Trouble.OTHER)


# Data exceptions (class 22) quote a value, or name it behind a colon: all from there on goes, but
# for what these words introduce, and for an end that says what is wrong with the value.
_VALUE: Final = re.compile(
    r"^(?=((?:(?:column|encoding|parameter|sequence) \"[^\"]*\"|(?:nextval|expression): "
    r"|<class '[^']*'>: |:(?! )|[^:\"«»„“])*))\1(: |).+?"
    r"((?<=\")(?: is| in source string is)? (?:out of range|not recognized|not a valid)[^\"]*)?$",
    re.DOTALL,
)
# Text for a tsquery or tsvector (42601, 54000), and literals where the syntax is wrong.
_LITERAL: Final = re.compile(r"(?:(?<=: )[\"«»„“]|[\"«»„“]\s?(?:\w*&?'|\$\w*\$|\d)).*", re.DOTALL)


def without_values(sqlstate: str, text: str) -> str:
    """Return the server's words without what they quote of a row."""
    if sqlstate in {"42601", "54000"}:
        return _LITERAL.sub("…", text)
    return _VALUE.sub(r"\1\2…\3", text) if sqlstate.startswith("22") else text
