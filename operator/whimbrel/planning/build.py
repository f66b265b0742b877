"""The runner's plan: one place that knows which tool plans how."""

from collections.abc import Mapping

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.planning.tools import alembic, sql
from whimbrel.planning.tools.alembic_project import Project

Source = Mapping[str, str] | Project


def plan_up(spec: Spec, owner: str, facts: Facts, source: Source) -> RunnerPlan:
    """Return what leads from the facts to `spec.migrations.to`; a lower `to` leads down.

    Args:
        spec: What is asked.
        owner: namespace/name of the object.
        facts: What the database shows.
        source: File texts by name (tool sql), or the project that the image holds.

    Raises:
        RefusedError: The project, or what is asked, is wrong.
        HeldError: A human decides first.
    """
    if isinstance(source, Project):
        return alembic.plan_up(spec, owner, facts, source)
    return sql.plan_up(spec, owner, facts, source)


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
            f"run {facts.left_nothing} failed and left nothing that could be taken back; to go "
            "back further, name the revision that stays: spec.migrations.to, or --to",
        )
    if isinstance(source, Project):
        if to is None and not facts.last_run:
            raise RefusedError(
                "NothingToRollBack", "no run of this object led to what the database shows"
            )
        before = ",".join(facts.last_run) if to is None else to
        return alembic.plan_down(spec, facts, source, before or "base")
    return sql.plan_down(spec, owner, facts, source, to)
