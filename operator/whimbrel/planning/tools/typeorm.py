"""Migrations of TypeORM: the command, the bookkeeping, and what goes up or back, by time stamps."""

import hashlib
import itertools
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.migrations import Tool, TypeormOptions
from whimbrel.model.spec import Spec
from whimbrel.planning.tools.foreign import (
    Argv,
    Books,
    ForeignTool,
    Rows,
    Sentences,
    Start,
    Started,
    Ways,
)
from whimbrel.planning.tools.foreign_down import needs_newer_image
from whimbrel.planning.tools.project import BASE, HEADS, Project, WayBack
from whimbrel.planning.tools.runtimes import NODE

SHOWN: Final = 255  # characters
_NAMES: Final = "a whole migration name with its time stamp, head or base"
_TABLE: Final = "migrations"
_DIGITS: Final = 13  # of the time stamp that ends a name, in milliseconds
_WITHOUT: Final = "without:"
# What the columns of entities need TypeORM installs before the first migration, as it does in
# the application (PostgresDriver.enableExtensions). These two, for uuid, are only functions.
_EXTENSIONS: Final = ("uuid-ossp", "pgcrypto")
_NO_WAY_BACK: Final = {
    WayBack.EMPTY: "its down is empty",
    WayBack.REFUSES: "its down throws an error",
    WayBack.MISSING: "it has no down",
}

# Reason words of the wrapper's own, and their sentences.
_PROBLEMS: Final = {
    "TypeormMissing": "the image has no package typeorm that {directory} could load: install it "
    "there, as a dependency and not only for development, or set migrations.workingDir",
    "DriverMissing": "{text} (in the image, as a dependency and not only for development)",
    "DataSourceMissing": "{file} does not exist in {directory}: compile the project in the image, "
    "and set migrations.typeorm.dataSource and migrations.workingDir",
    "TypeScriptSource": "{file} is TypeScript, and the image cannot load it: compile it and name "
    "the .js file in migrations.typeorm.dataSource, or install ts-node in the image",
    "NotADataSource": "{file} exports no DataSource: export one, by name or as default, or set "
    "migrations.typeorm.dataSource",
    "SeveralDataSources": "{file} exports several DataSources: name a file in "
    "migrations.typeorm.dataSource that exports the one that migrates",
    "DataSourceOpened": "{file} opens its DataSource as soon as it is loaded: export it without "
    "calling initialize(), and call that in the application",
    "NoMigrations": "the DataSource of {file} finds no migration: does the pattern under "
    "`migrations` in it fit the compiled files, seen from migrations.workingDir, and are these in "
    "the image (.dockerignore)?",
    "NameWrong": "the migration {name} has no time stamp: the name of its class must end in the 13 "
    "digits that `typeorm migration:create` puts there",
    "DuplicateMigration": "two migrations are called {name}: give each a name of its own",
    "BookkeepingElsewhere": "the DataSource keeps its books in {place}: set schema and table of "
    "migrations.bookkeeping to that",
    "TypeWrong": "the DataSource is made for {type}, and this database needs {wanted}{why}: "
    "correct `type` in it, or the URL",
    "SchemeUnknown": "TypeORM gets no URL with {scheme}://: set migrations.databaseURL.scheme to "
    "postgresql or mariadb",
    "TimestampWrong": "the row of {name} has the time stamp {timestamp}, so TypeORM would run its "
    "down and keep the row: correct the row to the 13 digits that end the name",
}


def options(spec: Spec) -> Argv:
    """Return the file of the data source, and schema ("" for any) and name of TypeORM's table."""
    chosen = spec.migrations.typeorm or TypeormOptions()
    books = spec.migrations.bookkeeping
    place = (books.schema_name, books.table) if books else ("", _TABLE)
    return (chosen.data_source, *place)


def resolve(project: Project, name: str) -> tuple[str, ...]:
    """Return the migration that a name of the spec means; none for "base".

    Raises:
        RefusedError: The project has no such migration.
    """
    return project.place(name, _NAMES)


def up(name: str, target: tuple[str, ...]) -> Argv:
    """Return the command that leads up."""
    words = ("typeorm", "migration:run")
    return words if name in HEADS else (*words, "--to", *target)


def adopt(_name: str, target: tuple[str, ...]) -> Argv:
    """Return the command that records a baseline."""
    return ("typeorm", "migration:run", "--fake", "--to", *target)


def back(project: Project, rows: Rows, to: str) -> tuple[Start, ...]:
    """Return the command after which what is asked for stays, and whatever is not the project's.

    TypeORM takes back what was applied last, and that is not always the newest: a migration that
    was merged late has an older time stamp.

    Raises:
        RefusedError: Something that stays, or that the image does not know, was applied after
            something that goes.
    """
    have = applied(project, rows)
    gone = have if to in {"", BASE} else have - _wanted(project, have, to)
    if not gone:
        return ()
    last = len(rows) - len(gone)
    above = tuple(row for row in rows[last:] if row not in gone)
    if strange := tuple(row for row in above if row not in project.revisions):
        raise needs_newer_image(strange, to or BASE)
    if above:
        below = tuple(itertools.takewhile(lambda row: row not in gone, rows))
        raise RefusedError(
            "AppliedLater",
            f"going back to {to} leaves {above[-1]}, which was applied after something that would "
            "go, and TypeORM takes back what was applied last: name "
            f"{(BASE, *below)[-1]}, and go up from there",
        )
    goal = rows[last - 1] if last else BASE
    return (Start(goal, ("typeorm", "migration:revert", "--to", goal), have - gone),)


def _wanted(project: Project, have: frozenset[str], to: str) -> frozenset[str]:
    if to in HEADS:
        return have
    name, *late = to.split(",")
    return project.closure(resolve(project, name)) - {each.removeprefix(_WITHOUT) for each in late}


def before(project: Project, now: Rows, rows: Rows) -> str:
    """Return the name of the place where the table had these rows: the newest that stays.

    With it what came since and is older, as in ``C3,without:B2``.
    """
    kept = project.in_order(applied(project, rows))
    if not kept:
        return BASE
    newest = kept[-1].id
    since = project.closure((newest,)) & applied(project, now) - {each.id for each in kept}
    late = (f"{_WITHOUT}{each.id}" for each in project.in_order(since))
    return ",".join([newest, *late])


def applied(project: Project, rows: Rows) -> frozenset[str]:
    """Return the migrations of the project that have a row."""
    return frozenset(rows) & project.revisions.keys()


def unknown(project: Project, rows: Rows) -> Rows:
    """Return the rows that a newer image has written.

    What the project does not know and was applied before something that it knows is no newer: its
    file was deleted, or its branch never arrived.
    """
    known = applied(project, rows)
    last = max((number for number, row in enumerate(rows) if row in known), default=-1)
    return rows[last + 1 :]


def after(project: Project, rows: Rows, have: frozenset[str]) -> Rows:
    """Return the rows when exactly these are applied; what is not of the project stays."""
    kept = [row for row in rows if row in have or row not in project.revisions]
    written = [each.id for each in project.in_order(have)]
    return tuple(dict.fromkeys([*kept, *written]))


def shown(rows: Rows) -> str:
    """Return the migration with the newest time stamp, in at most 255 characters."""
    later = enumerate(rows)
    _, newest = max(later, key=lambda each: (_timestamp(each[1]), each[0]), default=(0, ""))
    return newest[:SHOWN]


def _timestamp(name: str) -> int:
    digits = name[-_DIGITS:]
    return int(digits) if digits.isdecimal() else 0


def relations(table: str) -> Rows:
    """Return what TypeORM makes before the first migration, in no transaction of it.

    The key's name is a digest of the table's (DefaultNamingStrategy.primaryKeyName).
    """
    key = hashlib.sha1(f"{table}_id".encode(), usedforsecurity=False).hexdigest()[:27]
    comments = (f"extension {name}" for name in _EXTENSIONS)
    return (table, f"{table}_id_seq", f"PK_{key}", "typeorm_metadata", *_EXTENSIONS, *comments)


def elsewhere(_spec: Spec) -> str:
    """Ask where the project leads, if TypeORM ended well and the table is not as planned."""
    return "does a migration of the project's own end the program, or write TypeORM's table?"


TYPEORM: Final = ForeignTool(
    tool=Tool.TYPEORM,
    title="TypeORM",
    command="typeorm",
    started=Started(NODE, "typeorm.js", options),
    books=Books(
        table=_TABLE,
        columns=("name",),
        order="id",
        relations=relations,
        applied=applied,
        unknown=unknown,
        after=after,
        shown=shown,
        further=("timestamp",),
    ),
    ways=Ways(resolve, up, adopt, back, before),
    sentences=Sentences(
        _NO_WAY_BACK,
        _PROBLEMS,
        elsewhere,
        record="INSERT INTO {table} (timestamp, name) VALUES ({stamp}, '{id}')",
    ),
    schemes={"mariadb": "mariadb"},
)
