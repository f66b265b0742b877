"""The text of a plan for the person who reads or approves it."""

from collections.abc import Iterator

from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import (
    Adopt,
    CatalogObject,
    Direction,
    RunAlone,
    RunFiles,
    RunPieces,
    RunTool,
    SalvageObjects,
    Statement,
    Step,
)


def describe(plan: RunnerPlan) -> str:
    """Return the whole plan as readable text, without a newline at its end."""
    return "\n".join(_lines(plan))


def _lines(plan: RunnerPlan) -> Iterator[str]:
    way = "up to" if plan.direction is Direction.UP else "down to"
    yield f"Direction: {way} {plan.to or 'nothing'}"
    yield f"Digest: {plan.digest()}"
    if plan.dump is not None:
        yield f"Dump first: {plan.dump}"
    yield from (f"Checkpoint first: {each}" for each in plan.covered)
    for note in plan.notes:
        yield f"Note: {note}"
    for loss in plan.losses:
        yield f"Data loss, allowed by spec.rollback.allowDataLoss: {loss}"
    if not plan.steps:
        yield "Nothing to do: " + (
            "the database is newer than what was asked for."
            if plan.ahead
            else "the database is as asked for."
        )
    for number, step in enumerate(plan.steps, start=1):
        yield ""
        yield from _step(number, step)


def _step(number: int, step: Step) -> Iterator[str]:
    match step:
        case RunFiles():
            yield from _run_files(number, step)
        case RunPieces(file=file, pieces=pieces):
            name = pieces[0].statement.file if pieces else file.name
            yield f"Step {number}: {name}, statement by statement"
            yield from _salvage(step.salvage)
            for piece in pieces:
                yield from _sql(piece.statement)
        case RunAlone(file=file, statement=statement):
            yield f"Step {number}: {statement.file or file.name}, outside a transaction"
            yield from _sql(statement)
        case Adopt(files=files):
            yield f"Step {number}: record as applied, run nothing"
            yield from (f"  {file.name}" for file in files)
        case SalvageObjects(objects=objects):
            yield f"Step {number}: copy what would be lost"
            yield from _salvage(objects)
        case RunTool(argv=argv, way=way):
            yield f"Step {number}: {' '.join(argv)}"
            yield f"  {way}"


def _run_files(number: int, step: RunFiles) -> Iterator[str]:
    yield f"Step {number}: one transaction, {len(step.files)} file(s)"
    yield from _salvage(step.salvage)
    for run in step.files:
        name = run.statements[0].file if run.statements else run.file.name
        yield f"  {name}" + ("" if run.statements else " (no statement)")
        for statement in run.statements:
            yield from _sql(statement)


def _salvage(objects: tuple[CatalogObject, ...]) -> Iterator[str]:
    yield from (f"  salvage, if it holds data: {each}" for each in objects)


def _sql(statement: Statement) -> Iterator[str]:
    first, *rest = statement.text.splitlines() or [""]
    yield f"    {statement.line:>4}  {first}"
    yield from (f"          {line}" for line in rest)
