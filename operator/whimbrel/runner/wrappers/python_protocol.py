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

import hashlib
import json
import os
import re
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

MARK = "@whimbrel "
# "Duplicate entry 'ann@example.org' for key ...": errors of MySQL's servers that quote a row.
QUOTES_A_ROW = {1062, 1292, 1366, 1411, 1525, 1690}
QUOTED = re.compile(r":? '.*'(?= for | in )")
LIBRARIES = ["os"]  # modules whose folders hold no code of the project


def tell(kind: str, **words: Any) -> None:  # noqa: ANN401 - JSON
    """Write one line for the runner."""
    sys.stdout.write("\n" + MARK + json.dumps({"kind": kind, **words}) + "\n")
    sys.stdout.flush()


def stop(reason: str, **words: Any) -> NoReturn:  # noqa: ANN401 - JSON
    """Name the problem and end."""
    tell("problem", reason=reason, **words)
    sys.exit(1)


def first_line(error: object) -> str:
    """Return the first line: the others may hold rows (DETAIL, parameters)."""
    return (str(error).splitlines() or [""])[0][:500]


def sha256_of(path: str) -> str:
    """Return the digest of a file, in hex."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


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
    """Return the first line without what MySQL's servers quote of a row."""
    numbers = {number_of(each) for each in (getattr(error, "orig", None), error)}
    text = first_line(error)
    return QUOTED.sub("", text, count=1) if numbers & QUOTES_A_ROW else text


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
        statement=" ".join(str(getattr(error, "statement", None) or "").split())[:200],
        **place,
    )
