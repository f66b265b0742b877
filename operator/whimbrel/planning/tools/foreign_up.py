"""The way of a foreign tool to what is asked for, from what the database shows."""

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.model.steps import Direction, RunTool, StepId
from whimbrel.planning.rolled_back import was_rolled_back
from whimbrel.planning.tools.edited import refuse_edited
from whimbrel.planning.tools.foreign import ForeignTool, way
from whimbrel.planning.tools.foreign_down import needs_newer_image, notes_on_way_back, plan_down
from whimbrel.planning.tools.ledger_in_code import refuse_ledger
from whimbrel.planning.tools.project import HEAD, Project, content, named, pieces


def plan_up(
    tool: ForeignTool, spec: Spec, owner: str, facts: Facts, project: Project
) -> RunnerPlan:
    """Return the way from what the database shows to `migrations.to`, down if that is lower.

    Raises:
        RefusedError: It cannot be said what `to` means here, or an applied file was edited.
        HeldError: This very plan was rolled back before.
    """
    wanted, rows = spec.migrations.to, facts.revisions
    if wanted == tool.books.shown(rows) and wanted not in project.revisions:
        refuse_edited(tool, owner, facts, project)
        return RunnerPlan(Direction.UP, wanted)
    unknown = tool.books.unknown(project, rows)
    if unknown and wanted in {HEAD, "heads"}:
        _refuse_table_of_another(tool, facts, project, unknown)
        return RunnerPlan(Direction.UP, tool.books.shown(rows), ahead=True)
    target = tool.ways.resolve(project, wanted)
    if unknown:
        raise needs_newer_image(unknown, wanted)
    if project.closure(target) <= tool.books.applied(project, rows):
        down = plan_down(tool, spec, facts, project, wanted)
        if down.steps:
            return down
    refuse_edited(tool, owner, facts, project)
    plan = _upward(tool, spec, facts, project)
    if plan.steps and plan.digest() in facts.rolled_back:
        raise was_rolled_back(owner, f"this plan (to {plan.to})")
    return plan


def _refuse_table_of_another(
    tool: ForeignTool, facts: Facts, project: Project, unknown: tuple[str, ...]
) -> None:
    """Refuse rows of which this project knows none, and which no run of this object came to.

    An Alembic project whose env.py names a table of its own may find another project's instead.

    Raises:
        RefusedError: ``BookkeepingForeign``.
    """
    known = tuple(each for each in facts.revisions if each not in unknown)
    if tool.books.applied(project, known) or facts.reached & set(unknown):
        return
    shown = tool.books.shown(facts.revisions)
    raise RefusedError(
        "BookkeepingForeign",
        f"{tool.books.table} shows {shown}, which neither this image nor any run of this object "
        "knows: if it is another project's table, name this project's in migrations.bookkeeping; "
        f"else use an image that holds {shown}",
    )


def _upward(tool: ForeignTool, spec: Spec, facts: Facts, project: Project) -> RunnerPlan:
    wanted, books = spec.migrations.to, tool.books
    target = tool.ways.resolve(project, wanted)
    stamp = _baseline(tool, spec, facts, project)
    start = stamp[0].revisions if stamp else facts.revisions
    have = books.applied(project, start)
    pending = project.in_order(project.closure(target) - have)
    after = books.after(project, start, have | project.closure(target))
    to = books.shown(after)
    if set(after) == set(start):
        return RunnerPlan(Direction.UP, to, stamp)
    refuse_ledger(spec, facts, pending)
    run = RunTool(
        id=StepId(f"up:{tool.tool}:{to}:{content(pending)}"),
        direction=Direction.UP,
        argv=tool.ways.up(wanted, target),
        before=start,
        revisions=after,
        pieces=pieces(pending),
        way=way(tool, start, after),
    )
    applied = tuple(f"applies {named(each)}" for each in pending)
    notes = (*applied, *notes_on_way_back(tool, pending))
    return RunnerPlan(Direction.UP, to, (*stamp, run), notes)


def _baseline(tool: ForeignTool, spec: Spec, facts: Facts, project: Project) -> tuple[RunTool, ...]:
    name = spec.migrations.baseline
    if not name or facts.revisions:
        return ()
    adopted = tool.ways.resolve(project, name)
    if not adopted:
        return ()
    if not any(each.kind == "table" for each in facts.catalog):
        raise RefusedError(
            "BaselineDoesNotFit",
            f"migrations.baseline: {name} adopts an existing database, but {facts.database} holds "
            "no table: remove `baseline`",
        )
    wanted = spec.migrations.to
    if not project.closure(adopted) <= project.closure(tool.ways.resolve(project, wanted)):
        raise RefusedError(
            "BaselineAfterTarget",
            f"migrations.baseline: {name} is not below migrations.to: {wanted}",
        )
    after = tool.books.after(project, (), project.closure(adopted))
    run = RunTool(
        id=StepId(f"adopt:{tool.tool}:{name}"),
        direction=Direction.UP,
        argv=tool.ways.adopt(name, adopted),
        before=(),
        revisions=after,
        way=way(tool, (), after),
    )
    return (run,)
