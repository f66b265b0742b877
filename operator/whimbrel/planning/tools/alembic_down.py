"""The way back of an Alembic project: what is salvaged, what is taken back, what is refused."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.model.steps import CatalogObject, Direction, RunTool, SalvageObjects, Step, StepId
from whimbrel.planning.tools.alembic_project import (
    BASE,
    Project,
    Revision,
    WayBack,
    content,
    resolve,
)

_UNKNOWN_SQL: Final = (
    "Alembic shows no SQL of its way back: what a rollback destroys beyond the columns and tables "
    "that are salvaged cannot be known beforehand"
)
_GONE: Final = "{}, which an earlier run added, is there no more: nothing of it can be salvaged"
_BETWEEN: Final = (
    "the copy for salvage is committed before Alembic begins: what the application writes there "
    "between the two is not in it, so stop its writes first where every value counts"
)
_NO_WAY_BACK: Final = {
    WayBack.EMPTY: "its downgrade is empty: a rollback leaves what it did",
    WayBack.REFUSES: "its downgrade raises an error: a rollback will be refused",
    WayBack.MISSING: "it has no downgrade: a rollback will be refused",
}


def plan_down(spec: Spec, facts: Facts, project: Project, to: str) -> RunnerPlan:
    """Return the way back.

    Args:
        spec: Of the object.
        facts: What the database shows.
        project: Of the image that has the newest revision.
        to: The revision that stays; "" or "base" for none; of several branches one each, with a
            comma between them.

    Raises:
        RefusedError: This image cannot go there, or a file has no way back.
    """
    unknown = unknown_revisions(facts, project)
    if unknown:
        raise needs_newer_image(unknown, to or BASE)
    names = (name.strip() for name in to.split(","))
    target = tuple(sorted(one for name in names for one in resolve(project, name)))
    have = project.closure(facts.revisions)
    left = _left_by_downgrade(project, have, target)
    if project.tops(left) != target:
        raise _several_branches(facts, to, project.tops(left))
    back = tuple(reversed(project.in_order(have - left)))
    _refuse_without_way_back(back)
    after = ", ".join(target)
    if not back:
        return RunnerPlan(Direction.DOWN, after)
    salvage = _salvage_step(after or BASE, _copied(_reached(facts.added, left) & facts.catalog))
    steps: tuple[Step, ...] = (*salvage, *_downgrades(facts, project, target))
    taken = tuple(f"takes back {named(each)}" for each in back)
    gone = tuple(_GONE.format(each) for each in _copied(_reached(facts.gone, left)))
    notes = (*taken, *notes_on_way_back(back), *gone, *(_BETWEEN for _ in salvage))
    return RunnerPlan(Direction.DOWN, after, steps, notes)


def notes_on_way_back(revisions: Iterable[Revision]) -> tuple[str, ...]:
    """Return what a person should know of the way back of these revisions."""
    missing = (
        f"{each.file}: {_NO_WAY_BACK[each.way_back]}"
        for each in revisions
        if each.way_back in _NO_WAY_BACK
    )
    return (*missing, _UNKNOWN_SQL)


def named(revision: Revision) -> str:
    """Return file and title."""
    return f"{revision.file} ({revision.title})" if revision.title else revision.file


def unknown_revisions(facts: Facts, project: Project) -> tuple[str, ...]:
    """Return what the database is at and the image does not hold."""
    return tuple(name for name in facts.revisions if name not in project.revisions)


def needs_newer_image(unknown: tuple[str, ...], to: str) -> RefusedError:
    """Return the refusal for an image that is older than the database."""
    names = ", ".join(unknown)
    return RefusedError(
        "NeedsNewerImage",
        f"the database is at {names}, which this image does not know: going to {to} needs an "
        f"image that holds {names}, because the way back stands in its files",
    )


def _several_branches(facts: Facts, to: str, stay: tuple[str, ...]) -> RefusedError:
    return RefusedError(
        "SeveralBranches",
        f"going back to {to or BASE} would leave {', '.join(stay) or 'nothing'}: the database "
        f"holds several branches ({', '.join(facts.revisions)}); name {BASE} or a revision below "
        "the point where they part",
    )


def _left_by_downgrade(
    project: Project, have: frozenset[str], target: tuple[str, ...]
) -> frozenset[str]:
    # `alembic downgrade X` takes back what is built on X and leaves other branches alone.
    if not target:
        return frozenset()
    return have - frozenset().union(*(project.above(name) for name in target))


def _downgrades(facts: Facts, project: Project, target: tuple[str, ...]) -> Iterator[RunTool]:
    before, have = facts.revisions, project.closure(facts.revisions)
    for goal in target or (BASE,):
        left = _left_by_downgrade(project, have, (goal,) if target else ())
        if left == have:
            continue
        after = project.tops(left)
        digest = content(project.in_order(have - left))
        yield RunTool(
            id=StepId(f"down:alembic:{goal}:{digest}"),
            direction=Direction.DOWN,
            argv=("alembic", "downgrade", goal),
            before=before,
            revisions=after,
        )
        before, have = after, left


def _refuse_without_way_back(back: Iterable[Revision]) -> None:
    for revision in back:
        if revision.way_back in {WayBack.MISSING, WayBack.REFUSES}:
            raise RefusedError(
                "NoDown",
                f"{revision.file} cannot be taken back: "
                + ("it has no downgrade" if revision.way_back is WayBack.MISSING else "it refuses"),
            )


def _reached(
    objects: Mapping[str, frozenset[CatalogObject]], left: frozenset[str]
) -> frozenset[CatalogObject]:
    # A run that reached a revision which goes may have added more than goes now: copied as well.
    return frozenset().union(*(each for reached, each in objects.items() if reached not in left))


def _copied(objects: frozenset[CatalogObject]) -> tuple[CatalogObject, ...]:
    """Return the tables, and the columns of other tables."""
    tables = {(each.schema, each.name) for each in objects if each.kind == "table"}
    return tuple(
        sorted(
            each
            for each in objects
            if each.kind == "table"
            or (each.kind == "column" and (each.schema, each.name) not in tables)
        )
    )


def _salvage_step(to: str, objects: tuple[CatalogObject, ...]) -> tuple[Step, ...]:
    return (SalvageObjects(StepId(f"salvage:alembic:{to}"), objects),) if objects else ()
