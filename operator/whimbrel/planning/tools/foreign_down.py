"""The way back of a foreign tool: what is salvaged, what is taken back, what is refused."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.model.steps import CatalogObject, Direction, RunTool, SalvageObjects, Step, StepId
from whimbrel.planning.tools.foreign import ForeignTool, Start, relations, way
from whimbrel.planning.tools.ledger_in_code import refuse_ledger
from whimbrel.planning.tools.project import (
    BASE,
    Project,
    Revision,
    WayBack,
    content,
    named,
    pieces,
)

_UNKNOWN_SQL: Final = (
    "{} shows no SQL of its way back: what a rollback destroys beyond the columns and tables "
    "that are salvaged cannot be known beforehand"
)
_GONE: Final = "{}, which an earlier run added, is there no more: nothing of it can be salvaged"
_BETWEEN: Final = (
    "the copy for salvage is committed before {} begins: what the application writes there "
    "between the two is not in it, so stop its writes first where every value counts"
)
_CONSEQUENCE: Final = {
    WayBack.EMPTY: "a rollback leaves what it did",
    WayBack.REFUSES: "a rollback will be refused",
    WayBack.MISSING: "a rollback will be refused",
}


def plan_down(tool: ForeignTool, spec: Spec, facts: Facts, project: Project, to: str) -> RunnerPlan:
    """Return the way back.

    Args:
        tool: That goes there.
        spec: Names the tool's own table.
        facts: What the database shows.
        project: Of the image that has the newest revision.
        to: The revision that stays; "" or "base" for none; of several branches one each, with a
            comma between them.

    Raises:
        RefusedError: This image cannot go there, or a file has no way back.
    """
    rows, books = facts.revisions, tool.books
    unknown = books.unknown(project, rows) or _of_newer_images(facts, project)
    if unknown:
        raise needs_newer_image(unknown, to or BASE)
    have = books.applied(project, rows)
    starts = tool.ways.back(project, rows, to)
    stays = starts[-1].stays if starts else have
    back = tuple(reversed(project.in_order(have - stays)))
    _refuse_without_way_back(tool, back)
    refuse_ledger(spec, facts, back)
    kept = books.after(project, rows, stays)
    after = books.shown(kept)
    if not back:
        return RunnerPlan(Direction.DOWN, after)
    left = stays | set(kept)
    theirs = relations(tool, spec)
    added = {each for each in _reached(facts.added, left) if each.name not in theirs}
    salvage = _salvage_step(tool, after or BASE, frozenset(added & facts.catalog))
    steps: tuple[Step, ...] = (*salvage, *_runs(tool, facts, project, starts))
    taken = tuple(f"takes back {named(each)}" for each in back)
    gone = tuple(_GONE.format(each) for each in _copied(_reached(facts.gone, left)))
    between = tuple(_BETWEEN.format(tool.title) for _ in salvage)
    notes = (*taken, *notes_on_way_back(tool, back), *gone, *between)
    return RunnerPlan(Direction.DOWN, after, steps, notes)


def notes_on_way_back(tool: ForeignTool, revisions: Iterable[Revision]) -> tuple[str, ...]:
    """Return what a person should know of the way back of these revisions."""
    missing = (
        f"{each.file}: {tool.sentences.no_way_back[each.way_back]}: {_CONSEQUENCE[each.way_back]}"
        for each in revisions
        if each.way_back in _CONSEQUENCE
    )
    return (*missing, _UNKNOWN_SQL.format(tool.title))


def needs_newer_image(unknown: tuple[str, ...], to: str) -> RefusedError:
    """Return the refusal for an image that is older than the database."""
    names = ", ".join(unknown)
    return RefusedError(
        "NeedsNewerImage",
        f"the database is at {names}, which this image does not know: going to {to} needs an "
        f"image that holds {names}, because the way back stands in its files",
    )


def _of_newer_images(facts: Facts, project: Project) -> tuple[str, ...]:
    """Return rows that a newer image brought and this one does not know, a whole app of Django's.

    What is built on a table that goes might go with it, unseen.
    """
    known = project.revisions.keys() | {
        name for each in project.revisions.values() for name in each.replaces
    }
    return tuple(row for row in facts.revisions if row in facts.newer and row not in known)


def _runs(
    tool: ForeignTool, facts: Facts, project: Project, starts: tuple[Start, ...]
) -> Iterator[RunTool]:
    before = facts.revisions
    have = tool.books.applied(project, before)
    for start in starts:
        after = tool.books.after(project, before, start.stays)
        gone = tuple(reversed(project.in_order(have - start.stays)))
        yield RunTool(
            id=StepId(f"down:{tool.tool}:{start.goal}:{content(reversed(gone))}"),
            direction=Direction.DOWN,
            argv=start.argv,
            before=before,
            revisions=after,
            pieces=pieces(gone),
            way=way(tool, before, after),
        )
        before, have = after, start.stays


def _refuse_without_way_back(tool: ForeignTool, back: Iterable[Revision]) -> None:
    for revision in back:
        if revision.way_back in {WayBack.MISSING, WayBack.REFUSES}:
            raise RefusedError(
                "NoDown",
                f"{revision.file} cannot be taken back: "
                f"{tool.sentences.no_way_back[revision.way_back]}",
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


def _salvage_step(
    tool: ForeignTool, to: str, objects: frozenset[CatalogObject]
) -> tuple[Step, ...]:
    copied = _copied(objects)
    return (SalvageObjects(StepId(f"salvage:{tool.tool}:{to}"), copied),) if copied else ()
