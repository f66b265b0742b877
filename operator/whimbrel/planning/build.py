"""The runner's plan: one place that knows which tool plans how."""

from collections.abc import Mapping
from dataclasses import replace

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.planning.file_tool import FileTool
from whimbrel.planning.sql_dialects import sql_dialect
from whimbrel.planning.sql_history import history_of
from whimbrel.planning.tools import foreign_down, foreign_up, sql
from whimbrel.planning.tools.project import BASE, HEADS, Project
from whimbrel.planning.tools.registry import file_tool, foreign_tool

Source = Mapping[str, str] | Project


def plan_up(spec: Spec, owner: str, facts: Facts, source: Source) -> RunnerPlan:
    """Return what leads from the facts to `spec.migrations.to`; a lower `to` leads down.

    Args:
        spec: What is asked.
        owner: namespace/name of the object.
        facts: What the database shows.
        source: File texts by name (tools whose files we run), or the project of the image.

    Raises:
        RefusedError: The project, or what is asked, is wrong.
        HeldError: A human decides first.
    """
    if isinstance(source, Project):
        _refuse_empty(spec, facts, source)
        return foreign_up.plan_up(foreign_tool(spec.migrations.tool), spec, owner, facts, source)
    tool = file_tool(spec.migrations.tool)
    files = tool.read(_meant(tool, facts, source))
    return sql.plan_up(spec, facts, history_of(tool, owner, files, facts))


def _refuse_empty(spec: Spec, facts: Facts, project: Project) -> None:
    """Refuse to call it done where there is nothing, neither in the project nor in the database."""
    if spec.migrations.to in HEADS and not project.revisions and not facts.revisions:
        title = foreign_tool(spec.migrations.tool).title
        raise RefusedError(
            "NoMigrations",
            f"{title} finds no migration in the image: is their folder in it (.dockerignore), and "
            "where migrations.workingDir and the project's configuration say?",
        )


def plan_down(spec: Spec, owner: str, facts: Facts, source: Source, to: str | None) -> RunnerPlan:
    """Return the way back to a revision that stays.

    `to` is "" for "nothing stays", None for "before the last run".

    Raises:
        RefusedError: There is no such way.
        HeldError: It would lose data, and nobody has allowed that.
    """
    if to is None and facts.left_nothing:
        raise RefusedError(
            "NothingToRollBack",
            f"run {facts.left_nothing} ended early and left nothing that could be taken back; to "
            "go back further, name the revision that stays: spec.migrations.to, or --to",
        )
    if not isinstance(source, Project):
        return _files_down(spec, owner, facts, source, to)
    tool = foreign_tool(spec.migrations.tool)
    if to is not None:
        return foreign_down.plan_down(tool, spec, facts, source, to)
    if not facts.last_run:
        raise RefusedError(
            "NothingToRollBack", "no run of this object led to what the database shows"
        )
    rows = () if facts.last_run == (BASE,) else facts.last_run
    target = tool.ways.before(source, facts.revisions, rows)
    plan = foreign_down.plan_down(tool, spec, facts, source, target)
    if not plan.steps:
        raise RefusedError("NothingToRollBack", "nothing was applied since that could go back")
    return replace(plan, target=target)


def _files_down(
    spec: Spec, owner: str, facts: Facts, source: Mapping[str, str], to: str | None
) -> RunnerPlan:
    tool = file_tool(spec.migrations.tool)
    files = tool.read(_meant(tool, facts, source)) if source else ()
    return sql.plan_down(spec, facts, history_of(tool, owner, files, facts), to)


def _meant(tool: FileTool, facts: Facts, files: Mapping[str, str]) -> Mapping[str, str]:
    """Return the files without those for another kind of server."""
    return tool.choose(files, sql_dialect(facts.dialect).variants)


def place_of(spec: Spec, facts: Facts, source: Source, rows: tuple[str, ...]) -> str:
    """Return a name for where the tool's table showed these rows, as `plan_down` takes it."""
    if not isinstance(source, Project):
        return ""
    return foreign_tool(spec.migrations.tool).ways.before(source, facts.revisions, rows)


def shown(spec: Spec, rows: tuple[str, ...]) -> str:
    """Return where a database with these rows in the tool's table is, or ""."""
    if not spec.migrations.tool.is_foreign:
        return ", ".join(rows)
    return foreign_tool(spec.migrations.tool).books.shown(rows)
