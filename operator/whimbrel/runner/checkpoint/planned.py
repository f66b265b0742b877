"""The plan of a run with the checkpoint that comes before it: what it covers, at what cost."""

from dataclasses import replace

from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.facts import Facts
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.release.strategy import StrategyType
from whimbrel.planning.build import Source, plan_up
from whimbrel.planning.checkpoint.ladder import (
    Cost,
    expect_way_back,
    laid,
    wanted,
    wants_checkpoint,
)
from whimbrel.planning.checkpoint.touches import Name
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.bookkeeping import find_table
from whimbrel.runner.checkpoint.dump.planned import Choice, with_dump
from whimbrel.runner.checkpoint.engine import engine_of
from whimbrel.runner.checkpoint.manifest import words_of
from whimbrel.runner.kept_table import find_kept
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Session
from whimbrel.runner.surroundings import Surroundings


def planned(
    ledger: Ledger, order: Order, facts: Facts, source: Source, place: Surroundings
) -> RunnerPlan:
    """Return what leads to `spec.migrations.to`, after the checkpoint that the spec asks for.

    Raises:
        RefusedError: The project, what is asked, or the checkpoint is wrong.
        HeldError: A human decides first.
    """
    plan = plan_up(order.spec, order.owner(), facts, source)
    asked = order.spec.checkpoint
    if asked is None or not wants_checkpoint(asked, plan):
        return plan

    def copied() -> RunnerPlan:
        return _copied(plan, asked, ledger, order, facts)

    if asked.dump is None:
        return copied()
    return with_dump(Choice(asked, plan, ledger, order, place), copied)


def _copied(
    plan: RunnerPlan, asked: CheckpointOptions, ledger: Ledger, order: Order, facts: Facts
) -> RunnerPlan:
    session = ledger.session
    engine = engine_of(session)
    names = engine.known_names(session, facts.catalog)
    anew = not facts.applied and not facts.revisions
    told = wanted(asked, plan, names, _books(session, order), anew=anew)
    if order.spec.strategy.type is StrategyType.CHECKPOINT:
        expect_way_back(told)
    if not told.tables:
        return laid(asked, plan, told, ())
    closure = engine.find_closure(session, told.tables, ledger.schema)
    told = replace(told, notes=(*told.notes, *closure.notes))
    costs = _costs(ledger, tuple((each.schema, each.name) for each in closure.tables))
    return laid(asked, plan, told, costs)


def _books(session: Session, order: Order) -> tuple[Name, ...]:
    """Return the tool's own table, where it is there: it goes back with the others."""
    spec = order.spec
    if spec.migrations.tool.is_foreign:
        books = foreign_tool(spec.migrations.tool).books
        found = find_table(session, spec, books.table, (*books.columns, *books.further))
        return (found,) if found else ()
    kept = find_kept(session, spec)
    return (kept.place,) if kept is not None and kept.exists else ()


def _costs(ledger: Ledger, tables: tuple[Name, ...]) -> tuple[Cost, ...]:
    schemas, names = [each[0] for each in tables], [each[1] for each in tables]
    found = ledger.rows(words_of(ledger).READ_COSTS, schemas, names)
    return tuple(Cost((row[0], row[1]), int(row[2]), int(row[3])) for row in found)
