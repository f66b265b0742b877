"""Alembic: its command, its environment, its bookkeeping, and the way to what is asked for."""

from typing import Final

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.model.steps import Direction, RunTool, StepId
from whimbrel.planning.dialects.postgresql import quote_identifier, quote_name
from whimbrel.planning.tools.alembic_down import (
    named,
    needs_newer_image,
    notes_on_way_back,
    plan_down,
    unknown_revisions,
)
from whimbrel.planning.tools.alembic_project import Project, content, resolve

__all__ = ["command", "environment", "plan_down", "plan_up", "select_revisions"]

TABLE: Final = "alembic_version"
COLUMN: Final = "version_num"
# $1 name of the table, $2 its column, $3 its schema or NULL for any: env.py may have chosen it.
FIND_TABLES: Final = """
SELECT n.nspname::text, c.relname::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
WHERE c.relname = $1 AND c.relkind IN ('r', 'p')
  AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
  AND ($3::text IS NULL OR n.nspname = $3)
ORDER BY 1
"""


def select_revisions(schema: str, table: str) -> str:
    """Return the query for the revisions that the database is at: none, one, or one per branch."""
    column = f"{quote_identifier(COLUMN)}::pg_catalog.text"
    return f"SELECT {column} FROM {quote_name(schema, table)} ORDER BY 1"  # noqa: S608 - quoted


def command(spec: Spec, argv: tuple[str, ...], wrapper: str, *, python: str) -> tuple[str, ...]:
    """Return the words that carry out a step's `argv` with an unchanged project.

    Args:
        spec: Names the ini file and the variable of the URL.
        argv: `("alembic", "upgrade", "0003")` and the like, as the plan shows it.
        wrapper: Text of whimbrel.runner.alembic_wrapper.
        python: Name of the interpreter on the image's PATH.
    """
    config = spec.migrations.alembic.config if spec.migrations.alembic else "alembic.ini"
    return (python, "-c", wrapper, config, spec.migrations.database_url.env, *argv[1:])


def own_options(spec: Spec) -> str:
    """Return the PGOPTIONS that the object itself gives to the tool, or ""."""
    return next((each.value or "" for each in spec.migrations.env if each.name == "PGOPTIONS"), "")


def environment(spec: Spec, url: str, application_name: str, options: str) -> dict[str, str]:
    """Return the variables of one run: the URL, and what libpq passes on by itself.

    Args:
        spec: Its `env` comes first, and its own PGOPTIONS stay before ours.
        url: As the tool wants it, with the password.
        application_name: What pg_stat_activity shows of the tool.
        options: Settings of the session, for example ``-c lock_timeout=100ms``.
    """
    given = {each.name: each.value for each in spec.migrations.env if each.value is not None}
    return {
        **given,
        spec.migrations.database_url.env: url,
        "PGAPPNAME": application_name,
        "PGOPTIONS": f"{own_options(spec)} {options}".strip(),
        "PYTHONUNBUFFERED": "1",
    }


def plan_up(spec: Spec, owner: str, facts: Facts, project: Project) -> RunnerPlan:
    """Return the way from what the database shows to `migrations.to`, down if that is lower.

    Raises:
        RefusedError: It cannot be said what `to` means here.
        HeldError: This very plan was rolled back before.
    """
    wanted = spec.migrations.to
    if (wanted,) == facts.revisions:
        return RunnerPlan(Direction.UP, wanted)
    unknown = unknown_revisions(facts, project)
    if unknown and wanted in {"head", "heads"}:
        return RunnerPlan(Direction.UP, ", ".join(facts.revisions), ahead=True)
    target = resolve(project, wanted)
    if unknown:
        raise needs_newer_image(unknown, wanted)
    have = project.closure(facts.revisions)
    if project.closure(target) < have:
        return plan_down(spec, facts, project, wanted)
    plan = _upward(spec, facts, project, target)
    if plan.steps and plan.digest() in facts.rolled_back:
        raise _was_rolled_back(owner, plan)
    return plan


def _upward(spec: Spec, facts: Facts, project: Project, target: tuple[str, ...]) -> RunnerPlan:
    stamp = _baseline(spec, facts, project, target)
    start = stamp[0].revisions if stamp else facts.revisions
    have = project.closure(start)
    pending = project.in_order(project.closure(target) - have)
    after = project.tops(have | project.closure(target))
    to = ", ".join(after)
    if not pending:
        return RunnerPlan(Direction.UP, to, stamp)
    run = RunTool(
        id=StepId(f"up:alembic:{to}:{content(pending)}"),
        direction=Direction.UP,
        argv=("alembic", "upgrade", target[0] if len(target) == 1 else "heads"),
        before=start,
        revisions=after,
    )
    applied = tuple(f"applies {named(each)}" for each in pending)
    notes = (*applied, *notes_on_way_back(pending))
    return RunnerPlan(Direction.UP, to, (*stamp, run), notes)


def _baseline(
    spec: Spec, facts: Facts, project: Project, target: tuple[str, ...]
) -> tuple[RunTool, ...]:
    name = spec.migrations.baseline
    if not name or facts.revisions:
        return ()
    adopted = resolve(project, name)
    if not adopted:
        return ()
    if not any(each.kind == "table" for each in facts.catalog):
        raise RefusedError(
            "BaselineDoesNotFit",
            f"migrations.baseline: {name} adopts an existing database, but {facts.database} holds "
            "no table: remove `baseline`",
        )
    if not project.closure(adopted) <= project.closure(target):
        raise RefusedError(
            "BaselineAfterTarget",
            f"migrations.baseline: {name} is not below migrations.to: {spec.migrations.to}",
        )
    run = RunTool(
        id=StepId(f"adopt:alembic:{name}"),
        direction=Direction.UP,
        argv=("alembic", "stamp", *adopted),
        before=(),
        revisions=project.tops(adopted),
    )
    return (run,)


def _was_rolled_back(owner: str, plan: RunnerPlan) -> HeldError:
    namespace, _, name = owner.partition("/")
    return HeldError(
        "WasRolledBack",
        f"this plan (to {plan.to}) was rolled back and is not tried again; "
        "retry it, or give the object another spec",
        command=f"whimbrel retry {name} -n {namespace}",
    )
