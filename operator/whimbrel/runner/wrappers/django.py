"""Runs inside the user's image as `python -c <text> MANAGE SETTINGS URL_ENV COMMAND [WORD ...]`.

Never imported by us: the runner sends its text, with that of python_protocol in the place of the
import. It needs only Python 3.8 and the image's own Django, runs manage.py as it is, and takes
over where that hands over to Django. The URL of the environment is put over
DATABASES['default'] before the first connection.
"""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from whimbrel.runner.wrappers.python_protocol import (
    LIBRARIES,
    first_line,
    inspected,
    of_file,
    report,
    stop,
    tell,
)

if __name__ == "__main__":
    sys.excepthook = report
LIBRARIES += ["django", "psycopg", "psycopg2"]
try:
    import django
    from django.conf import settings
    from django.core import management
    from django.core.exceptions import ImproperlyConfigured
    from django.db import DatabaseError, connections
    from django.db.migrations.executor import MigrationExecutor
    from django.db.migrations.loader import MigrationLoader
except ImportError as missing:
    if __name__ != "__main__":
        raise
    stop("DjangoMissing", text=first_line(missing), python=sys.executable)

BUILT_IN = "django.db.backends."
ENGINES = dict.fromkeys(("postgresql", "postgres"), BUILT_IN + "postgresql")
# Each would lead elsewhere than the URL, or open more sessions than the one that migrates.
LEFT_OUT = {"pool", "service", "passfile", "host", "hostaddr", "port", "user", "password", "dbname"}


def use_database(url: str) -> None:
    """Put the URL over the project's default database; the rest of its settings stays."""
    theirs = load_databases()
    default = theirs.get("default") or {}
    settings.DATABASES = {**theirs, "default": database(urlsplit(url), dict(default))}
    # manage.py, or an app, may have connected already: Django reads its settings again.
    connections.close_all()
    vars(connections).pop("settings", None)
    connections.__init__()


def load_databases() -> dict[str, Any]:
    """Return the project's DATABASES; this imports its settings."""
    name = os.environ.get("DJANGO_SETTINGS_MODULE", "")
    if not name:
        stop("SettingsMissing", text="neither manage.py nor DJANGO_SETTINGS_MODULE names settings")
    try:
        return dict(settings.DATABASES)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        stop("SettingsMissing", text=f"the settings module {name} cannot be found")


def database(url: SplitResult, theirs: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the database that a URL names."""
    scheme = url.scheme.partition("+")[0]
    engine = theirs.get("ENGINE") or ""
    options = dict(theirs.get("OPTIONS") or {})
    # An engine that somebody else wrote (PostGIS, schemas for tenants) knows the database too.
    if (not engine or engine.startswith(BUILT_IN)) and engine != ENGINES.get(scheme):
        if scheme not in ENGINES:
            stop("SchemeUnknown", scheme=scheme)
        engine, options = ENGINES[scheme], {}
    given = dict(parse_qsl(url.query, keep_blank_values=True))
    both = (options.get("options"), given.get("options"))
    if all(both):
        given["options"] = " ".join(map(str, both))  # of two values the server takes the last
    kept = {name: value for name, value in options.items() if name not in LEFT_OUT}
    return {
        **theirs,
        "ENGINE": engine,
        "NAME": unquote(url.path[1:]),
        "USER": unquote(url.username or ""),
        "PASSWORD": unquote(url.password or ""),
        "HOST": unquote(given.pop("host", url.hostname or "")),
        "PORT": given.pop("port", str(url.port or "")),
        "OPTIONS": {**kept, **given},
    }


def load_driver() -> None:
    """Load the driver of the database; opens no connection."""
    try:
        connections["default"].vendor  # noqa: B018 - reading it loads the backend
    except ImproperlyConfigured as error:
        stop("DriverMissing", text=first_line(error))


def inspect() -> None:
    """Tell the project's migrations, newest first, and the newest of each app; no database."""
    graph = MigrationLoader(None, ignore_no_migrations=True).graph
    leaves = sorted(graph.leaf_nodes())
    # The order of a fresh database: each after everything that it needs.
    order = dict.fromkeys(key for leaf in leaves for key in graph.forwards_plan(leaf))
    for key in reversed(list(order)):
        tell("revision", **described(graph.nodes[key], graph.node_map[key].parents))
    inspected(django=django.get_version(), heads=[named(leaf) for leaf in leaves])


def described(migration: Any, parents: Any) -> dict[str, Any]:  # noqa: ANN401 - Django's own
    """Return what the runner has to know of a migration."""
    below = sorted(parent.key for parent in parents)
    return {
        "id": named((migration.app_label, migration.name)),
        "down": [named(key) for key in below if key[0] == migration.app_label],
        "depends": [named(key) for key in below if key[0] != migration.app_label],
        "file": file_of(migration),
        "downgrade": "Written" if all(map(is_reversible, migration.operations)) else "Refuses",
        "atomic": bool(migration.atomic),
        "replaces": [named(tuple(key)) for key in migration.replaces],
        **of_file(str(sys.modules[type(migration).__module__].__file__)),
    }


def named(key: tuple[str, ...]) -> str:
    """Return the name that a spec would give to a migration."""
    return ":".join(key)


def is_reversible(operation: Any) -> bool:  # noqa: ANN401 - Django's own
    """Say whether Django can take an operation back."""
    parts = getattr(operation, "database_operations", None)
    return bool(operation.reversible) if parts is None else all(map(is_reversible, parts))


def remember(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:  # noqa: ANN401
    """Write the statement onto the error that it causes."""
    try:
        return execute(sql, params, many, context)
    except DatabaseError as error:
        error.statement = str(sql)
        raise


def naming(apply: Any) -> Any:  # noqa: ANN401 - Django's own
    """Write the migration's file onto an error that has no line of the project."""

    def named_apply(executor: Any, state: Any, migration: Any, **words: Any) -> Any:  # noqa: ANN401
        try:
            return apply(executor, state, migration, **words)
        except Exception as error:
            vars(error)["within"] = file_of(migration)
            raise

    return named_apply


def file_of(migration: Any) -> str:  # noqa: ANN401 - Django's own
    """Return a migration's file, as seen from the project."""
    return type(migration).__module__.replace(".", "/") + ".py"


def work(variable: str, words: list[str]) -> None:
    """Do the one thing that the arguments ask for."""
    use_database(os.environ[variable])
    load_driver()
    django.setup()
    if words == ["inspect"]:
        inspect()
        return
    for name in ("apply_migration", "unapply_migration"):
        setattr(MigrationExecutor, name, naming(getattr(MigrationExecutor, name)))
    with connections["default"].execute_wrapper(remember):
        management.call_command(*words, interactive=False)


def main() -> None:
    """Run manage.py, which sets up what the project needs, up to the point where Django begins."""
    manage, module, variable, *words = sys.argv[1:]
    if not Path(manage).is_file():
        stop("ManageMissing", manage=manage, directory=str(Path.cwd()))
    if module:
        os.environ["DJANGO_SETTINGS_MODULE"] = module
    handed_over: list[bool] = []

    def take_over(argv: object = None) -> None:
        handed_over.append(True)
        if module:
            os.environ["DJANGO_SETTINGS_MODULE"] = module  # manage.py may have put its own there
        work(variable, words)

    management.execute_from_command_line = take_over
    sys.argv = [manage, *words]
    # As for `python manage.py`: its folder comes first, and not the working directory.
    sys.path[:] = [str(Path(manage).resolve().parent), *filter(None, sys.path)]
    runpy.run_path(manage, run_name="__main__")
    if not handed_over:
        stop("ManageSilent", manage=manage)


if __name__ == "__main__":
    main()
