"""Which migration a start of a tool was at when it was cut short."""

from collections.abc import Sequence

from whimbrel.model.steps import Direction, RunTool
from whimbrel.planning.tools.foreign import Books, ForeignTool, Rows
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


def or_finished(tool: ForeignTool, project: object, step: RunTool, table: str) -> str:
    """Return the other way on, of a way up: what a person finishes by hand is written down.

    Args:
        tool: Whose migrations they are.
        project: They, or anything else, which has none.
        step: What was to be done, from what the bookkeeping shows now.
        table: The tool's own table, quoted; "" where there is none.
    """
    if step.direction is Direction.DOWN or not isinstance(project, Project) or not table:
        return ""
    half = next_of_cut_start(tool.books, project, step, up=True, commits_ddl=True)
    if half is None:
        return ""
    name = half.id.replace("'", "''")
    command = tool.sentences.record.format(table=table, id=name, stamp=name[-13:])
    command = command or " ".join(tool.ways.adopt(half.id, (half.id,)))
    return f"; or finish it by hand, record it (`{command}`), then retry"
