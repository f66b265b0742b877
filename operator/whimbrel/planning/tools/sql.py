"""Tool `sql`, and plans of every tool whose files we run: from files and rows. Touches nothing."""

from collections.abc import Sequence
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Spec, Tool
from whimbrel.model.steps import Adopt, Direction, MigrationFile, Step, StepId
from whimbrel.planning import sql_files
from whimbrel.planning.expected_objects import expected, first_missing
from whimbrel.planning.file_tool import BEFORE_ALL, FileTool, Key
from whimbrel.planning.rolled_back import was_rolled_back
from whimbrel.planning.sql_dialects import SqlDialect, sql_dialect
from whimbrel.planning.sql_down import notes_on_way_back, plan_back, refuse_half
from whimbrel.planning.sql_history import (
    HEAD,
    History,
    check_applied,
    pending,
    vanished,
)
from whimbrel.planning.sql_steps import Group, Work, groups
from whimbrel.planning.syntax import Parsed

NOTHING: Final = "base"  # Alembic's word for "nothing stays", good for every tool

SQL: Final = FileTool(
    tool=Tool.SQL,
    title="SQL",
    patterns=("*.sql",),
    read=sql_files.read_files,
    key=sql_files.key_of,
    find=sql_files.find_version,
    down_name=sql_files.down_name,
    no_down="%s has no down file: it cannot be taken back",
    later="give the file a higher number",
    unfinished=lambda _owner, _facts, _files: (),
    choose=sql_files.meant_here,
)


def plan_up(spec: Spec, facts: Facts, history: History) -> RunnerPlan:
    """Return what leads from the facts to `spec.migrations.to`; a lower `to` leads down.

    Raises:
        RefusedError: The project or a file of it is wrong; the file is named.
        HeldError: ``WasRolledBack``, or ``WouldLoseData`` for a lower `to`.
    """
    wanted = spec.migrations.to
    if wanted == HEAD:
        return _to_head(spec, facts, history)
    target = _kept(history, "" if wanted == NOTHING else wanted)
    if target < history.last_applied():
        return plan_back(spec, facts, history, target)
    check_applied(history)
    return _forward(spec, facts, history, target)


def plan_down(spec: Spec, facts: Facts, history: History, to: str | None) -> RunnerPlan:
    """Return the way back.

    `to` is the version that stays, "" for none, None for "before the last run". The history's
    files may be empty where only the ledger knows them.

    Raises:
        RefusedError: ``NothingToRollBack``, ``UnknownRevision``, ``NoDown``, ``Conflict``.
        HeldError: ``WouldLoseData``, with the command that lets it run.
    """
    target = _before_last_run(history, facts) if to is None else _kept(history, to)
    return plan_back(spec, facts, history, target)


def _kept(history: History, to: str) -> Key:
    return history.key(to) if to else BEFORE_ALL


def _before_last_run(history: History, facts: Facts) -> Key:
    mine = {history.tool.key(version) for version in facts.last_run} & set(history.rows)
    if not mine:
        raise RefusedError(
            "NothingToRollBack", "no run of this object has applied anything that is still there"
        )
    later = [row for key, row in history.rows.items() if key > max(mine)]
    if later:
        whose = later[0].owner or history.tool.title
        raise RefusedError(
            "Conflict", f"{later[0].name} was applied later by {whose}: take that back first"
        )
    return max((key for key in history.rows if key < min(mine)), default=BEFORE_ALL)


def _to_head(spec: Spec, facts: Facts, history: History) -> RunnerPlan:
    check_applied(history)
    if history.last_applied() > history.last_file():
        to = history.version(history.last_applied())
        return RunnerPlan(Direction.UP, to, ahead=True)
    return _forward(spec, facts, history, history.last_file())


def _forward(spec: Spec, facts: Facts, history: History, target: Key) -> RunnerPlan:
    files = pending(history, target)
    adopted = _adopted(spec, facts, history, target)
    dialect, name = sql_dialect(facts.dialect), spec.migrations.history
    schema = spec.database.ledger_schema
    works = [
        Work(each, dialect.read(each.name, each.up, schema), history.tool.down_name(each.name))
        for each in files[len(adopted) :]
    ]
    transactions = groups(works, dialect.atomicity(spec.migrations.atomicity))
    steps: list[Step] = [dialect.step(spec, Direction.UP, group) for group in transactions]
    if adopted:
        steps.insert(0, Adopt(StepId(f"adopt:{name}:{adopted[-1].version}"), adopted))
    notes = (
        *history.notes,
        *vanished(history),
        *(dialect.notes if transactions else ()),
        *_split(transactions),
        *_missing_downs(history.tool, works),
        *notes_on_way_back(facts, _downs(dialect, schema, history.tool, works)),
    )
    plan = RunnerPlan(Direction.UP, history.version(target), tuple(steps), notes)
    _refuse_rolled_back(plan, facts, history.owner)
    refuse_half(facts, history.owner, {file.version for file in files})
    return plan


def _refuse_rolled_back(plan: RunnerPlan, facts: Facts, owner: str) -> None:
    if plan.steps and plan.digest() in facts.rolled_back:
        raise was_rolled_back(owner, f"this plan (to {plan.to})")


def _adopted(spec: Spec, facts: Facts, history: History, target: Key) -> tuple[MigrationFile, ...]:
    baseline = spec.migrations.baseline
    if not baseline or history.rows:
        return ()
    last = history.key(baseline)
    if last > target:
        raise RefusedError("BaselineAfterTarget", "spec.migrations.baseline is later than `to`")
    files = pending(history, last)
    parse = sql_dialect(facts.dialect).parse
    parsed = [each for file in files for each in parse(file.name, file.up)]
    missing = first_missing(expected(parsed), facts.catalog)
    if missing is not None:
        raise RefusedError(
            "BaselineDoesNotFit",
            f"{files[-1].name} cannot be the baseline: the database has no {missing}",
        )
    return files


def _downs(
    dialect: SqlDialect, schema: str, tool: FileTool, works: Sequence[Work]
) -> dict[str, Sequence[Parsed]]:
    """Read the way back now: a mistake in it is said before anything is applied."""
    names = [(tool.down_name(work.file.name), work.file.down) for work in reversed(works)]
    return {
        name: dialect.read(name, down, schema).parsed for name, down in names if down is not None
    }


def _split(transactions: Sequence[Group]) -> tuple[str, ...]:
    if len(transactions) < 2:
        return ()
    return (
        f"the files run in {len(transactions)} transactions: when a later one fails, "
        "the earlier ones are taken back by their down files",
    )


def _missing_downs(tool: FileTool, works: Sequence[Work]) -> tuple[str, ...]:
    return tuple(tool.no_down % work.file.name for work in works if work.file.down is None)
