"""The programs of a dump: what they are told, and what they say."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from whimbrel.planning.dialects.postgresql_checkpoint import CAPTURE_TRIGGERS

_VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
_ERROR: Final = re.compile(r"ERROR:\s+([0-9A-Z]{5}): (.*)")
_LOCK_WAIT: Final = 10_000  # milliseconds for which pg_dump waits for whoever changes a table
# Lines of a list of contents are: number; catalogue, oid, kind, schema, name and owner.
_LINE: Final = r"^\d+; \d+ \d+ "
# Outside of every schema, and of a superuser as a rule: they stay as they are.
_BEYOND: Final = re.compile(
    _LINE + r"(?:(?:ACL|COMMENT|SECURITY LABEL) - )?(?:FOREIGN DATA WRAPPER|FOREIGN SERVER|SERVER"
    r"|USER MAPPING|EVENT TRIGGER|SUBSCRIPTION|PROCEDURAL LANGUAGE|LANGUAGE|ACCESS METHOD|BLOB"
    r"|LARGE OBJECT)"
)
_ABOUT_EXTENSION: Final = re.compile(_LINE + r"(?:COMMENT|SECURITY LABEL) - EXTENSION ")
_EXTENSION: Final = re.compile(r"^\d+; 3079 \d+ EXTENSION - (\S+)")
_SCHEMA: Final = re.compile(r"^\d+; 2615 \d+ SCHEMA - (.+) \S+\s*$")
# Those that stopped writes, or captured them: what they call may be gone, and so is their time.
_OURS: Final = re.compile(rf"^\d+; 2620 \d+ TRIGGER .* {CAPTURE_TRIGGERS}")
_LEFT_OUT: Final = (_BEYOND, _ABOUT_EXTENSION, _OURS)
# Names of libpq's variables; what has none (keepalives) is our own
# sessions' matter, and the encoding of a dump is the database's.
_VARIABLES: Final = {
    "host": "PGHOST", "port": "PGPORT", "dbname": "PGDATABASE", "user": "PGUSER",
    "password": "PGPASSWORD", "sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT",
    "sslnegotiation": "PGSSLNEGOTIATION", "channel_binding": "PGCHANNELBINDING",
    "ssl_min_protocol_version": "PGSSLMINPROTOCOLVERSION", "gssencmode": "PGGSSENCMODE",
    "require_auth": "PGREQUIREAUTH", "target_session_attrs": "PGTARGETSESSIONATTRS",
    "load_balance_hosts": "PGLOADBALANCEHOSTS", "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
}  # fmt: skip
_PUBLIC: Final = "public"  # in no list: every database has it
DUMP, RESTORE, PSQL = "pg_dump", "pg_restore", "psql"


def environment(parts: Mapping[str, str], name: str) -> dict[str, str]:
    """Return the variables that lead to a database: no word of them is in a command line.

    Args:
        parts: Of libpq's connection string.
        name: What the sessions are called.
    """
    found = {_VARIABLES[key]: value for key, value in parts.items() if key in _VARIABLES}
    # A variable of whoever started us would lead elsewhere than the URL says.
    return {"PGHOSTADDR": "", **found, "PGAPPNAME": name}


def ask_version(program: str) -> tuple[str, ...]:
    """Return the command that tells a program's version."""
    return (program, "--version")


def major_of(lines: Iterable[str]) -> int | None:
    """Return the major version that a program tells, or None."""
    found = _VERSION.search("\n".join(lines))
    return int(found[1]) if found else None


def dump_to(path: str) -> tuple[str, ...]:
    """Return the command that dumps the whole database, compressed, to a file."""
    return (DUMP, "--format=custom", f"--lock-wait-timeout={_LOCK_WAIT}", f"--file={path}")


def list_contents(path: str, *, besides: str = "") -> tuple[str, ...]:
    """Return the command that lists what a dump holds, without a schema."""
    left_out = (f"--exclude-schema={besides}",) if besides else ()
    return (RESTORE, "--list", *left_out, path)


def write_script(path: str, contents: str, to: str) -> tuple[str, ...]:
    """Return the command that writes the statements of a dump, those that a list names."""
    return (RESTORE, f"--use-list={contents}", f"--file={to}", path)


def run_scripts(*paths: str) -> tuple[str, ...]:
    """Return the command that runs scripts in one transaction: all of them, or nothing."""
    files = (f"--file={each}" for each in paths)
    quiet = ("--no-psqlrc", "--quiet", "--output=/dev/null")
    once = ("--single-transaction", "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=verbose")
    return (PSQL, *quiet, *once, *files)


@dataclass(frozen=True)
class Contents:
    """What of a dump is restored into the database that it was made of.

    Attributes:
        lines: Of the list of contents.
        extensions: Those that were there.
        staying: Schemas that stay, and are emptied.
    """

    lines: tuple[str, ...]
    extensions: tuple[str, ...]
    staying: tuple[str, ...]


def contents(listed: Iterable[str], cannot_go: Iterable[str]) -> Contents:
    """Return a list of contents without what stays: some schemas, what is beyond them, our own.

    Args:
        listed: Lines of `list_contents`.
        cannot_go: Schemas of now that cannot be dropped; those that the dump does not have go.
    """
    kept, extensions, there = [], [], frozenset(cannot_go)
    staying = {_PUBLIC}
    for line in listed:
        if found := _EXTENSION.match(line):
            extensions.append(found[1])
        schema = _SCHEMA.match(line)
        if schema is not None and schema[1] in there:
            staying.add(schema[1])
        elif not any(each.match(line) for each in _LEFT_OUT):
            kept.append(line)
    return Contents(tuple(kept), tuple(extensions), tuple(sorted(staying)))


def sqlstate(lines: Iterable[str]) -> tuple[str, str]:
    """Return SQLSTATE and words of the first error that psql was told, or twice nothing."""
    found = next((seen for seen in map(_ERROR.search, lines) if seen), None)
    return (found[1], found[2]) if found else ("", "")
