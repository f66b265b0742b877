"""Whether a run goes on after its schema, and what the ledger keeps of a release that ended."""

from whimbrel.machine.names import work_digest
from whimbrel.model.facts import Facts
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.result import Result
from whimbrel.planning.rolled_back import was_rolled_back
from whimbrel.runner.bench import Bench
from whimbrel.runner.facts import applied_something, revision_of
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note, read_note, write_note
from whimbrel.runner.records import record_rolled_back
from whimbrel.runner.roll_back import NOTHING, applied_by_this_run, nothing_back, roll_back
from whimbrel.runner.runs import read_run, set_run_target


def release_goes_on(bench: Bench) -> bool:
    """Tell whether a run that finds nothing to do still has a release to carry out.

    An earlier attempt of this run may have applied everything and never told. And the traffic may
    be at the old side although the schema is there, unless the ledger says that this very release
    was complete: then a cluster that was rebuilt from Git goes through no switch again.

    Raises:
        HeldError: ``WasRolledBack``: it went back, and nobody has asked for another try.
    """
    is_ours = bench.order.release and bool(applied_by_this_run(bench))
    return is_ours or is_to_be_switched(bench.holding.ledger, bench.order, bench.facts())


def is_to_be_switched(ledger: Ledger, order: Order, facts: Facts) -> bool:
    """Tell whether there is traffic to switch, which the ledger does not call switched already.

    Raises:
        HeldError: ``WasRolledBack``: it went back, and nobody has asked for another try.
    """
    if not order.release or not _key(order) or _run_of(ledger, order):
        return False
    if work_digest(order.spec) in facts.rolled_back:
        raise was_rolled_back(order.owner(), "this release")
    return True


def remember_release(bench: Bench) -> None:
    """Keep which release the Service was switched for."""
    order = bench.order
    if key := _key(order):
        write_note(bench.holding.ledger, Kind.RELEASE, key, [*_value(order), order.run])


def forget_release(bench: Bench) -> None:
    """Let go of what `remember_release` kept: this release goes back, or ends before its time.

    Else the same spec, applied again, would count as complete with the traffic at the old side. One
    that goes back is not tried again by itself, also where its schema stays or had nothing new.
    """
    order, ledger = bench.order, bench.holding.ledger
    if order.back:
        record_rolled_back(ledger, order.spec.migrations.history, order.back, order.run)
    if _run_of(ledger, order):
        forget_note(ledger, Kind.RELEASE, _key(order))


def roll_back_release(bench: Bench) -> Result:
    """Take back what the order names; of a complete release that applied nothing, nothing.

    Its traffic went back already. The schema of the release before is what the old side needs.

    Raises:
        WhimbrelError: There is no way back, or it did not come to its end.
    """
    order, ledger = bench.order, bench.holding.ledger
    if order.unfinished and not order.to and read_run(ledger, order.unfinished) is None:
        return nothing_back(bench)  # it came to no database: what is there is of the run before it
    newest = "" if order.to else _run_of(ledger, order)
    begun = read_run(ledger, order.run)
    is_new = begun is not None and begun.purpose == Segment.ROLLBACK and not begun.target
    if newest and is_new and not applied_something(ledger, order, newest):
        # Kept first: another attempt finds no release any more, and must not take back another.
        set_run_target(ledger, order.run, revision_of(bench.facts(), order) or NOTHING)
        forget_release(bench)
        return nothing_back(bench)
    forget_release(bench)
    return roll_back(bench)


def _run_of(ledger: Ledger, order: Order) -> str:
    """Return the run that completed this very release, if none came after it; else ""."""
    note = read_note(ledger, Kind.RELEASE, _key(order))
    return str(note[2]) if note and note[:2] == _value(order) else ""


def _key(order: Order) -> str:
    options = order.spec.strategy.blue_green
    return f"{order.namespace}/{options.active_service}" if options else ""


def _value(order: Order) -> list[str]:
    return [order.owner(), work_digest(order.spec)]
