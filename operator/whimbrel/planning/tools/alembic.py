"""Alembic: its command, its environment, its bookkeeping, and the way up and down."""

import hashlib
from collections.abc import Iterable
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.model.steps import CatalogObject, Direction, RunTool, SalvageObjects, Step, StepId
from whimbrel.planning.dialects.postgresql import quote_identifier, quote_name
from whimbrel.planning.tools.alembic_project import Project, Revision, WayBack

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
_UNKNOWN_SQL: Final = (
    "Alembic shows no SQL of its way back: what a rollback destroys beyond the columns and tables "
    "that are salvaged cannot be known beforehand"
)
_NO_WAY_BACK: Final = {
    WayBack.EMPTY: "its downgrade is empty: a rollback leaves what it did",
    WayBack.REFUSES: "its downgrade raises an error: a rollback will be refused",
    WayBack.MISSING: "it has no downgrade: a rollback will be refused",
}


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
        "PGOPTIONS": f"{given.get('PGOPTIONS', '')} {options}".strip(),
        "PYTHONUNBUFFERED": "1",
    }


def plan_up(spec: Spec, owner: str, facts: Facts, project: Project) -> RunnerPlan:
    """Return the way from what the database shows to `migrations.to`, down if that is lower.

    Raises:
        RefusedError: It cannot be said what `to` means here, or the way was rolled back before.
    """
    wanted = spec.migrations.to
    if (wanted,) == facts.revisions:
        return RunnerPlan(Direction.UP, wanted)
    unknown = _unknown(facts, project)
    if unknown and wanted in {"head", "heads"}:
        return RunnerPlan(Direction.UP, ", ".join(facts.revisions), ahead=True)
    target = _resolve(project, wanted)
    if unknown:
        raise _needs_newer_image(unknown, wanted)
    have = project.closure(facts.revisions)
    if project.closure(target) < have:
        return plan_down(spec, facts, project, wanted)
    plan = _upward(spec, facts, project, target)
    if plan.steps and plan.digest() in facts.rolled_back:
        raise _was_rolled_back(owner, plan)
    return plan


def plan_down(spec: Spec, facts: Facts, project: Project, to: str) -> RunnerPlan:
    """Return the way back to a revision; "base" takes everything back.

    Raises:
        RefusedError: This image cannot go there, or a file has no way back.
    """
    unknown = _unknown(facts, project)
    if unknown:
        raise _needs_newer_image(unknown, to)
    target = _resolve(project, to)
    have = project.closure(facts.revisions)
    left = _left_by_downgrade(project, have, target)
    after = project.tops(left)
    if after != target:
        raise RefusedError(
            "SeveralBranches",
            f"going back to {to} would leave {', '.join(after) or 'nothing'}: the database holds "
            f"several branches ({', '.join(facts.revisions)}); name `base` or a revision below "
            "the point where they part",
        )
    back = tuple(reversed(project.in_order(have - left)))
    if not back:
        return RunnerPlan(Direction.DOWN, ", ".join(after))
    _refuse_without_way_back(back)
    salvage = _salvage(facts, left)
    run = RunTool(
        id=StepId(f"down:alembic:{to}:{_content(back)}"),
        direction=Direction.DOWN,
        argv=("alembic", "downgrade", target[0] if target else "base"),
        before=facts.revisions,
        revisions=after,
    )
    steps: tuple[Step, ...] = (*_salvage_step(to, salvage), run)
    taken = tuple(f"takes back {_named(each)}" for each in back)
    notes = (*taken, *_missing_ways(back), _UNKNOWN_SQL)
    return RunnerPlan(Direction.DOWN, ", ".join(after), steps, notes)


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
        id=StepId(f"up:alembic:{to}:{_content(pending)}"),
        direction=Direction.UP,
        argv=("alembic", "upgrade", target[0] if len(target) == 1 else "heads"),
        before=start,
        revisions=after,
    )
    applied = tuple(f"applies {_named(each)}" for each in pending)
    notes = (*applied, *_missing_ways(pending), _UNKNOWN_SQL)
    return RunnerPlan(Direction.UP, to, (*stamp, run), notes)


def _baseline(
    spec: Spec, facts: Facts, project: Project, target: tuple[str, ...]
) -> tuple[RunTool, ...]:
    name = spec.migrations.baseline
    if not name or facts.revisions:
        return ()
    adopted = _resolve(project, name)
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
            "BaselineAboveTarget",
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


def _resolve(project: Project, name: str) -> tuple[str, ...]:
    if name == "base":
        return ()
    if name == "heads":
        return project.tops(project.heads)
    if name == "head":
        return _single_head(project)
    if name not in project.revisions:
        heads = ", ".join(project.heads) or "none"
        raise RefusedError(
            "UnknownRevision",
            f"the image has no revision {name} (its newest: {heads}): name a whole revision id, "
            "head, heads or base",
        )
    return (name,)


def _single_head(project: Project) -> tuple[str, ...]:
    if len(project.heads) > 1:
        raise RefusedError(
            "SeveralHeads",
            f"the project has several heads ({', '.join(project.heads)}): merge them "
            "(`alembic merge heads`), or name one revision or `heads` in migrations.to",
        )
    return project.heads


def _unknown(facts: Facts, project: Project) -> tuple[str, ...]:
    return tuple(name for name in facts.revisions if name not in project.revisions)


def _needs_newer_image(unknown: tuple[str, ...], to: str) -> RefusedError:
    names = ", ".join(unknown)
    return RefusedError(
        "NeedsNewerImage",
        f"the database is at {names}, which this image does not know: going to {to} needs an "
        f"image that holds {names}, because the way back stands in its files",
    )


def _was_rolled_back(owner: str, plan: RunnerPlan) -> RefusedError:
    namespace, _, name = owner.rpartition("/")
    return RefusedError(
        "WasRolledBack",
        f"this way to {plan.to} was rolled back and is not tried again by itself: change the "
        "image or `to`, or ask for a retry",
        command=f"whimbrel retry {name}" + (f" -n {namespace}" if namespace else ""),
    )


def _left_by_downgrade(
    project: Project, have: frozenset[str], target: tuple[str, ...]
) -> frozenset[str]:
    # `alembic downgrade X` takes back what is built on X and leaves other branches alone.
    if not target:
        return frozenset()
    return have - project.above(target[0])


def _refuse_without_way_back(back: Iterable[Revision]) -> None:
    for revision in back:
        if revision.way_back in {WayBack.MISSING, WayBack.REFUSES}:
            raise RefusedError(
                "NoDown",
                f"{revision.file} cannot be taken back: "
                + ("it has no downgrade" if revision.way_back is WayBack.MISSING else "it refuses"),
            )


def _missing_ways(revisions: Iterable[Revision]) -> tuple[str, ...]:
    return tuple(
        f"{each.file}: {_NO_WAY_BACK[each.way_back]}"
        for each in revisions
        if each.way_back in _NO_WAY_BACK
    )


def _salvage(facts: Facts, left: frozenset[str]) -> tuple[CatalogObject, ...]:
    # A run that reached a revision which goes may have added more than goes now: copied as well.
    added = (objects for reached, objects in facts.added.items() if reached not in left)
    mine = frozenset().union(*added) & facts.catalog
    tables = {(each.schema, each.name) for each in mine if each.kind == "table"}
    return tuple(
        sorted(
            each
            for each in mine
            if each.kind == "table"
            or (each.kind == "column" and (each.schema, each.name) not in tables)
        )
    )


def _salvage_step(to: str, objects: tuple[CatalogObject, ...]) -> tuple[Step, ...]:
    return (SalvageObjects(StepId(f"salvage:alembic:{to}"), objects),) if objects else ()


def _named(revision: Revision) -> str:
    return f"{revision.file} ({revision.title})" if revision.title else revision.file


def _content(revisions: Iterable[Revision]) -> str:
    # Part of the step's id and so of the plan's digest: an approval covers the files themselves.
    text = "\0".join(f"{each.id} {each.sha256}" for each in revisions)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
