"""Which migration a start of a tool was at when it was cut short."""

from collections.abc import Sequence

from whimbrel.model.steps import Direction, RunTool
from whimbrel.planning.tools.foreign import Books, Rows
from whimbrel.planning.tools.project import Project, Revision


def next_of_cut_start(
    books: Books, project: Project, step: RunTool, *, up: bool, commits_ddl: bool
) -> Revision | None:
    """Return the migration that may be there in part, or None where none can be.

    Args:
        books: Of the tool.
        project: Its migrations.
        step: What is to be done now, from what the bookkeeping shows.
        up: Whether the cut start led up.
        commits_ddl: Whether every migration commits as it goes, since the server does.
    """
    if not up or step.direction is Direction.DOWN:
        return next_of_lost_start(books, project, step.before, up=up, commits_ddl=commits_ddl)
    have = books.applied(project, step.before)
    waiting = project.in_order(books.applied(project, step.revisions) - have)
    return _in_part(waiting, commits_ddl=commits_ddl)


def next_of_lost_start(
    books: Books, project: Project, rows: Rows, *, up: bool, commits_ddl: bool
) -> Revision | None:
    """Return the same, where nobody says what is to be done now."""
    have = books.applied(project, rows)
    if up:
        waiting = project.in_order(project.revisions.keys() - have)
    else:
        waiting = tuple(reversed(project.in_order(have)))
    return _in_part(waiting, commits_ddl=commits_ddl)


def _in_part(waiting: Sequence[Revision], *, commits_ddl: bool) -> Revision | None:
    in_part = bool(waiting) and (commits_ddl or not waiting[0].atomic)
    return waiting[0] if in_part else None
