"""Runs inside the user's image as `python -c <this text> CONFIG URL_ENV COMMAND [REVISION]`.

Never imported by us: the runner sends its text. It needs only Python 3.8 and the image's own
Alembic, leaves env.py alone and gives it the URL of the environment instead of the ini's one.
Lines that begin with `MARK` and hold JSON are for the runner; all other lines are the project's.
"""

from __future__ import annotations

import sys

# `python -c` puts the working directory first, where a folder `alembic` would hide the package;
# the command `alembic` does not have it at all. Last, it hides nothing.
if __name__ == "__main__":
    sys.path.sort(key=lambda entry: entry == "")

import ast
import hashlib
import json
import os
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

MARK = "@whimbrel "


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


def is_library(path: str) -> bool:
    """Say whether a file belongs to Python or to a package, not to the project."""
    known = (sys.modules.get(name) for name in ("os", "alembic", "sqlalchemy"))
    folders = [str(Path(str(module.__file__)).parent) + os.sep for module in known if module]
    return "-packages" in path or path.startswith(tuple(folders))


def own_frame(trace: TracebackType | None) -> dict[str, Any]:
    """Return file and line of the innermost frame that belongs to the project."""
    for frame in reversed(traceback.extract_tb(trace)):
        if Path(frame.filename).is_file() and not is_library(frame.filename):
            return {"file": os.path.relpath(frame.filename), "line": frame.lineno}
    return {}


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what ended the program, without the values that SQLAlchemy puts into its messages."""
    sys.stderr.write("".join(traceback.format_tb(trace)))
    sys.stderr.write(f"{kind.__name__}: {first_line(error)}\n")
    driver = getattr(error, "orig", None) or error
    place = own_frame(trace)
    if isinstance(error, SyntaxError) and error.filename:
        place = {"file": os.path.relpath(error.filename), "line": error.lineno}
    tell(
        "problem",
        reason=kind.__name__,
        text=first_line(error),
        sqlstate=getattr(driver, "sqlstate", None) or getattr(driver, "pgcode", None) or "",
        statement=" ".join(str(getattr(error, "statement", None) or "").split())[:200],
        **place,
    )


if __name__ == "__main__":
    sys.excepthook = report
try:
    from alembic import __version__ as alembic_version, command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
except ImportError as missing:
    if __name__ != "__main__":
        raise
    stop("AlembicMissing", text=first_line(missing), python=sys.executable)


def load_config(path: str, variable: str) -> Config:
    """Return the project's own configuration with the URL of the environment."""
    if not Path(path).is_file():
        stop("ConfigMissing", config=path, directory=str(Path.cwd()))
    config = Config(toml_file=path) if path.endswith(".toml") else Config(path)
    url = os.environ.get(variable, "")
    if url:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def way_back(path: str) -> str:
    """Return what the file's `downgrade` is: Written, Empty, Refuses or Missing."""
    tree = ast.parse(Path(path).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == "downgrade":
            body = [each for each in node.body if not is_idle(each)]
            if not body:
                return "Empty"
            return "Refuses" if isinstance(body[0], ast.Raise) else "Written"
    return "Missing"


def is_idle(node: ast.stmt) -> bool:
    """Say whether a statement does nothing: pass, a docstring, an ellipsis."""
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, ast.Pass)


def inspect(config: Config) -> None:
    """Tell the project's revisions and heads; opens no database."""
    # Alembic only warns and then takes either of the two files.
    warnings.filterwarnings("error", message=".*present more than once.*")
    script = ScriptDirectory.from_config(config)
    for each in script.walk_revisions():
        tell(
            "revision",
            id=each.revision,
            down=down_revisions(each.down_revision),
            depends=sorted(getattr(each, "_resolved_dependencies", None) or ()),
            file=Path(each.path).name,
            sha256=hashlib.sha256(Path(each.path).read_bytes()).hexdigest(),
            downgrade=way_back(each.path),
            title=first_line(each.doc)[:200],
        )
    tell("inspected", alembic=alembic_version, heads=list(script.get_heads()))


def down_revisions(down: Any) -> list[str]:  # noqa: ANN401 - None, a string or a tuple
    """Return the revisions below as a list."""
    if down is None:
        return []
    return [down] if isinstance(down, str) else list(down)


def main() -> None:
    """Do the one thing that the arguments ask for."""
    path, variable, name, *revision = sys.argv[1:]
    config = load_config(path, variable)
    if name == "inspect":
        inspect(config)
        return
    if name == "stamp":
        command.stamp(config, revision)
    else:
        {"upgrade": command.upgrade, "downgrade": command.downgrade}[name](config, revision[0])
    tell("finished")


if __name__ == "__main__":
    main()
