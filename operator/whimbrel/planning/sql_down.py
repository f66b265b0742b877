"""The way back of SQL files: the authors' down files in reverse, after salvage."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.facts import Applied, Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec
from whimbrel.model.steps import (
    CatalogObject,
    Direction,
    MigrationFile,
    RunFiles,
    RunPieces,
    SalvageObjects,
    Step,
    StepId,
)
from whimbrel.planning.data_loss import Loss, losses, names_before, unknowns
from whimbrel.planning.file_tool import Key
from whimbrel.planning.sql_dialects import SqlDialect, sql_dialect
from whimbrel.planning.sql_history import History
from whimbrel.planning.sql_steps import Group, Work, groups
from whimbrel.planning.syntax import Parsed

_SALVAGED: Final = frozenset({"table", "column"})


def plan_back(spec: Spec, facts: Facts, history: History, target: Key) -> RunnerPlan:
    """Return the plan that takes back everything above a key.

    The target is the key of the version that stays, or the one before all. The history's files
    may be empty: then the ledger's down texts are used.

    Raises:
        RefusedError: A way back is missing (``NoDown``), is in a newer image
            (``NeedsNewerImage``), or belongs to another project.
        HeldError: ``WouldLoseData``, with the command that lets it run.
    """
    refuse_half(facts, history.owner, set())
    keys = sorted((each for each in history.rows if each > target), reverse=True)
    dialect = sql_dialect(facts.dialect)
    works = [_work(spec, history, key, dialect) for key in keys]
    transactions = groups(works, dialect.atomicity(spec.migrations.atomicity))
    return RunnerPlan(
        Direction.DOWN,
        history.version(target),
        tuple(_steps(spec, facts, history, transactions)),
        (*history.notes, *_notes(transactions)),
        losses=_allowed_losses(spec, facts, history, transactions),
    )


def refuse_half(facts: Facts, owner: str, planned: Collection[str]) -> None:
    """Hold where a part of a file stays that this plan does not go on with.

    Raises:
        HeldError: ``HalfDone``.
    """
    namespace, _, name = owner.partition("/")
    for version, file in facts.half:
        if version not in planned:
            raise HeldError(
                "HalfDone",
                f"a part of {file} stays from a run that failed or was interrupted: undo it by "
                "hand, or apply that file again; then go on",
                command=f"whimbrel retry {name} -n {namespace}",
            )


def _work(spec: Spec, history: History, key: Key, dialect: SqlDialect) -> Work:
    row, file, tool = history.rows[key], history.files.get(key), history.tool
    if file is None and history.files and row.owner not in {history.owner, ""}:
        raise RefusedError(
            "Conflict",
            f"{row.name} was applied by {row.owner}, not by this project: take it back there first",
        )
    known = MigrationFile(row.version, row.name, "", row.down, row.checksum)
    if file is not None and file.has(row.checksum) and file.down is not None:
        known = replace(file, version=row.version)
    if known.down is None and file is None and history.files:
        raise RefusedError(
            "NeedsNewerImage",
            f"{row.name} is applied, this project does not hold it, and its way back is not known: "
            "go back with the image that has it",
        )
    if known.down is None:
        raise RefusedError(
            "NoDown", f"{row.name} cannot be taken back: write {tool.down_name(row.name)}"
        )
    text = dialect.read(tool.down_name(known.name), known.down, spec.database.ledger_schema)
    return Work(known, text)


def _steps(
    spec: Spec, facts: Facts, history: History, transactions: Sequence[Group]
) -> Iterator[Step]:
    for group, earlier in _with_earlier(transactions):
        salvage = _salvage(facts, history, group, earlier)
        planned = sql_dialect(facts.dialect).step(spec, Direction.DOWN, group)
        if isinstance(planned, RunFiles | RunPieces):
            yield replace(planned, salvage=salvage)
        else:
            if salvage:
                yield SalvageObjects(StepId(f"salvage:{planned.id}"), salvage)
            yield planned


def _with_earlier(transactions: Sequence[Group]) -> Iterator[tuple[Group, tuple[Parsed, ...]]]:
    earlier: tuple[Parsed, ...] = ()
    for group in transactions:
        yield group, earlier
        earlier = (*earlier, *group.statements())


def _added(history: History, group: Group) -> frozenset[CatalogObject]:
    versions = {work.file.version for work in group.works}
    rows: list[Applied] = [row for row in history.rows.values() if row.version in versions]
    return frozenset(each for row in rows for each in row.added)


def _salvage(
    facts: Facts, history: History, group: Group, earlier: tuple[Parsed, ...]
) -> tuple[CatalogObject, ...]:
    """Return added tables and columns under the names that they have when the group begins."""
    found = set()
    for each in _added(history, group):
        if each.kind not in _SALVAGED:
            continue
        if each in facts.catalog:
            found.add(each)
            continue
        renamed = names_before(group.statements(), each)
        if names_before(earlier, renamed) in facts.catalog:
            found.add(renamed)
    return tuple(sorted(each for each in found if not _inside(each, found)))


def _inside(item: CatalogObject, items: set[CatalogObject]) -> bool:
    return item.kind == "column" and replace(item, kind="table", part="") in items


def _allowed_losses(
    spec: Spec, facts: Facts, history: History, transactions: Sequence[Group]
) -> tuple[str, ...]:
    """Return what the way back destroys, as sentences, where a person accepts it."""
    found: list[Loss] = []
    for group, earlier in _with_earlier(transactions):
        salvage = _salvage(facts, history, group, earlier)
        covered = _added(history, group) | {names_before(earlier, each) for each in salvage}
        found += losses(
            group.statements(),
            facts.catalog,
            covered,
            earlier=earlier,
            foreign_keys=facts.foreign_keys,
        )
    if found and spec.rollback.allow_data_loss is None:
        raise HeldError("WouldLoseData", _sentence(found), command=allow_command(history.owner))
    return tuple(loss_sentence(each) for each in found)


def allow_command(owner: str) -> str:
    """Return the command by which a person accepts the loss."""
    namespace, _, name = owner.partition("/")
    patch = '{"spec":{"rollback":{"allowDataLoss":{"by":"WHO","reason":"TEXT"}}}}'
    return f"kubectl patch dbm {name} -n {namespace} --type merge -p '{patch}'"


def loss_sentence(loss: Loss) -> str:
    """Return file, line, what goes and the statement's beginning."""
    text = " ".join(loss.statement.text.split())
    short = text if len(text) <= 120 else text[:117] + "..."
    return f"{loss.statement.file}, line {loss.statement.line} {loss.what}: {short}"


def _sentence(found: Sequence[Loss]) -> str:
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return (
        f"the way back would destroy what salvage does not cover: {loss_sentence(found[0])}{more}; "
        "nothing was touched, and it waits until spec.rollback.allowDataLoss says who accepts it"
    )


def _notes(transactions: Sequence[Group]) -> tuple[str, ...]:
    opaque = [note for group in transactions for note in unknowns(group.statements())]
    repeated = [
        f"{work.text.file} is marked repeatable: what it destroys cannot be known"
        for group in transactions
        for work in group.works
        if group.runs_alone() and work.text.is_marked_repeatable
    ]
    return (*opaque, *repeated)


def notes_on_way_back(facts: Facts, texts: Mapping[str, Sequence[Parsed]]) -> tuple[str, ...]:
    """Return what a later rollback of files would be held for, said before they are applied.

    The texts are the statements by down file, in the order in which they would run.
    """
    statements = tuple(each for parsed in texts.values() for each in parsed)
    keys = facts.foreign_keys
    held = losses(statements, facts.catalog, frozenset(), foreign_keys=keys)
    return (
        *(f"{loss_sentence(each)}: a rollback of it waits for allowDataLoss" for each in held),
        *unknowns(statements),
    )
