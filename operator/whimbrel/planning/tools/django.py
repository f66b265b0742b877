"""Django: its command, its bookkeeping, and what its migrations mean, one history per app."""

from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.migrations import DjangoOptions, Tool
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
from whimbrel.planning.tools.project import BASE, HEAD, HEADS, Project, WayBack
from whimbrel.planning.tools.runtimes import PYTHON

ZERO: Final = "zero"  # Django's word for "nothing of this app"
SHOWN: Final = 255  # characters
# django.contrib's apps that have migrations: status speaks of them only where there is no other.
_CONTRIB: Final = frozenset(
    {"admin", "auth", "contenttypes", "flatpages", "redirects", "sessions", "sites"}
)
_NAMES: Final = "app:name with the whole name, app:zero, head or base"
_NO_WAY_BACK: Final = {
    WayBack.REFUSES: "an operation of it is not reversible (RunPython without reverse_code, "
    "RunSQL without reverse_sql)",
}

# Reason words of the wrapper's own, and their sentences.
_PROBLEMS: Final = {
    "DjangoMissing": "the image's python ({python}) cannot load Django ({text}): install django in "
    "the image and put that python first on PATH",
    "ManageMissing": "{manage} does not exist in {directory}: set migrations.django.manage and "
    "migrations.workingDir",
    "ManageSilent": "{manage} ended without calling execute_from_command_line: is it the manage.py "
    "of the project? Set migrations.django.manage",
    "SettingsMissing": "{text}: set migrations.django.settings and migrations.workingDir",
    "DriverMissing": "{text}: install the driver of the database in the image: psycopg[binary], or "
    "mysqlclient or PyMySQL",
    "SchemeUnknown": "there is no database engine for {scheme}://: set "
    "migrations.databaseURL.scheme to postgresql or mysql",
}


def options(spec: Spec) -> Argv:
    """Return manage.py and the settings module, "" where manage.py or the image names it."""
    chosen = spec.migrations.django or DjangoOptions()
    return (chosen.manage, chosen.settings or "")


def app_of(name: str) -> str:
    """Return the app of ``app:name``."""
    return name.partition(":")[0]


def resolve(project: Project, name: str) -> tuple[str, ...]:
    """Return the migrations that a name of the spec means; none for "base" and "app:zero".

    Several names with commas between them are a place to go back to, as `before` names it.

    Raises:
        RefusedError: The project has no such migration, or an app has several newest ones.
    """
    _refuse_conflicts(project)
    return tuple(one for each in name.split(",") for one in _one(project, each.strip()))


def _one(project: Project, name: str) -> tuple[str, ...]:
    app, _, last = name.partition(":")
    if last == ZERO and any(app_of(each) == app for each in project.revisions):
        return ()
    return project.place(name, _NAMES)


def _refuse_conflicts(project: Project) -> None:
    apps = [app_of(each) for each in project.heads]
    twice = [each for each in project.heads if apps.count(app_of(each)) > 1]
    if twice:
        raise RefusedError(
            "SeveralHeads",
            f"the app {app_of(twice[0])} has several newest migrations ({', '.join(twice)}), with "
            "which Django applies nothing: merge them (`manage.py makemigrations --merge`)",
        )


def up(name: str, _target: tuple[str, ...]) -> Argv:
    """Return the command that leads up.

    Raises:
        RefusedError: Several places are named.
    """
    if "," in name:
        raise RefusedError("UnknownRevision", f"{name} is a way back: to go up, name one migration")
    return ("manage.py", "migrate") if name in HEADS else _migrate(name)


def _migrate(name: str) -> Argv:
    app, _, last = name.partition(":")
    return ("manage.py", "migrate", app, last)


def adopt(name: str, target: tuple[str, ...]) -> Argv:
    """Return the command that records a baseline."""
    return (*up(name, target), "--fake")


def back(project: Project, rows: Rows, to: str) -> tuple[Start, ...]:
    """Return the commands after which exactly what is asked for stays.

    `to` names the newest migration that stays of an app, or ``app:zero``; with commas, of several
    apps. An app that it does not name keeps what does not depend on anything that goes.

    Raises:
        RefusedError: `migrate` would leave something else.
    """
    have = applied(project, rows)
    stays = _wanted(project, have, to)
    starts: list[Start] = []
    # The app of the oldest first: `migrate` takes along what is built on it, so less is started.
    oldest_first = [each.id for each in project.in_order(have - stays)]
    for app in dict.fromkeys(map(app_of, oldest_first)):
        for goal in _newest(project, stays, app):
            left = have - _taken_back_to(project, goal)
            if left != have:
                starts.append(Start(goal, _migrate(goal), left))
            have = left
    if have != stays:
        raise RefusedError(
            "SeveralBranches",
            f"going back to {to} would leave {', '.join(sorted(have - stays))} too: Django takes "
            f"back only what is built on it; name {BASE} or a migration below the point where the "
            "branches part",
        )
    return tuple(starts)


def _wanted(project: Project, have: frozenset[str], to: str) -> frozenset[str]:
    if to in {"", BASE}:
        return frozenset()
    if to in HEADS:
        return have
    kept = project.closure(resolve(project, to))
    apps = {app_of(name.strip()) for name in to.split(",")}
    gone = {each for each in have - kept if app_of(each) in apps}
    return have - project.with_dependents(gone)


def _newest(project: Project, stays: frozenset[str], app: str) -> tuple[str, ...]:
    """Return the goals of `migrate` that leave these of an app."""
    mine = {each for each in stays if app_of(each) == app}
    covered = {below for each in mine for below in project.revisions[each].down}
    return tuple(sorted(mine - covered)) or (f"{app}:{ZERO}",)


def _taken_back_to(project: Project, goal: str) -> frozenset[str]:
    """Return what `migrate` takes back for a goal (MigrationExecutor.migration_plan)."""
    app, _, name = goal.partition(":")
    mine = (each for each in project.revisions.values() if app_of(each.id) == app)
    if name == ZERO:
        return project.with_dependents({each.id for each in mine if not each.down})
    return project.with_dependents({each.id for each in mine if goal in each.down})


def before(project: Project, now: Rows, rows: Rows) -> str:
    """Return the name of the place where the table had these rows; "head" if nothing came since."""
    have, kept = applied(project, now), applied(project, rows)
    if not kept:
        return BASE
    apps = sorted({app_of(each) for each in have - kept})
    return ",".join(goal for app in apps for goal in _newest(project, kept, app)) or HEAD


def applied(project: Project, rows: Rows) -> frozenset[str]:
    """Return the migrations that Django takes for applied.

    Raises:
        RefusedError: Of what was squashed into one migration only a part is applied.
    """
    there = set(rows)
    found: set[str] = set()
    for name, each in project.revisions.items():
        wanted = set(each.replaces or (name,))
        missing = wanted - there
        if not missing:
            found.add(name)
        elif name in there or missing != wanted:
            # Django asks only for what it replaces, and would run it again.
            raise RefusedError(
                "PartlySquashed",
                f"{name} replaces migrations of which {', '.join(sorted(missing))} are not "
                "recorded, while others, or it itself, are: use the image of the release before "
                "they were squashed, or of one in which it replaces nothing any more",
            )
    return frozenset(found)


def unknown(project: Project, rows: Rows) -> Rows:
    """Return the rows that a newer image has written.

    Rows of an app that the project does not know are left from an app that is gone. So are, in an
    app that it knows, rows that came before one that it knows: they were squashed once.
    """
    replaced = {name for each in project.revisions.values() for name in each.replaces}
    plain = {name for name, each in project.revisions.items() if not each.replaces} | replaced
    apps = {app_of(name) for name in project.revisions}
    last = {app_of(name): number for number, name in enumerate(rows) if name in plain}
    return tuple(
        name
        for number, name in enumerate(rows)
        if app_of(name) in apps
        and name not in project.revisions
        and number > last.get(app_of(name), -1)
    )


def after(project: Project, rows: Rows, have: frozenset[str]) -> Rows:
    """Return the rows when exactly these are applied; what is not of the project stays.

    A squashed migration is recorded under its own name and under each that it replaces.
    """
    others = project.revisions.keys() - have
    gone = {row for name in others for row in (name, *project.revisions[name].replaces)}
    kept = [row for row in rows if row not in gone]
    written = [row for each in project.in_order(have) for row in (*each.replaces, each.id)]
    return tuple(dict.fromkeys([*kept, *written]))


def shown(rows: Rows) -> str:
    """Return the newest migration of each app, by its name, in at most 255 characters."""
    last = {app_of(row): row for row in rows}  # they come in the order of the work
    newest = dict(sorted(last.items()))
    own = [row for app, row in newest.items() if app not in _CONTRIB]
    text = ", ".join(own or newest.values())
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def elsewhere(_spec: Spec) -> str:
    """Ask where the project leads, if Django ended well and the table is not as planned."""
    return "does a router, or a `migrate` of the project's own, leave DATABASES['default']?"


DJANGO: Final = ForeignTool(
    tool=Tool.DJANGO,
    title="Django",
    command="manage.py",
    started=Started(PYTHON, "django.py", options),
    books=Books(
        table="django_migrations",
        columns=("app", "name"),
        order="id",
        # Django makes it before the first migration, in a transaction of its own.
        relations=lambda table: (table, f"{table}_id_seq", f"{table}_pkey"),
        applied=applied,
        unknown=unknown,
        after=after,
        shown=shown,
    ),
    ways=Ways(resolve, up, adopt, back, before),
    sentences=Sentences(_NO_WAY_BACK, _PROBLEMS, elsewhere),
    schemes={"mariadb": "mysql"},
)
