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
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from whimbrel.runner.wrappers.python_protocol import (
    LIBRARIES,
    SERVER,
    begin,
    database_of,
    first_line,
    hear,
    inspected,
    mysql_options,
    of_file,
    report,
    stop,
    tell,
)

if __name__ == "__main__":
    sys.excepthook = report
LIBRARIES += ["django", "psycopg", "psycopg2", "MySQLdb", "pymysql"]
try:
    import django
    from django.conf import settings
    from django.core import exceptions, management
    from django.db import connections
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.signals import connection_created
    from django.db.migrations import executor, loader, recorder
except ImportError as missing:
    if __name__ != "__main__":
        raise
    stop("DjangoMissing", text=first_line(missing), python=sys.executable)

BUILT_IN = "django.db.backends."
ENGINES = {"postgresql": "postgresql", "postgres": "postgresql"}
ENGINES.update(mysql="mysql", mariadb="mysql")
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
    first = database_of(urlsplit(url))[1].get("init_command")
    if first:  # the project's own, of which a driver takes one, has been carried out by then
        connection_created.connect(partial(run_first, first), weak=False)
    try:
        connections["default"].vendor  # noqa: B018 - it loads the driver; nothing is opened
    except exceptions.ImproperlyConfigured as error:
        stop("DriverMissing", text=first_line(error))


def run_first(statement: str, connection: BaseDatabaseWrapper, **_: object) -> None:
    """Begin a session of the database that is migrated with a statement of ours."""
    if connection.alias == "default":
        with connection.cursor() as cursor:
            cursor.execute(statement)


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
    kind = url.scheme.partition("+")[0]
    own = BUILT_IN + ENGINES.get(kind, "")
    engine = theirs.get("ENGINE") or ""
    options = dict(theirs.get("OPTIONS") or {})
    # An engine that somebody else wrote (PostGIS, schemas for tenants) knows the database too.
    if (not engine or engine.startswith(BUILT_IN)) and engine != own:
        if kind not in ENGINES:
            stop("SchemeUnknown", scheme=kind)
        engine, options = own, {}
    address, given = database_of(url)
    if ENGINES.get(kind) == "mysql":
        options, given = mysql_options(url.scheme, options, given)
    both = (options.get("options"), given.get("options"))
    if all(both):
        given["options"] = " ".join(map(str, both))  # of two values the server takes the last
    kept = {name: value for name, value in options.items() if name not in LEFT_OUT}
    settled = {name.upper(): value for name, value in address.items()}
    return {**theirs, **settled, "ENGINE": engine, "OPTIONS": {**kept, **given}}


def inspect() -> None:
    """Tell the project's migrations, newest first, and the newest of each app; no database."""
    graph = loader.MigrationLoader(None, ignore_no_migrations=True).graph
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


def listen(execute: Any, sql: Any, params: Any, many: Any, context: Any) -> Any:  # noqa: ANN401 - Django's own
    """Hear of the end of each statement; write it onto the error that it causes."""
    connection, failed = context["connection"], None
    try:
        return execute(sql, params, many, context)
    except Exception as error:
        vars(error)["statement"] = str(sql)
        failed = error.__cause__ or error
        raise
    finally:
        waiting = [call for _, call, *_ in connection.run_on_commit]
        hear(sql, failed, connection.on_commit if connection.in_atomic_block else None, waiting)


def at_work(connection: BaseDatabaseWrapper, migration: str = "") -> None:
    """Say which migration is at work, or "" for none."""
    SERVER["mysql"] = connection.vendor == "mysql"
    begin(migration)


def recording(record: Callable[..., None]) -> Callable[..., None]:
    """Tell that a migration is whole once it is written down."""

    def recorded(books: recorder.MigrationRecorder, app: str, name: str) -> None:
        record(books, app, name)
        at_work(books.connection)

    return recorded


def naming(apply: Any) -> Any:  # noqa: ANN401 - Django's own
    """Say which migration is at work, also on an error that has no line of the project."""

    def named_apply(own: Any, state: Any, migration: Any, **words: Any) -> Any:  # noqa: ANN401 - Django's own
        at_work(own.connection, named((migration.app_label, migration.name)))
        try:
            return apply(own, state, migration, **words)
        except Exception as error:
            vars(error)["within"] = file_of(migration)
            raise

    return named_apply


def file_of(migration: Any) -> str:  # noqa: ANN401 - Django's own
    """Return a migration's file, as seen from the project."""
    return type(migration).__module__.replace(".", "/") + ".py"


def work(variable: str, words: list[str]) -> None:
    """Do the one thing that the arguments ask for."""
    begin("")  # what fails before a migration is at work has left nothing
    use_database(os.environ[variable])
    django.setup()
    if words == ["inspect"]:
        inspect()
        return
    theirs, books = executor.MigrationExecutor, recorder.MigrationRecorder
    theirs.apply_migration = naming(theirs.apply_migration)
    theirs.unapply_migration = naming(theirs.unapply_migration)
    books.record_applied = recording(books.record_applied)
    books.record_unapplied = recording(books.record_unapplied)
    with connections["default"].execute_wrapper(listen):
        management.call_command(*words, interactive=False)


def main() -> None:
    """Run manage.py, which sets up what the project needs, up to the point where Django begins."""
    manage, module, variable, *words = sys.argv[1:]
    if not Path(manage).is_file():
        stop("ManageMissing", manage=manage, directory=str(Path.cwd()))
    if module:
        os.environ["DJANGO_SETTINGS_MODULE"] = module

    def take_over(argv: object = None) -> None:
        if module:
            os.environ["DJANGO_SETTINGS_MODULE"] = module  # manage.py may have put its own there
        work(variable, words)
        words.clear()

    management.execute_from_command_line = take_over
    sys.argv = [manage, *words]
    # As for `python manage.py`: its folder comes first, and not the working directory.
    sys.path[:] = [str(Path(manage).resolve().parent), *filter(None, sys.path)]
    runpy.run_path(manage, run_name="__main__")
    if words:
        stop("ManageSilent", manage=manage)


if __name__ == "__main__":
    main()
