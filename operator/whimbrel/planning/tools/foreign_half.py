"""Which migration a start of a tool was at when it was cut short."""

from collections.abc import Sequence

from whimbrel.model.steps import Direction, RunTool
from whimbrel.planning.tools.foreign import Books, Rows
from whimbrel.planning.tools.project import Project, Revision


def next_of_cut_start(
    books: Books, project: Project, step: RunTool, *, up: bool
) -> Revision | None:
    """Return the migration that may be there in part, or None where none can be.

    Args:
        books: Of the tool.
        project: Its migrations.
        step: What is to be done now, from what the bookkeeping shows.
        up: Whether the cut start led up.
    """
    if not up or step.direction is Direction.DOWN:
        return next_of_lost_start(books, project, step.before, up=up)
    have = books.applied(project, step.before)
    return _in_part(project.in_order(books.applied(project, step.revisions) - have))


def next_of_lost_start(books: Books, project: Project, rows: Rows, *, up: bool) -> Revision | None:
    """Return the same, where nobody says what is to be done now."""
    have = books.applied(project, rows)
    if up:
        return _in_part(project.in_order(project.revisions.keys() - have))
    return _in_part(tuple(reversed(project.in_order(have))))


def _in_part(waiting: Sequence[Revision]) -> Revision | None:
    return waiting[0] if waiting and not waiting[0].atomic else None
