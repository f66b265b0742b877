"""A migration of which a part was committed: how that is known, kept, and told."""

from dataclasses import replace
from typing import Final

from whimbrel.model.errors import HeldError
from whimbrel.model.plan import Segment
from whimbrel.model.steps import Direction, RunTool
from whimbrel.planning.build import shown
from whimbrel.planning.shape import differ
from whimbrel.planning.tools.foreign_half import next_of_cut_start, next_of_lost_start, or_finished
from whimbrel.planning.tools.project import BASE, Project, Revision
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.bench import Bench
from whimbrel.runner.bookkeeping import find_table
from whimbrel.runner.records import ToolRun, read_tool_runs
from whimbrel.runner.run_tool import ToolFailedError, same

_HALF: Final = "half:"  # in the place of a fingerprint


def half(bench: Bench) -> str:
    """Return what stands for a fingerprint after which a person has to look first."""
    return f"{_HALF}{bench.order.run}:{bench.order.retry}"


def may_be_half(run: ToolRun, rows: tuple[str, ...], bench: Bench) -> bool:
    """Tell whether a start whose end nobody heard may have left a part of a migration.

    Args:
        run: The start.
        rows: What the bookkeeping shows now.
        bench: Knows the project.
    """
    spec, project = bench.order.spec, bench.source
    if not isinstance(project, Project) or run.step.startswith("adopt:"):
        return False
    if not same(rows, run.before) and f":{shown(spec, rows) or BASE}:" in run.step:
        return False  # it reached its goal
    books = foreign_tool(spec.migrations.tool).books
    up, commits = run.step.startswith("up:"), bench.holding.session.dialect.commits_ddl
    return next_of_lost_start(books, project, rows, up=up, commits_ddl=commits) is not None


def part_stays(failure: ToolFailedError, bench: Bench) -> HeldError | None:
    """Return that a part of the migration that failed stays, or may do so; None if not."""
    order = bench.order
    if failure.stays:
        listed = "; ".join(f"[{each}]" for each in failure.stays)
        bench.findings.revision = shown(order.spec, failure.after)
        return HeldError(
            "HalfDone",
            f"{failure.message}; of the migration that failed these statements were carried out "
            f"and stay: {listed}; undo them by hand, then retry"
            f"{_or_finished(replace(failure.step, before=failure.after), bench)}",
            command=f"whimbrel retry {order.name} -n {order.namespace}",
        )
    # What a migration commits as it goes may be rows, which the catalogue does not show.
    unheard = failure.cut_off or failure.stays is None
    if not unheard or not isinstance(bench.source, Project):
        return None
    commits = bench.holding.session.dialect.commits_ddl
    step, books = failure.step, foreign_tool(order.spec.migrations.tool).books
    now = replace(step, before=failure.after)
    up = step.direction is Direction.UP
    at_work = next_of_cut_start(books, bench.source, now, up=up, commits_ddl=commits)
    return _part_unknown(failure.message, at_work.file, now, bench) if at_work else None


def refuse_half_done(step: RunTool, bench: Bench) -> None:
    """Hold where the last start of the tool left, or may have left, a part of a migration.

    Where its bookkeeping stands still the catalogue tells; data alone leaves no trace there. Where
    it moved on, nobody knows what the catalogue was like in between.
    """
    spec, order = bench.order.spec, bench.order
    newest = read_tool_runs(bench.holding.ledger, spec)[-1:]
    if not newest or _somebody_has_looked(newest[0], bench):
        return
    run, early = newest[0], "the last start of the tool ended early"
    if not run.step.startswith("up:"):
        step = replace(step, direction=Direction.DOWN)
    at_work = _next_of(run, step, bench)
    if run.fingerprint_after.startswith(_HALF):
        raise _part_unknown(early, at_work.file if at_work else "a migration", step, bench)
    if order.retry:
        return
    if not same(run.after or (), run.before):
        if run.cut and at_work is not None:
            raise _part_unknown(early, at_work.file, step, bench)
    elif differ(run.fingerprint_before, run.fingerprint_after):
        raise half_done("the last start of the tool was interrupted", step, bench)


def _somebody_has_looked(run: ToolRun, bench: Bench) -> bool:
    """Tell whether a retry or a way back was asked for by somebody who could know of the half."""
    if not run.fingerprint_after.startswith(_HALF):
        return False
    order = bench.order
    told_run, _, told_retry = run.fingerprint_after.removeprefix(_HALF).partition(":")
    if order.segment is Segment.ROLLBACK and order.run != told_run:
        return True
    return bool(order.retry) and order.retry != told_retry


def _next_of(run: ToolRun, step: RunTool, bench: Bench) -> Revision | None:
    """Return what the cut start was at, if that commits as it goes; None where nothing can be left.

    The way back of its own run is compared with the fingerprint before the run, afterwards.
    """
    order, project = bench.order, bench.source
    if not isinstance(project, Project):
        return None
    if run.run == order.run and step.direction is Direction.DOWN and run.step.startswith("up:"):
        return None
    books = foreign_tool(order.spec.migrations.tool).books
    up, commits = run.step.startswith("up:"), bench.holding.session.dialect.commits_ddl
    return next_of_cut_start(books, project, step, up=up, commits_ddl=commits)


def half_done(told: str, step: RunTool, bench: Bench) -> HeldError:
    """Return that the catalogue shows a part of a migration which the bookkeeping does not."""
    order = bench.order
    return HeldError(
        "HalfDone",
        f"{told}; bookkeeping is as before, but the catalogue is not: the migration committed a "
        f"part of its work; undo that part by hand, then retry{_or_finished(step, bench)}",
        command=f"whimbrel retry {order.name} -n {order.namespace}",
    )


def _or_finished(step: RunTool, bench: Bench) -> str:
    spec, session = bench.order.spec, bench.holding.session
    tool = foreign_tool(spec.migrations.tool)
    found = find_table(session, spec, tool.books.table, tool.books.columns)
    quoted = session.dialect.server.quote_name(*found) if found else ""
    return or_finished(tool, bench.source, step, quoted)


def _part_unknown(told: str, file: str, step: RunTool, bench: Bench) -> HeldError:
    order = bench.order
    return HeldError(
        "HalfDone",
        f"{told}; it may have been at {file}, which commits as it goes, and what of it is there is "
        f"not known: look, undo that part by hand, then retry{_or_finished(step, bench)}",
        command=f"whimbrel retry {order.name} -n {order.namespace}",
    )
