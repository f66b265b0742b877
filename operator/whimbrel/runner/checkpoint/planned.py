"""The plan of a run with the checkpoint that comes before it: what it covers, at what cost."""

from dataclasses import replace
from typing import Final

from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan
from whimbrel.planning.build import Source, plan_up
from whimbrel.planning.checkpoint.ladder import Cost, laid, wanted, wants_checkpoint
from whimbrel.planning.checkpoint.touches import Known, Name, known
from whimbrel.planning.dialects import postgresql_covering as words
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.bookkeeping import find_table
from whimbrel.runner.checkpoint.closure import find_closure
from whimbrel.runner.checkpoint.dump.planned import Choice, with_dump
from whimbrel.runner.kept_table import find_kept
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own
from whimbrel.runner.surroundings import Surroundings

_ENGINE: Final = "postgresql"  # the only dialect that has one yet


def planned(
    ledger: Ledger, order: Order, facts: Facts, source: Source, place: Surroundings
) -> RunnerPlan:
    """Return what leads to `spec.migrations.to`, after the checkpoint that the spec asks for.

    Raises:
        RefusedError: The project, what is asked, or the checkpoint is wrong.
        HeldError: A human decides first.
    """
    plan = plan_up(order.spec, order.owner(), facts, source)
    asked, session = order.spec.checkpoint, ledger.session
    if asked is None or not wants_checkpoint(asked, plan):
        return plan
    if session.dialect.name != _ENGINE:
        raise RefusedError(
            "CheckpointNotPossible",
            f"a checkpoint needs PostgreSQL, and this is {session.dialect.title}: leave "
            "spec.checkpoint out (and strategy Checkpoint), and the way back is that of the tool",
        )

    def copied() -> RunnerPlan:
        return _copied(plan, asked, ledger, order, facts)

    if asked.dump is None:
        return copied()
    return with_dump(Choice(asked, plan, ledger, order, place), copied)


def _copied(
    plan: RunnerPlan, asked: CheckpointOptions, ledger: Ledger, order: Order, facts: Facts
) -> RunnerPlan:
    session = ledger.session
    names = _names(session, facts)
    anew = not facts.applied and not facts.revisions
    told = wanted(asked, plan, names, _books(session, order), anew=anew)
    if not told.tables:
        return laid(asked, plan, told, ())
    closure = find_closure(session, told.tables, ledger.schema)
    told = replace(told, notes=(*told.notes, *closure.notes))
    costs = _costs(session, tuple((each.schema, each.name) for each in closure.tables))
    return laid(asked, plan, told, costs)


def _names(session: Session, facts: Facts) -> Known:
    parts = {(row[0], row[1]): (row[2], row[3]) for row in own(session, words.READ_PARTS)}
    return known(facts.catalog, session.home() or "", parts)


def _books(session: Session, order: Order) -> tuple[Name, ...]:
    """Return the tool's own table, where it is there: it goes back with the others."""
    spec = order.spec
    if spec.migrations.tool.is_foreign:
        books = foreign_tool(spec.migrations.tool).books
        found = find_table(session, spec, books.table, (*books.columns, *books.further))
        return (found,) if found else ()
    kept = find_kept(session, spec)
    return (kept.place,) if kept is not None and kept.exists else ()


def _costs(session: Session, tables: tuple[Name, ...]) -> tuple[Cost, ...]:
    schemas, names = [each[0] for each in tables], [each[1] for each in tables]
    found = own(session, words.READ_COSTS, schemas, names)
    return tuple(Cost((row[0], row[1]), int(row[2]), int(row[3])) for row in found)
