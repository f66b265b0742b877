"""Whether a run goes on after its schema, and what the ledger keeps of a release that ended."""

from whimbrel.machine.names import work_digest
from whimbrel.model.plan import Segment
from whimbrel.model.result import Result
from whimbrel.planning.rolled_back import was_rolled_back
from whimbrel.runner.bench import Bench
from whimbrel.runner.facts import applied_something, revision_of
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
    if not bench.order.release:
        return False
    if applied_by_this_run(bench):
        return True
    key = _key(bench)
    if not key:
        return False
    if work_digest(bench.order.spec) in bench.facts().rolled_back:
        raise was_rolled_back(bench.order.owner(), "this release")
    return not _run_of(bench, key)


def remember_release(bench: Bench) -> None:
    """Keep which release the Service was switched for."""
    key = _key(bench)
    if key:
        news = [*_value(bench), bench.order.run]
        write_note(bench.holding.ledger, Kind.RELEASE, key, news)


def forget_release(bench: Bench) -> None:
    """Let go of what `remember_release` kept: this release goes back, or ends before its time.

    Else the same spec, applied again, would count as complete with the traffic at the old side. One
    that goes back is not tried again by itself, also where its schema stays or had nothing new.
    """
    key, order, ledger = _key(bench), bench.order, bench.holding.ledger
    if order.back:
        record_rolled_back(ledger, order.spec.migrations.history, order.back, order.run)
    if key and _run_of(bench, key):
        forget_note(ledger, Kind.RELEASE, key)


def roll_back_release(bench: Bench) -> Result:
    """Take back what the order names; of a complete release that applied nothing, nothing.

    Its traffic went back already. The schema of the release before is what the old side needs.

    Raises:
        WhimbrelError: There is no way back, or it did not come to its end.
    """
    key, order, ledger = _key(bench), bench.order, bench.holding.ledger
    newest = _run_of(bench, key) if key and not order.to else ""
    begun = read_run(ledger, order.run)
    is_new = begun is not None and begun.purpose == Segment.ROLLBACK and not begun.target
    if newest and is_new and not applied_something(ledger, order, newest):
        # Kept first: another attempt finds no release any more, and must not take back another.
        set_run_target(ledger, order.run, revision_of(bench.facts(), order) or NOTHING)
        forget_release(bench)
        return nothing_back(bench)
    forget_release(bench)
    return roll_back(bench)


def _run_of(bench: Bench, key: str) -> str:
    """Return the run that completed this very release, if none came after it; else ""."""
    note = read_note(bench.holding.ledger, Kind.RELEASE, key)
    return str(note[2]) if note and note[:2] == _value(bench) else ""


def _key(bench: Bench) -> str:
    options = bench.order.spec.strategy.blue_green
    return f"{bench.order.namespace}/{options.active_service}" if options else ""


def _value(bench: Bench) -> list[str]:
    return [bench.order.owner(), work_digest(bench.order.spec)]
