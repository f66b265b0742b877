"""The part of a plan that a dump is: its programs, the database's size, what cannot be restored."""

from collections.abc import Callable
from dataclasses import dataclass

from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.errors import RefusedError
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan
from whimbrel.planning.checkpoint.dump import ladder
from whimbrel.planning.checkpoint.dump.programs import DUMP, PSQL, RESTORE
from whimbrel.planning.dialects import postgresql_dump as words
from whimbrel.planning.dialects.postgresql_freeze import IS_SUBSCRIBED
from whimbrel.runner.checkpoint.dump.programs import ENGINE, Programs
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.redact import Redactor
from whimbrel.runner.sessions import own
from whimbrel.runner.surroundings import Surroundings

Copied = Callable[[], RunnerPlan]


def programs_of(order: Order, place: Surroundings) -> Programs:
    """Return the programs of a run's dump."""
    if place.dumps is None:
        raise RefusedError(
            "DumperNotThere",
            "the way back is a dump, and the spec names no image and claim any more: write "
            "checkpoint.dump again as it was",
        )
    name = f"whimbrel-dump:{order.run[:12]}"
    return Programs(place.dumps, place.target, name, Redactor([place.target.password]).clean)


@dataclass(frozen=True)
class Choice:
    """What decides whether a dump is a backup or the way back.

    Attributes:
        asked: What the author asks for.
        plan: Up, with steps.
    """

    asked: CheckpointOptions
    plan: RunnerPlan
    ledger: Ledger
    order: Order
    place: Surroundings


def with_dump(choice: Choice, copied: Copied) -> RunnerPlan:
    """Return the plan with the dump that the spec asks for, as a backup or as the way back.

    Args:
        choice: The plan, and who asks.
        copied: Returns the plan with its copy of tables.

    Raises:
        RefusedError: The programs do not fit, what is there could not be restored, or there can be
            no copy of tables and nobody lets the dump be the way back.
    """
    asked, plan = choice.asked, choice.plan
    if asked.write_freeze:
        dumper = _dumper(choice, restores=True)
        _refuse_subscribed(choice)
        return ladder.with_freeze(plan, asked, dumper)
    try:
        with_copy = copied()
    except RefusedError as refusal:
        if choice.order.spec.rollback.allow_data_loss is None:
            raise ladder.offered(refusal) from refusal
        dumper = _dumper(choice, restores=True)
        return ladder.instead_of_copy(plan, asked, dumper, refusal.message)
    return ladder.with_backup(with_copy, asked, _dumper(choice, restores=False))


def _dumper(choice: Choice, *, restores: bool) -> ladder.Dumper:
    options, session = choice.asked.dump, choice.ledger.session
    if options is None:
        raise AssertionError("asked for only where there is a dump")
    if session.dialect.name != ENGINE:
        raise RefusedError(
            "DumpNotRestorable",
            f"a dump needs PostgreSQL, and this is {session.dialect.title}: leave checkpoint.dump "
            "and checkpoint.writeFreeze out",
        )
    programs = programs_of(choice.order, choice.place)
    version = programs.version(DUMP)
    for program in (DUMP, RESTORE, PSQL) if restores else (DUMP, RESTORE):
        ladder.expect_fitting(programs.version(program), session.version(), restores=restores)
    if restores:
        refuse_not_ours(choice.ledger)
    ((size,),) = own(session, words.DATABASE_BYTES)
    return ladder.Dumper(options, version, int(size))


def refuse_not_ours(ledger: Ledger) -> None:
    """Refuse where a restore would have to drop what belongs to somebody else.

    Raises:
        RefusedError: ``DumpNotRestorable``.
    """
    for what, owner in own(ledger.session, words.NOT_OURS, ledger.schema):
        raise RefusedError(
            "DumpNotRestorable",
            f"the dump cannot be the way back: {what} belongs to {owner}, so our login may not "
            "drop it and make it again: change its owner, or move it to another database",
        )
    for table, kind in own(ledger.session, words.NEEDED_BY_US, ledger.schema):
        raise RefusedError(
            "DumpNotRestorable",
            f"the dump cannot be the way back: {ledger.schema}.{table} keeps values of the type "
            f"{kind}, which would go: drop that table once nobody needs it any more",
        )


def _refuse_subscribed(choice: Choice) -> None:
    if own(choice.ledger.session, IS_SUBSCRIBED)[0][0]:
        raise RefusedError(
            "FreezeNotPossible",
            "this database subscribes to tables of another one, whose rows no trigger can stop: "
            "leave checkpoint.writeFreeze out, or disable the subscription",
        )
