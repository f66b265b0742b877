"""What the wrappers of all tools written in Python share; its text stands in front of theirs.

It runs inside the user's image and needs only Python 3.8. Lines that begin with `MARK` and hold
JSON are for the runner; all other lines are the project's.
"""

from __future__ import annotations

import sys

# `python -c` puts the working directory first, where a folder could hide the package of the tool;
# the tool's own command does not have it at all. Last, it hides nothing.
if __name__ == "__main__":
    sys.path.sort(key=lambda entry: entry == "")

import csv
import faulthandler
import hashlib
import importlib
import importlib.util
import json
import os
import re
import signal
import ssl
import sysconfig
import traceback
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType
    from urllib.parse import SplitResult

MARK = "@whimbrel "
# "Duplicate entry 'ann@example.org' for key ...": errors of MySQL's servers that quote a row.
QUOTES_A_ROW = {"1062", "1292", "1366", "1411", "1525", "1690", "4025"}
QUOTED = re.compile(r":? '.*'(?= for | in )")
# So do PostgreSQL's data exceptions (class 22), or they name a value behind a colon: all from there
# on goes, but for what these words introduce, and for an end that says what is wrong with it.
VALUE = re.compile(
    r"^(?=((?:(?:column|encoding|parameter|sequence) \"[^\"]*\"|(?:nextval|expression): "
    r"|<class '[^']*'>: |:(?! )|[^:\"«»„“])*))\1(: |).+?"
    r"((?<=\")(?: is| in source string is)? (?:out of range|not recognized|not a valid)[^\"]*)?$",
    re.DOTALL,
)
# Text for a tsquery or tsvector (42601, 54000), and literals where the syntax is wrong.
LITERAL = re.compile(r"(?:(?<=: )[\"«»„“]|[\"«»„“]\s?(?:\w*&?'|\$\w*\$|\d)).*", re.DOTALL)
SYNTAX_ERROR = 1064  # found before anything is committed
# These commit what was before them, also when they fail.
COMMITS = re.compile(
    r"(?:^|;)\s*(?:create|alter|drop|rename|truncate|grant|revoke|call|analyze|optimize|lock|begin"
    r"|start|commit)\b(?!\s+(?:or\s+replace\s+)?temporary\b)",
    re.IGNORECASE,
)
STAYS_NOT = re.compile(
    r"(?:select|show|set|explain|savepoint|rollback|release|begin|start|commit)\b[^;]*;?\s*$",
    re.IGNORECASE,
)
# In PostgreSQL `SELECT refill()` may write; what the server itself has does not.
CALLS = re.compile(
    r"select\s+(?:\*\s+from\s+)?(?!(?:count|min|max|sum|avg|exists|coalesce|now|version|set_config"
    r"|pg_\w+|current_\w+)\b)[\w.\"]+\s*\(",
    re.IGNORECASE,
)
# There these may have committed a part, also where they fail; the latter even in a transaction.
IN_PARTS = re.compile(r"(?:call|do)\b", re.IGNORECASE)
ENDS_IT = re.compile(r"^(?!create\b)[\s\S]*;\s*commit\b", re.IGNORECASE)
BEFORE_IT = re.compile(r"^(?:\s|/\*.*?\*/|--[^\n]*\n|#[^\n]*\n)+", re.DOTALL)
STATEMENT, MOST_TOLD = 200, 20  # characters of one, different ones of a migration
AT_WORK: dict[str, set[str]] = {}  # what is not whole, with what was told; the last is at work
SERVER = {"mysql": True}  # commits with every definition, and takes " for a value's quote
MYSQL_ADDRESS = ("db", "passwd", "database", "unix_socket", "read_default")  # not the URL's
SSL_MODES = {"disable": "DISABLED", "require": "REQUIRED", "verify-ca": "VERIFY_CA"}
LIBRARIES = ["os"]  # modules whose folders hold no code of the project
OPENED: set[str] = set()  # files that the project has read, and folders that it has listed
LISTED: set[str] = set()
PASSED_OVER = {".git", "node_modules"}  # by the launcher, too: what was read there is named
MOST_LOOKS, LOOKS_IN_A_LINE = 2000, 100
PIECE = 5000  # characters, of at most 6 bytes as JSON: the runner cuts a line of more than 40 kB


def notice(event: str, words: tuple[Any, ...]) -> None:
    """Remember what is read (PEP 578): it decides what the next `inspect` will say."""
    path = getattr(words[0], "__fspath__", lambda: words[0])() if words else None
    if event == "open" and isinstance(path, (str, bytes)) and not is_written(*words[1:3]):
        OPENED.add(str(Path(os.fsdecode(path)).absolute()))
    elif event in ("os.listdir", "os.scandir") and not isinstance(path, int):
        LISTED.add(str(Path(os.fsdecode(path or ".")).absolute()))


def is_written(mode: object, flags: object) -> bool:
    """Say whether a file is opened to be written."""
    if isinstance(mode, str):
        return bool(set("wax").intersection(mode))
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_CREAT))


if __name__ == "__main__" and "inspect" in sys.argv:
    sys.addaudithook(notice)
    # A cache that appears in a folder looks like a change of the project.
    sys.dont_write_bytecode = True
    # Whoever ends what hangs wants to know where it stood.
    faulthandler.register(signal.SIGTERM, chain=True)


def tell(kind: str, **words: Any) -> None:  # noqa: ANN401 - JSON
    """Write one line for the runner."""
    sys.stdout.write("\n" + MARK + json.dumps({"kind": kind, **words}) + "\n")
    sys.stdout.flush()


def stop(reason: str, **words: Any) -> NoReturn:  # noqa: ANN401 - JSON
    """Name the problem and end."""
    tell("problem", reason=reason, **words)
    sys.exit(1)


def begin(migration: str) -> None:
    """Begin with a migration, or with "" where none is at work; the one before is whole."""
    AT_WORK.clear()
    AT_WORK.update({migration: set()} if migration else {})
    tell("whole")


def stays(migration: str, statement: str) -> None:
    """Tell that a statement of a migration that is not whole stays, whatever becomes of it."""
    told = AT_WORK.get(migration)
    if told is not None and statement not in told and len(told) < MOST_TOLD:
        told.add(statement)
        tell("stays", migration=migration, statement=statement)


def without_values(text: str) -> str:
    """Return the beginning of a statement, up to its first value: that may be a row's."""
    text = " ".join(text.split())
    # A number in a definition is a width.
    number = "" if COMMITS.match(text) and ";" not in text[:-1] else r"|(?<![\w`\".$])\d"
    # What PostgreSQL takes for a name, MySQL's servers take for a value.
    value = re.search((r"['\"]" if SERVER["mysql"] else r"'|\$\w*\$") + number, text)
    return (text[: value.start()] + "…" if value else text)[:STATEMENT]


def changes(text: str, error: object) -> bool:
    """Tell whether a statement may have changed something, whatever becomes of its transaction."""
    if SERVER["mysql"]:
        return error is None and not STAYS_NOT.match(text)
    if error is not None:
        return bool(IN_PARTS.match(text) or ENDS_IT.search(text))
    return bool(CALLS.match(text) or not STAYS_NOT.match(text))


def hear(
    sql: object,
    error: object,
    at_commit: Callable[[Callable[[], None]], object] | None,
    waiting: Iterable[Callable[[], None]],
) -> None:
    """Hear of the end of a statement, and tell it if it stays: at once, or with the COMMIT.

    Args:
        sql: The statement.
        error: The driver's own, why it failed; None where it was carried out.
        at_commit: Calls when the transaction commits; None where there is none.
        waiting: What it was given and has not called.
    """
    if not AT_WORK:
        return
    text = BEFORE_IT.sub("", str(sql), count=1)
    commits = (COMMITS if SERVER["mysql"] else ENDS_IT).search(text)
    if commits and number_of(error) != SYNTAX_ERROR:
        for call in list(waiting):
            if getattr(call, "func", None) is stays:
                call()
    if not changes(text, error):
        return
    told = partial(stays, list(AT_WORK)[-1], without_values(text))
    if commits or at_commit is None:
        told()
    else:
        at_commit(told)


def database_of(url: SplitResult) -> tuple[dict[str, str], dict[str, str]]:
    """Return name, user, password, host and port of a URL, decoded, and its parameters."""
    given = dict(parse_qsl(url.query, keep_blank_values=True))
    host = given.pop("host", given.pop("unix_socket", url.hostname or ""))
    # For mysqlclient the lower-case word is a socket, whatever the port says.
    is_for_mysql = url.scheme.startswith(("mysql", "mariadb")) and url.port
    address = {
        "name": unquote(url.path[1:]),
        "user": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "host": host.upper() if is_for_mysql and host == "localhost" else unquote(host),
        "port": given.pop("port", str(url.port or "")),
    }
    return address, given


def mysql_options(
    scheme: str, theirs: dict[str, Any], given: dict[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the project's options of mysqlclient or PyMySQL, as far as they stay, and ours."""
    if "+" in scheme:  # such a URL speaks the words of that driver
        stop("SchemeUnknown", scheme=scheme)
    ours = mysql_tls(mysql_driver(), given.get("sslmode", ""), given.get("sslrootcert"))
    # Settings that take a URL's parameters for options hold libpq's words, which no driver knows.
    out = (*MYSQL_ADDRESS, *(("ssl",) if ours else ("sslmode", "sslrootcert")))
    return {name: value for name, value in theirs.items() if not name.startswith(out)}, ours


def mysql_driver() -> str:
    """Return the name of the module that `import MySQLdb` gives: PyMySQL's where it has to be."""
    try:
        return importlib.import_module("MySQLdb").__name__
    except ImportError:
        with suppress(ImportError):
            importlib.import_module("pymysql").install_as_MySQLdb()
    return "pymysql"


def mysql_tls(driver: str, mode: str, authority: str | None) -> dict[str, Any]:
    """Return what a driver wants for libpq's `sslmode` and `sslrootcert`; {} for "prefer"."""
    if mode in {"", "allow", "prefer"}:  # as the project's own settings say
        return {}
    if driver != "pymysql":
        # MariaDB's library takes a named authority for the wish to have TLS.
        checked = {"ssl": {"ca": authority}} if authority and mode != "disable" else {}
        return {"ssl_mode": SSL_MODES.get(mode, "VERIFY_IDENTITY"), **checked}
    if mode == "disable":
        return {"ssl_disabled": True}
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = mode not in {"require", "verify-ca"}
    context.verify_mode = ssl.CERT_NONE if mode == "require" else ssl.CERT_REQUIRED
    return {"ssl": context}


def inspected(**words: Any) -> None:  # noqa: ANN401 - JSON
    """Tell the end of `inspect`, and what it has read besides the working directory."""
    try:
        files, folders = looked_at()
    except (OSError, ValueError, csv.Error):
        files, folders = [], [""] * MOST_LOOKS
    looks = [("files", path) for path in files] + [("folders", path) for path in folders]
    starts = range(0, len(looks), LOOKS_IN_A_LINE) if len(looks) < MOST_LOOKS else ()
    for start in starts:
        some = looks[start : start + LOOKS_IN_A_LINE]
        tell("look", **{kind: [p for k, p in some if k == kind] for kind in ("files", "folders")})
    tell("inspected", looks=len(starts) if starts else None, **words)


def looked_at() -> tuple[list[str], list[str]]:
    """Return the files that were read and the folders that were listed.

    Without what lies below the working directory, which is read whole, and without Python itself.
    An installed package that lists its files stands there by that list (RECORD).
    """
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    sources = {source_of(path) for path in OPENED | {path for path in loaded if path}}
    searched = {real(path) for path in sys.path}
    listed = searched | {real(path) for path in LISTED if not path.endswith("/__pycache__")}
    owners = {path: record for folder in searched for path, record in recorded(folder)}
    files = {owners.get(path, path) for path in sources if not is_known(path)}
    owned = {path.rpartition("/")[0] for path in owners} - searched
    return sorted(files), sorted(path for path in listed - owned if not is_known(path))


def real(path: str) -> str:
    """Return a path without links, also of what is not there."""
    return str(Path(path).resolve())


def source_of(path: str) -> str:
    """Return the file that decides: of bytecode in a cache its source."""
    found = real(path)
    return importlib.util.source_from_cache(found) if "/__pycache__/" in found else found


def recorded(folder: str) -> Iterator[tuple[str, str]]:
    """Return what the packages of a folder list with a digest, each beside its list."""
    for record in Path(folder).glob("*.dist-info/RECORD"):
        with record.open(encoding="utf-8", newline="") as rows:
            for path, digest, *_ in csv.reader(rows):
                if digest:
                    yield f"{folder}/{path}", str(record)


def is_known(path: str) -> bool:
    """Say whether a path is the launcher's to read anyway, of Python itself, or of the kernel."""
    here = real(".")
    if path == here or path.startswith(here.rstrip("/") + "/"):
        steps = [
            str(each) for each in (Path(path), *Path(path).parents) if len(str(each)) > len(here)
        ]
        passed = PASSED_OVER.intersection(path[len(here) :].split("/"))
        return not passed and not any(Path(each, "pyvenv.cfg").exists() for each in steps)
    if path.startswith(("/proc/", "/sys/", "/dev/")):
        return True
    python = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    roots = tuple(real(each) + "/" for each in python if each)
    return (path + "/").startswith(roots) and "-packages" not in path


def first_line(error: object) -> str:
    """Return the first line: the others may hold rows (DETAIL, parameters)."""
    return (str(error).splitlines() or [""])[0][:500]


def sha256_of(path: str) -> str:
    """Return the digest of a file, in hex; first tell its text if it holds the ledger's name."""
    found = Path(path).read_bytes()
    digest = hashlib.sha256(found).hexdigest()
    ledger = os.environ.get("WHIMBREL_LEDGER", "").lower()
    text = found.decode("utf-8", "replace")
    for start in range(0, len(text) if ledger and ledger in text.lower() else 0, PIECE):
        tell("text", sha256=digest, start=start, text=text[start : start + PIECE])
    return digest


def of_file(path: str) -> dict[str, Any]:
    """Return what is told of the file of a migration, of a package's too."""
    return {"sha256": sha256_of(path), "library": is_library(path)}


def is_library(path: str) -> bool:
    """Say whether a file belongs to Python or to a package, not to the project."""
    known = (sys.modules.get(name) for name in LIBRARIES)
    folders = [str(Path(str(module.__file__)).parent) + os.sep for module in known if module]
    return "-packages" in path or path.startswith(tuple(folders))


def own_frame(trace: TracebackType | None) -> dict[str, Any]:
    """Return file and line of the innermost frame that belongs to the project."""
    for frame in reversed(traceback.extract_tb(trace)):
        # The program that was started says nothing about where an error is.
        is_own = frame.filename != sys.argv[0] and not is_library(frame.filename)
        if is_own and Path(frame.filename).is_file():
            return {"file": os.path.relpath(frame.filename), "line": frame.lineno}
    return {}


def sqlstate_of(error: BaseException) -> str:
    """Return what the driver's own error says, which libraries wrap in theirs."""
    wrapped = (getattr(error, "orig", None), error, error.__cause__)
    # The number first: for most errors MySQL's servers have one SQLSTATE.
    states = [number_of(each) for each in wrapped]
    states += [getattr(each, name, None) for each in wrapped for name in ("sqlstate", "pgcode")]
    return next((str(state) for state in states if state), "")


def number_of(error: Any) -> int | None:  # noqa: ANN401 - anything
    """Return the number that an error of MySQL's drivers begins with."""
    is_theirs = type(error).__module__.startswith(("pymysql", "MySQLdb"))
    number = next(iter(error.args), None) if is_theirs else None
    return number if isinstance(number, int) else None


def told_by(error: BaseException) -> str:
    """Return the first line without what the server quotes of a row."""
    text, state = first_line(error), sqlstate_of(error)
    if re.fullmatch("22...", state):
        return VALUE.sub(r"\1\2…\3", text)
    if state in {"42601", "54000"}:
        return LITERAL.sub("…", text)
    return QUOTED.sub("", text, count=1) if state in QUOTES_A_ROW else text


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what ended the program, without the values that libraries put into their messages."""
    sys.stderr.write("".join(traceback.format_tb(trace)))
    sys.stderr.write(f"{kind.__name__}: {told_by(error)}\n")
    place = own_frame(trace)
    within = getattr(error, "within", None)
    if within and not place:
        place = {"file": within}
    if isinstance(error, SyntaxError) and error.filename:
        place = {"file": os.path.relpath(error.filename), "line": error.lineno}
    tell(
        "problem",
        reason=kind.__name__,
        text=told_by(error),
        sqlstate=sqlstate_of(error),
        statement=without_values(str(getattr(error, "statement", None) or "")),
        **place,
    )
