"""Which migration a start of a tool was at when it was cut short."""

from whimbrel.model.steps import Direction, RunTool
from whimbrel.planning.tools.foreign import Books
from whimbrel.planning.tools.project import Project, Revision


def next_of_cut_start(
    books: Books, project: Project, step: RunTool, *, up: bool, commits_ddl: bool = False
) -> Revision | None:
    """Return the migration that may be there in part, or None where none can be.

    Args:
        books: Of the tool.
        project: Its migrations.
        step: What is to be done now, from what the bookkeeping shows.
        up: Whether the cut start led up.
        commits_ddl: Whether every migration commits as it goes, since the server does.
    """
    have = books.applied(project, step.before)
    if up and step.direction is Direction.UP:
        waiting = project.in_order(books.applied(project, step.revisions) - have)
    elif up:
        waiting = project.in_order(project.revisions.keys() - have)
    else:
        waiting = tuple(reversed(project.in_order(have)))
    in_part = bool(waiting) and (commits_ddl or not waiting[0].atomic)
    return waiting[0] if in_part else None
