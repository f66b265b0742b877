"""Runs inside the user's image as `python -c <text> CONFIG URL_ENV COMMAND [REVISION]`.

Never imported by us: the runner sends its text, with that of python_protocol in the place of the
import. It needs only Python 3.8 and the image's own Alembic, leaves env.py alone and gives it the
URL of the environment instead of the ini's one.
"""

from __future__ import annotations

import ast
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from whimbrel.runner.wrappers.python_protocol import (
    AT_WORK,
    LIBRARIES,
    SERVER,
    begin,
    first_line,
    hear,
    inspected,
    report,
    sha256_of,
    stays,
    stop,
    tell,
)

if __name__ == "__main__":
    sys.excepthook = report
LIBRARIES += ["alembic", "sqlalchemy"]
try:
    from alembic import __version__ as alembic_version, command
    from alembic.config import Config
    from alembic.runtime.migration import HeadMaintainer
    from alembic.script import ScriptDirectory
    from sqlalchemy import event
    from sqlalchemy.engine import Engine
except ImportError as missing:
    if __name__ != "__main__":
        raise
    stop("AlembicMissing", text=first_line(missing), python=sys.executable)

WAITING = "whimbrel: what waits for the COMMIT"  # a key that no project has
RUNNING: list[str] = []  # the migration whose function has not returned
IDLE = 0  # of libpq: no transaction is open
COMMIT = re.compile(r"(?:^|;)\s*commit(?:\s+(?:work|transaction))?\s*(?:;|$)", re.IGNORECASE)
ROLLBACK = re.compile(r"\s*(?:rollback|abort)\b(?!\s+to\b)", re.IGNORECASE)


def load_config(path: str, variable: str) -> Config:
    """Return the project's own configuration with the URL of the environment."""
    if not Path(path).is_file():
        stop("ConfigMissing", config=path, directory=str(Path.cwd()))
    config = Config(toml_file=path) if path.endswith(".toml") else Config(path)
    url = os.environ.get(variable, "")
    if url:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def way_back(tree: ast.Module) -> str:
    """Return what the file's `downgrade` is: Written, Empty, Refuses or Missing."""
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


def is_atomic(tree: ast.Module) -> bool:
    """Say whether a file leaves the COMMIT to Alembic, as far as its text tells."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "autocommit_block":
            return False
        if isinstance(node, ast.Call):
            words = [*node.args, *(each.value for each in node.keywords)]
            texts = [getattr(each, "value", None) for each in words]
            if any(isinstance(each, str) and commits_itself(each) for each in texts):
                return False
    return True


def commits_itself(text: str) -> bool:
    """Say whether a text is SQL that holds a COMMIT, or the name of that isolation level."""
    return text == "AUTOCOMMIT" or bool(COMMIT.search(text.strip()))


def inspect(config: Config) -> None:
    """Tell the project's revisions and heads; opens no database."""
    # Alembic only warns and then takes either of the two files.
    warnings.filterwarnings("error", message=".*present more than once.*")
    script = ScriptDirectory.from_config(config)
    for each in script.walk_revisions():
        tree = ast.parse(Path(each.path).read_text(encoding="utf-8"))
        tell(
            "revision",
            id=each.revision,
            down=down_revisions(each.down_revision),
            depends=sorted(getattr(each, "_resolved_dependencies", None) or ()),
            file=Path(each.path).name,
            sha256=sha256_of(each.path),
            downgrade=way_back(tree),
            atomic=is_atomic(tree),
            title=first_line(each.doc)[:200],
        )
    inspected(alembic=alembic_version, heads=list(script.get_heads()))


def down_revisions(down: Any) -> list[str]:  # noqa: ANN401 - None, a string or a tuple
    """Return the revisions below as a list."""
    if down is None:
        return []
    return [down] if isinstance(down, str) else list(down)


def listen() -> None:
    """Hear of the end of each statement of every engine, and of the beginning of each migration."""
    commands: Any = command
    books: Any = HeadMaintainer
    theirs = commands.EnvironmentContext

    def announcing(config: Config, script: ScriptDirectory, **words: Any) -> Any:  # noqa: ANN401 - what Alembic passes on
        steps = words["fn"]
        words["fn"] = lambda rev, context: announced(steps(rev, context))
        return theirs(config, script, **words)

    commands.EnvironmentContext = announcing
    books.update_to_step = recording(books.update_to_step)
    event.listen(Engine, "engine_connect", hear_commits)
    event.listen(Engine, "after_cursor_execute", carried_out)
    event.listen(Engine, "handle_error", failed)
    event.listen(Engine, "rollback", rolled_back)


def announced(steps: Iterable[Any]) -> Iterator[Any]:
    """Say which migration begins; those before it are not whole until their rows are committed."""
    for step in steps:
        if hasattr(step, "revision"):  # a stamp runs nothing
            RUNNING[:] = [step.revision.revision]
            AT_WORK.setdefault(RUNNING[0], set())
        yield step


def recording(update: Callable[..., None]) -> Callable[..., None]:
    """Tell that a migration is whole once its row is committed; no statement of that is told."""

    def recorded(books: Any, step: Any) -> None:  # noqa: ANN401 - Alembic's own
        names = list(RUNNING)
        RUNNING.clear()
        update(books, step)
        connection = books.context.connection
        for name in names:
            ended = partial(finish, name)
            connection.info.setdefault(WAITING, []).append(ended)
        if not in_transaction(connection):
            settle(connection.info)

    return recorded


def finish(migration: str) -> None:
    """Tell that a migration is whole; what was told of others is told again."""
    AT_WORK.pop(migration, None)
    tell("whole")
    for name, told in AT_WORK.items():
        for statement in sorted(told):
            tell("stays", migration=name, statement=statement)


def settle(info: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
    """Tell what a COMMIT decides: first what is whole by it, then what stays of the others."""
    for call in sorted(info.pop(WAITING, []), key=lambda call: call.func is stays):
        call()


def hear_commits(connection: Any, *_: object) -> None:  # noqa: ANN401 - SQLAlchemy's own
    """Hear of COMMIT once it has succeeded; SQLAlchemy announces it before."""
    dialect = connection.dialect
    theirs = dialect.do_commit
    if getattr(theirs, "func", None) is not committed:
        dialect.do_commit = partial(committed, theirs)


def committed(commit: Callable[[Any], None], session: Any) -> None:  # noqa: ANN401 - of any driver
    """Commit, and tell what that decides."""
    commit(session)
    info = getattr(session, "info", None)
    if isinstance(info, dict):
        settle(info)


def rolled_back(connection: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
    """Forget what waited; a session that is lost has forgotten by itself, and must not be asked."""
    if not connection.closed and not connection.invalidated:
        connection.info.pop(WAITING, None)


def carried_out(connection: Any, _cursor: Any, statement: str, *_: object) -> None:  # noqa: ANN401 - SQLAlchemy's own
    """Hear of a statement that was carried out."""
    is_open = in_transaction(connection)
    if ROLLBACK.match(statement):
        connection.info.pop(WAITING, None)
    elif not is_open:
        settle(connection.info)  # a COMMIT of the author's
    hear_of(connection, statement, None, is_open=is_open)


def failed(context: Any) -> None:  # noqa: ANN401 - SQLAlchemy's own
    """Hear of a statement that failed."""
    if context.connection is not None and context.statement is not None:
        is_open = context.connection.in_transaction() and not is_autocommit(context.connection)
        hear_of(context.connection, context.statement, context.original_exception, is_open=is_open)


def hear_of(connection: Any, statement: str, error: object, *, is_open: bool) -> None:  # noqa: ANN401 - SQLAlchemy's own
    """Hear of the end of a statement of the migration that runs."""
    SERVER["mysql"] = connection.dialect.name in {"mysql", "mariadb"}
    if RUNNING:
        waiting = connection.info.setdefault(WAITING, [])
        hear(statement, error, waiting.append if is_open else None, waiting)


def in_transaction(connection: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's own
    """Say whether what was just carried out waits for a COMMIT: most drivers know."""
    session = connection.connection
    driver = getattr(session, "driver_connection", None) or session.connection
    status = getattr(getattr(driver, "info", None), "transaction_status", None)
    if status is not None:
        return bool(status != IDLE)
    asked = getattr(driver, "is_in_transaction", None)  # asyncpg's
    return bool(asked()) if asked else not is_autocommit(connection)


def is_autocommit(connection: Any) -> bool:  # noqa: ANN401 - SQLAlchemy's own
    """Say whether a session commits each statement by itself."""
    session = connection.connection
    asked = getattr(session, "get_autocommit", None)  # of MySQL's drivers
    return bool(asked()) if asked else getattr(session, "autocommit", None) is True


def main() -> None:
    """Do the one thing that the arguments ask for."""
    path, variable, name, *revision = sys.argv[1:]
    begin("")  # what fails before a migration is at work has left nothing
    config = load_config(path, variable)
    if name == "inspect":
        inspect(config)
        return
    listen()
    if name == "stamp":
        command.stamp(config, revision)
    else:
        {"upgrade": command.upgrade, "downgrade": command.downgrade}[name](config, revision[0])


if __name__ == "__main__":
    main()
