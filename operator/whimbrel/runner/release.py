"""Whether a run goes on after its schema, and what the ledger keeps of a release that ended."""

from whimbrel.machine.names import work_digest
from whimbrel.runner.bench import Bench
from whimbrel.runner.notes import Kind, forget_note, read_note, write_note
from whimbrel.runner.roll_back import applied_by_this_run


def release_goes_on(bench: Bench) -> bool:
    """Tell whether a run that finds nothing to do still has a release to carry out.

    An earlier attempt of this run may have applied everything and never told. And the traffic may
    be at the old side although the schema is there, unless the ledger says that this very release
    was complete: then a cluster that was rebuilt from Git goes through no switch again.
    """
    if not bench.order.release:
        return False
    if applied_by_this_run(bench):
        return True
    key = _key(bench)
    return bool(key) and read_note(bench.holding.ledger, Kind.RELEASE, key) != _value(bench)


def remember_release(bench: Bench) -> None:
    """Keep which release the Service was switched for."""
    key = _key(bench)
    if key:
        write_note(bench.holding.ledger, Kind.RELEASE, key, _value(bench))


def forget_release(bench: Bench) -> None:
    """Let go of what `remember_release` kept: this release goes back, or ends before its time.

    Else the same spec, applied again, would count as complete with the traffic at the old side.
    """
    key = _key(bench)
    if key and read_note(bench.holding.ledger, Kind.RELEASE, key) == _value(bench):
        forget_note(bench.holding.ledger, Kind.RELEASE, key)


def _key(bench: Bench) -> str:
    options = bench.order.spec.strategy.blue_green
    return f"{bench.order.namespace}/{options.active_service}" if options else ""


def _value(bench: Bench) -> list[str]:
    return [bench.order.owner(), work_digest(bench.order.spec)]
