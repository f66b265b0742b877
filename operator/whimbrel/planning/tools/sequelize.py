"""Sequelize: its command, its bookkeeping, and what its migrations mean, one row of files."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from whimbrel.model.migrations import SequelizeOptions, Tool
from whimbrel.model.spec import Spec
from whimbrel.planning.tools.foreign import (
    Argv,
    Books,
    ForeignTool,
    Problem,
    Rows,
    Sentences,
    Start,
    Started,
    Ways,
)
from whimbrel.planning.tools.project import BASE, HEAD, HEADS, Project, WayBack
from whimbrel.planning.tools.runtimes import NODE

_COMMAND: Final = "sequelize-cli"
_WITHOUT: Final = "without "  # in the name of a place: what goes, newest first
_NAMES: Final = "a whole file name such as 20260101090000-create-people.js, head or base"
_NO_WAY_BACK: Final = {
    WayBack.EMPTY: "its down is empty",
    WayBack.REFUSES: "its down throws an error, or returns no promise",
    WayBack.MISSING: "it has no down",
}

# Reason words of the wrapper's own, and their sentences.
_PROBLEMS: Final = {
    "PackageMissing": "{package} is not installed in {directory}: run npm ci there, with "
    "sequelize-cli among the dependencies, or correct migrations.workingDir",
    "ConfigMissing": "{config} does not exist in {directory}: set migrations.sequelize.config, or "
    "`config` in .sequelizerc, and migrations.workingDir",
    "EnvironmentMissing": "{config} has no entry {environment} (it has: {there}): set "
    "migrations.sequelize.environment",
    "FolderMissing": "there is no folder {folder}: set migrations.sequelize.migrationsPath, or "
    "`migrations-path` in .sequelizerc",
    "SchemeUnknown": "Sequelize has no dialect for {scheme}://: set migrations.databaseURL.scheme "
    "to postgresql, mariadb or mysql",
    "UrlMissing": "the variable {variable} is empty",
    "DriverMissing": "{text}: install the driver of the database in the image",
    "BookkeepingOutside": "the project keeps what is applied as {storage}, not in the database: "
    "set migrationStorage to sequelize in its configuration",
    "BookkeepingElsewhere": "the project keeps what is applied in {schema}.{table}: set "
    "migrations.bookkeeping to {{schema: {schema}, table: {table}}}",
    "MigrationUnknown": "the project has no migration {name}",
    "Stopped": "it was asked to stop, and did so before {migration}",
}
# Of Node's own errors, what to do about them.
_ADVICE: Final = {
    "ERR_REQUIRE_ESM": "modules (import, export) need Node 20.19 or 22.12: else write CommonJS",
    "SyntaxError": "modules (import, export) need Node 20.19 or 22.12, and TypeScript what lets "
    "require load it in the image's NODE_OPTIONS, such as --require ts-node/register: else compile",
}
_REFUSALS: Final = {
    reason: (
        "BrokenMigration",
        f"the project cannot be loaded: {{sentence}} ({{reason}}); {advice}",
    )
    for reason, advice in _ADVICE.items()
}


def options(spec: Spec) -> Argv:
    """Return what the wrapper needs besides the command, as JSON."""
    chosen = spec.migrations.sequelize or SequelizeOptions()
    given = {
        "--env": chosen.environment,
        "--options-path": chosen.options_path,
        "--config": chosen.config,
        "--migrations-path": chosen.migrations_path,
    }
    args = [f"{name}={value}" for name, value in given.items() if value]
    place = spec.migrations.bookkeeping
    books = {"table": place.table, "schema": place.schema_name} if place else {}
    return (json.dumps({"args": args, **books}),)


def resolve(project: Project, name: str) -> tuple[str, ...]:
    """Return the migration that a name of the spec means; none for "base".

    Raises:
        RefusedError: The project has no such file.
    """
    return project.place(name, _NAMES)


def up(name: str, _target: tuple[str, ...]) -> Argv:
    """Return the command that leads up."""
    return (_COMMAND, "db:migrate", *(() if name in HEADS else ("--to", name)))


def adopt(_name: str, target: tuple[str, ...]) -> Argv:
    """Return what records a baseline; sequelize-cli has no command for it, its storage has."""
    return ("umzug", "logMigration", "--to", *target)


def back(project: Project, rows: Rows, to: str) -> tuple[Start, ...]:
    """Return the commands after which what is asked for stays: one, but for what `before` says."""
    have = applied(project, rows)
    if to.startswith(_WITHOUT):
        return tuple(_one_by_one(have, to.removeprefix(_WITHOUT).split(", ")))
    stays = have if to in HEADS else have & project.closure(resolve(project, to))
    gone = project.in_order(have - stays)
    if not gone:
        return ()
    # `--to` names the last one that is taken back, not the one that stays.
    words = ("--to", gone[0].id) if stays else ()
    return (Start(to or BASE, (_COMMAND, "db:migrate:undo:all", *words), stays),)


def _one_by_one(have: frozenset[str], names: Iterable[str]) -> Iterator[Start]:
    for name in names:
        have -= {name}
        yield Start(f"{_WITHOUT}{name}", (_COMMAND, "db:migrate:undo", "--name", name), have)


def before(project: Project, now: Rows, rows: Rows) -> str:
    """Return the name of the place where the table had these rows; "head" if nothing came since."""
    have, kept = applied(project, now), applied(project, rows)
    if have <= kept:
        return HEAD
    newest_first = [each.id for each in reversed(project.in_order(have - kept))]
    below = project.revisions[newest_first[-1]].down
    if not kept <= project.closure(below):
        # They were applied after migrations with later names, which stay.
        return _WITHOUT + ", ".join(newest_first)
    stays = project.in_order(kept)
    return stays[-1].id if stays else BASE


def applied(project: Project, rows: Rows) -> frozenset[str]:
    """Return the migrations that the rows name."""
    return frozenset(rows).intersection(project.revisions)


def unknown(project: Project, rows: Rows) -> Rows:
    """Return the rows that a newer image has written; of a file that is gone, its row stays."""
    newest = max((row for row in rows if row in project.revisions), default="")
    return tuple(row for row in rows if row not in project.revisions and row > newest)


def after(project: Project, rows: Rows, have: frozenset[str]) -> Rows:
    """Return the rows when exactly these are applied; those of files that are gone stay."""
    return tuple(sorted({row for row in rows if row not in project.revisions} | have))


def shown(rows: Rows) -> str:
    """Return the newest migration."""
    return max(rows, default="")


def relations(table: str) -> tuple[str, ...]:
    """Return what Sequelize makes before the first migration."""
    return (table, f"{table}_pkey")


def advice(problem: Problem) -> str:
    """Return what to do where Node cannot load a file."""
    found = _ADVICE.get(problem.reason, "")
    return f"; {found}" if found else ""


def elsewhere(_spec: Spec) -> str:
    """Ask where the project leads, if Sequelize ended well and the table is not as planned."""
    return "does somebody else write or clear its table of migrations?"


SEQUELIZE: Final = ForeignTool(
    tool=Tool.SEQUELIZE,
    title="Sequelize",
    command=_COMMAND,
    started=Started(NODE, "sequelize.js", options),
    books=Books(
        table="SequelizeMeta",
        columns=("name",),
        order="",
        relations=relations,
        applied=applied,
        unknown=unknown,
        after=after,
        shown=shown,
    ),
    ways=Ways(resolve, up, adopt, back, before),
    sentences=Sentences(
        _NO_WAY_BACK,
        _PROBLEMS,
        elsewhere,
        advice,
        _REFUSALS,
        record="INSERT INTO {table} (name) VALUES ('{id}')",
    ),
    schemes={"mariadb": "mariadb"},
)
