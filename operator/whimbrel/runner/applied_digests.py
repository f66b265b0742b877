"""Keeps in the ledger what the files of applied revisions looked like (foreign tools)."""

from whimbrel.model.steps import Direction, RunTool
from whimbrel.planning.tools.edited import Digests, edited, expected, kept, listed
from whimbrel.planning.tools.project import Project
from whimbrel.planning.tools.registry import foreign_tool, project_of
from whimbrel.runner.bench import Bench
from whimbrel.runner.bookkeeping import read_revisions
from whimbrel.runner.notes import Kind, read_note, write_note


def expect_digests(step: RunTool, bench: Bench) -> None:
    """Keep the digests of what a start is about to apply."""
    if isinstance(bench.source, Project) and step.direction is Direction.UP:
        tool = foreign_tool(bench.order.spec.migrations.tool)
        known = _known(bench)
        rows = (step.before, step.revisions)
        _keep(bench, known, expected(tool, bench.source, rows, known))


def settle_digests(bench: Bench) -> None:
    """Keep the digests of exactly what is applied now; adopt what was applied without us."""
    if not isinstance(bench.source, Project):
        return
    project, tool = bench.source, foreign_tool(bench.order.spec.migrations.tool)
    rows = read_revisions(bench.holding.session, bench.order.spec)
    if tool.books.unknown(project, rows):
        return  # an older image cannot say what is applied
    applied, known = tool.books.applied(project, rows), _known(bench)
    anew = applied if bench.order.retry else ()
    if files := edited(project, applied, known) if anew else ():
        bench.findings.warnings.append(
            f"EditAccepted: {listed(files)} is not what was applied; a person asked to retry, so "
            "it counts as it is now"
        )
    _keep(bench, known, kept(project, applied, known, anew))


def _known(bench: Bench) -> Digests:
    project = project_of(bench.order.spec)
    found: Digests = read_note(bench.holding.ledger, Kind.DIGESTS, project) or {}
    return found


def _keep(bench: Bench, known: Digests, digests: dict[str, str]) -> None:
    if digests != known:
        write_note(bench.holding.ledger, Kind.DIGESTS, project_of(bench.order.spec), digests)
