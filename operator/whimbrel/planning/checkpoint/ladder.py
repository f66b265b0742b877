"""Which rung is the way back of a plan, why, what it costs, and what it cannot bring back.

Rung 0 is the transaction itself: ROLLBACK, while it runs. Rung 3 is a copy of the tables with a
journal of the application's writes, put back by one verified swap: for everything that commits
before the run is over, and for as long as the checkpoint is kept.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from whimbrel.model.bounds import format_duration
from whimbrel.model.checkpoint import CheckpointOptions, Scope, format_bytes
from whimbrel.model.errors import RefusedError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import (
    Adopt,
    CatalogObject,
    Direction,
    RunAlone,
    RunFiles,
    RunPieces,
    RunTool,
    Statement,
    Step,
)
from whimbrel.planning.checkpoint.pieces import touched_by_pieces
from whimbrel.planning.checkpoint.replaced import replaced_by
from whimbrel.planning.checkpoint.touches import Known, Name, Touched, touched_by

# Measured with 2 million rows of 170 bytes: copy and checksums 5.3 s, on-line preparation 8.3 s.
_OPENED: Final = 60e6  # bytes in a second
_RESTORED: Final = 40e6
_MIB: Final = 2**20
_LOST: Final = (
    "a restore keeps every write of the application, but not in a shape that is gone: what has no "
    "place in the shape before is kept row by row (`whimbrel conflicts`); sequences never go back"
)


@dataclass(frozen=True)
class Wanted:
    """What a checkpoint shall cover.

    Attributes:
        tables: Named, touched, or of the tool's own books; without what the closure adds.
        notes: Sentences about what it leaves out.
        beyond: Changes outside of tables, where they can be told from additions, and of views.
    """

    tables: tuple[Name, ...] = ()
    notes: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cost:
    """A table that is covered, and its size as the catalogue estimates it.

    Attributes:
        size: Bytes without indexes.
    """

    table: Name
    rows: int
    size: int


def wants_checkpoint(asked: CheckpointOptions | None, plan: RunnerPlan) -> bool:
    """Tell whether a plan runs something that a checkpoint shall come before."""
    runs = any(not isinstance(step, Adopt) for step in plan.steps)
    return asked is not None and plan.direction is Direction.UP and runs


def wanted(
    asked: CheckpointOptions, plan: RunnerPlan, names: Known, books: Iterable[Name], *, anew: bool
) -> Wanted:
    """Return the tables that a checkpoint of a plan shall cover.

    Args:
        asked: What the author asks for.
        plan: Up, with steps.
        names: What names mean in this database.
        books: The tool's own tables that are there.
        anew: Nothing of this project was ever applied here.

    Raises:
        RefusedError: ``CheckpointNotPossible``: what it would have to cover cannot be told.
    """
    statements = tuple(_statements(plan.steps))
    pieces = [each for step in plan.steps if isinstance(step, RunPieces) for each in step.pieces]
    touched = touched_by_pieces(pieces, names) if pieces else touched_by(statements, names)
    notes = tuple(f"a restore does not bring back {each}" for each in touched.beyond)
    if asked.scope is Scope.TABLES:
        notes += tuple(_unseen(plan, touched))
        tables, absent = _listed(asked, names, anew=anew)
        emptied = names.emptied_with(each for each in touched.emptied if each in tables)
        tables = tuple(dict.fromkeys([*tables, *emptied]))
        left_out = [each for each in touched.tables if each not in tables]
        notes += tuple(f"{_dotted(each)} is not there yet: nothing to cover" for each in absent)
        notes += tuple(
            f"{_dotted(each)} is changed and not listed: a restore does not bring it back"
            for each in left_out
        )
    else:
        _refuse_opaque(plan, touched)
        tables = touched.tables
    for table, where in replaced_by(statements, names):
        if table in tables:
            raise _replaced(table, where)
    covered = tuple(dict.fromkeys([*tables, *books])) if tables else ()
    return Wanted(covered, notes, () if pieces else touched.beyond + touched.views)


def expect_way_back(told: Wanted) -> None:
    """Refuse a plan that changes what is there and no table: strategy Checkpoint is no way back.

    Raises:
        RefusedError: ``CheckpointNotPossible``.
    """
    if told.beyond and not told.tables:
        raise RefusedError(
            "CheckpointNotPossible",
            f"there is no table to cover, and no checkpoint brings back {told.beyond[0]}: run it "
            "with another strategy than Checkpoint",
        )


def _statements(steps: Iterable[Step]) -> Iterator[Statement]:
    for step in steps:
        match step:
            case RunFiles(files=files):
                yield from (each for run in files for each in run.statements)
            case RunAlone(statement=statement):
                yield statement
            case _:
                pass


def _replaced(table: Name, where: str) -> RefusedError:
    return RefusedError(
        "CheckpointNotPossible",
        f"{where} gives the name {_dotted(table)} to another table, and what the application "
        "writes to that one could not be taken back: change the table that is there (ALTER TABLE, "
        "or DELETE and INSERT for its rows), or leave spec.checkpoint out",
    )


def _refuse_opaque(plan: RunnerPlan, touched: Touched) -> None:
    what = "the tool shows no SQL" if any(isinstance(each, RunTool) for each in plan.steps) else ""
    doing = what or "; ".join(touched.opaque[:1])
    if doing:
        raise RefusedError(
            "CheckpointNotPossible",
            f"{doing}: which tables it changes cannot be known, so list them in "
            "checkpoint.tables with checkpoint.scope Tables",
        )


def _unseen(plan: RunnerPlan, touched: Touched) -> Iterator[str]:
    """Yield what a list of tables may have missed, and nobody can tell."""
    if any(isinstance(each, RunTool) for each in plan.steps):
        yield "rows that the tool changes in other tables cannot be told and do not come back"
    for each in touched.opaque:
        yield f"{each}: rows that this changes in other tables cannot be told and do not come back"


def _listed(
    asked: CheckpointOptions, names: Known, *, anew: bool
) -> tuple[tuple[Name, ...], tuple[Name, ...]]:
    listed = [names.listed((each.schema_name, each.name)) for each in asked.tables]
    absent = tuple(each for each in listed if each not in names.tables)
    if absent and not anew:
        raise RefusedError(
            "CheckpointNotPossible",
            f"checkpoint.tables names {_dotted(absent[0])}, and there is no such table: what the "
            "migration itself adds needs no checkpoint, so leave it out or mend its name",
        )
    return tuple(each for each in listed if each not in absent), absent


def laid(
    asked: CheckpointOptions, plan: RunnerPlan, told: Wanted, costs: Sequence[Cost]
) -> RunnerPlan:
    """Return the plan with the checkpoint that comes before its first step, and what to know."""
    if not costs:
        what = (
            "no listed table is there yet" if asked.tables else "it changes no table that is there"
        )
        told_none = f"{what}: no checkpoint is made"
        return replace(plan, notes=(*plan.notes, told_none, *told.notes))
    tables = tuple(CatalogObject("table", *cost.table) for cost in costs)
    rungs = (_rung_while(plan), *_rung_after(asked, costs), *_followed(told, costs))
    notes = (*rungs, _LOST, *told.notes)
    return replace(plan, covered=tables, notes=(*plan.notes, *notes))


def _rung_while(plan: RunnerPlan) -> str:
    if len(plan.steps) == 1 and isinstance(plan.steps[0], RunFiles):
        return "way back while it runs: rung 0, ROLLBACK, because all of it is one transaction"
    what = "the tool commits" if isinstance(plan.steps[-1], RunTool) else "it runs in several steps"
    return f"way back while it runs: rung 3, restore of the checkpoint, because {what}"


def _rung_after(asked: CheckpointOptions, costs: Sequence[Cost]) -> Iterator[str]:
    size, rows = sum(each.size for each in costs), sum(each.rows for each in costs)
    yield (
        f"way back afterwards, for {format_duration(asked.keep_for)}: rung 3, a copy of "
        f"{len(costs)} table(s), about {rows} rows and {_size(size)}, with a journal of at most "
        f"{format_bytes(asked.max_journal)} of the application's writes; at half of that a "
        "migration that still runs is stopped and taken back"
    )
    yield (
        f"its cost: about {_seconds(size / _OPENED)} before the first step, {_size(size)} of disk "
        "and a trigger on each table, for which it is locked for some milliseconds; a restore "
        f"takes about {_seconds(size / _RESTORED)} on-line, then locks the tables for one short "
        "transaction"
    )


def _followed(told: Wanted, costs: Sequence[Cost]) -> Iterator[str]:
    """Yield what is covered though neither author nor migration named it."""
    for each in costs:
        if each.table not in told.tables:
            yield (
                f"{_dotted(each.table)} is covered too: a foreign key, a trigger or a rule changes "
                "it when the others change"
            )


def _size(size: int) -> str:
    return f"{max(1, round(size / _MIB))} MiB"


def _seconds(seconds: float) -> str:
    return f"{max(1, round(seconds))} s"


def _dotted(name: Name) -> str:
    return ".".join(name)
