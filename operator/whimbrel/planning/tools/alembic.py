"""Alembic: its command, its bookkeeping, and what its revisions mean."""

from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.spec import Spec, Tool
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
from whimbrel.planning.tools.project import BASE, HEAD, Project, WayBack
from whimbrel.planning.tools.runtimes import PYTHON

_NO_DRIVER: Final = {"NoSuchModuleError", "ModuleNotFoundError"}
_NO_WAY_BACK: Final = {
    WayBack.EMPTY: "its downgrade is empty",
    WayBack.REFUSES: "its downgrade raises an error",
    WayBack.MISSING: "it has no downgrade",
}

# Reason words of the wrapper's own, and their sentences.
_PROBLEMS: Final = {
    "AlembicMissing": "the image's python ({python}) cannot load Alembic ({text}): install alembic "
    "in the image and put that python first on PATH",
    "ConfigMissing": "{config} does not exist in {directory}: set migrations.alembic.config and "
    "migrations.workingDir",
}
_REFUSALS: Final = {
    "UserWarning": ("DuplicateRevision", "{text}: give each file its own id"),
    "CommandError": ("ConfigWrong", "Alembic cannot read its project: {text}"),
}


def options(spec: Spec) -> Argv:
    """Return the ini file."""
    return (spec.migrations.alembic.config if spec.migrations.alembic else "alembic.ini",)


def resolve(project: Project, name: str) -> tuple[str, ...]:
    """Return the revisions that a name of the spec means; none for "base".

    Raises:
        RefusedError: The project has no such revision, or `head` means several.
    """
    if name in {"", BASE}:
        return ()
    if name == "heads":
        return project.tops(project.heads)
    if name == HEAD:
        return _single_head(project)
    return (project.known(name, "a whole revision id, head, heads or base"),)


def _single_head(project: Project) -> tuple[str, ...]:
    if len(project.heads) > 1:
        raise RefusedError(
            "SeveralHeads",
            f"the project has several heads ({', '.join(project.heads)}): merge them "
            "(`alembic merge heads`), or name one revision or `heads` in migrations.to",
        )
    return project.heads


def up(_name: str, target: tuple[str, ...]) -> Argv:
    """Return the command that leads up."""
    return ("alembic", "upgrade", target[0] if len(target) == 1 else "heads")


def adopt(_name: str, target: tuple[str, ...]) -> Argv:
    """Return the command that records a baseline."""
    return ("alembic", "stamp", *target)


def back(project: Project, rows: Rows, to: str) -> tuple[Start, ...]:
    """Return the downgrades to the revisions that stay, of several branches one each.

    Raises:
        RefusedError: `alembic downgrade` would leave something else.
    """
    have = applied(project, rows)
    names = (name.strip() for name in to.split(","))
    target = tuple(sorted(one for name in names for one in resolve(project, name)))
    stays = project.tops(_stays(project, have, target))
    if stays != target:
        raise RefusedError(
            "SeveralBranches",
            f"going back to {to or BASE} would leave {', '.join(stays) or 'nothing'}: the database "
            f"holds several branches ({', '.join(project.tops(have))}); name {BASE} or a revision "
            "below the point where they part",
        )
    starts: list[Start] = []
    for goal in target or (BASE,):
        left = _stays(project, have, (goal,) if target else ())
        if left != have:
            starts.append(Start(goal, ("alembic", "downgrade", goal), left))
        have = left
    return tuple(starts)


def _stays(project: Project, have: frozenset[str], target: tuple[str, ...]) -> frozenset[str]:
    # `alembic downgrade X` takes back what is built on X and leaves other branches alone.
    if not target:
        return frozenset()
    return have - frozenset().union(*(project.above(name) for name in target))


def before(_project: Project, _now: Rows, rows: Rows) -> str:
    """Return the name of the place where the table had these rows."""
    return ",".join(rows) or BASE


def applied(project: Project, rows: Rows) -> frozenset[str]:
    """Return what the rows, which name the newest of each branch, stand for."""
    return project.closure(rows)


def unknown(project: Project, rows: Rows) -> Rows:
    """Return what the database is at and the image does not hold."""
    return tuple(name for name in rows if name not in project.revisions)


def after(project: Project, _rows: Rows, have: frozenset[str]) -> Rows:
    """Return the rows that Alembic keeps when these revisions are applied."""
    return project.tops(have)


def advice(problem: Problem) -> str:
    """Return what to do where the image lacks the URL's driver."""
    if problem.reason in _NO_DRIVER and "psycopg" in problem.text + problem.place:
        return (
            "; set migrations.databaseURL.scheme to a driver that the image has, for example "
            "postgresql+psycopg"
        )
    return ""


def elsewhere(spec: Spec) -> str:
    """Ask where env.py leads, if Alembic ended well and the table is not as planned."""
    variable = spec.migrations.database_url.env
    return (
        f"does env.py use another database than sqlalchemy.url and {variable} say, or another "
        "version table?"
    )


ALEMBIC: Final = ForeignTool(
    tool=Tool.ALEMBIC,
    title="Alembic",
    command="alembic",
    started=Started(PYTHON, "alembic.py", options),
    books=Books(
        table="alembic_version",
        columns=("version_num",),
        order="",
        # Alembic makes it in the transaction of the migrations.
        relations=lambda _table: (),
        applied=applied,
        unknown=unknown,
        after=after,
        shown=", ".join,
    ),
    ways=Ways(resolve, up, adopt, back, before),
    sentences=Sentences(
        _NO_WAY_BACK,
        _PROBLEMS,
        elsewhere,
        advice,
        _REFUSALS,
        broken="a file of the project cannot be loaded",
    ),
    schemes={"mariadb": "mysql+pymysql"},
)
