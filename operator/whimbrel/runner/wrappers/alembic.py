"""Runs inside the user's image as `python -c <text> CONFIG URL_ENV COMMAND [REVISION]`.

Never imported by us: the runner sends its text, with that of python_protocol in the place of the
import. It needs only Python 3.8 and the image's own Alembic, leaves env.py alone and gives it the
URL of the environment instead of the ini's one.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from whimbrel.runner.wrappers.python_protocol import (
    LIBRARIES,
    first_line,
    inspected,
    report,
    sha256_of,
    stop,
    tell,
)

if __name__ == "__main__":
    sys.excepthook = report
LIBRARIES += ["alembic", "sqlalchemy"]
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
            sha256=sha256_of(each.path),
            downgrade=way_back(each.path),
            title=first_line(each.doc)[:200],
        )
    inspected(alembic=alembic_version, heads=list(script.get_heads()))


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


if __name__ == "__main__":
    main()
