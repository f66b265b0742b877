"""What a run added outside of covered tables: gone with a restore, but no row of it is lost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.checkpoint.removal import DEPENDENT, MOVABLE, drop, move
from whimbrel.runner.bench import Bench
from whimbrel.runner.catalog import read_identities
from whimbrel.runner.checkpoint.before import read_before, write_before
from whimbrel.runner.checkpoint.manifest import Checkpoint, short_id
from whimbrel.runner.checkpoint.named import labels
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.records import read_applied, read_tool_runs
from whimbrel.runner.server_errors import SERVER_ERRORS, read_error
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own


def added_by_run(
    checkpoint: Checkpoint,
    bench: Bench,
    kinds: Sequence[str],
    label: Callable[[CatalogObject], str],
) -> tuple[CatalogObject, ...]:
    """Return what the run added and is there still, in the order in which it can go.

    As the ledger says, under its names of today where a tool added it; and what is new since the
    checkpoint was opened, because a tool that was killed has told nobody.
    """
    ledger, spec = bench.holding.ledger, bench.order.spec
    now = read_identities(ledger.session, ledger.schema)
    names = {identity: each for each, identity in now.items()}
    found = {
        each
        for row in read_applied(ledger, spec.migrations.history)
        if row.run == checkpoint.run
        for each in row.added
    }
    for start in read_tool_runs(ledger, spec):
        if start.run == checkpoint.run:
            found |= {names[each] for each in start.added.values() if each in names}
    before = read_before(ledger, checkpoint.id)
    new = {name for name, kinds in (before.changed or {}).items() if not kinds} if before else set()
    found |= {each for each in now if label(each) in new}
    order = list(kinds)
    there = [each for each in found if each in now and each.kind in order]
    return tuple(sorted(there, key=lambda each: (order.index(each.kind), each)))


def label(each: CatalogObject) -> str:
    """Return what the catalogue's shape calls the relation that something is, or is of."""
    return ".".join(filter(None, (each.schema, each.name)))


def take_away(ledger: Ledger, checkpoint: Checkpoint, added: tuple[CatalogObject, ...]) -> None:
    """Drop what was added, inside the transaction of the swap; what holds rows is moved instead.

    So is what the failed tables still need, a type for example. What had taken the name of a view
    is gone with the exchange, and the view is there again.
    """
    ours = labels(ledger.session, checkpoint)
    others = tuple(each for each in added if label(each) not in ours)
    moved = list(_moved(ledger, checkpoint, others))
    before = read_before(ledger, checkpoint.id)
    if before is not None:
        write_before(ledger, checkpoint.id, replace(before, moved=tuple(moved)))


def _moved(
    ledger: Ledger, checkpoint: Checkpoint, added: tuple[CatalogObject, ...]
) -> Iterator[tuple[str, str, str]]:
    for number, each in enumerate(added, start=1):
        if each.kind != "table" and _dropped(ledger.session, each):
            continue
        if each.kind in MOVABLE:
            name = f"kept_{short_id(checkpoint.id)}_x{number}"
            for statement in move(each, ledger.schema, name):
                own(ledger.session, statement)
            yield each.kind, name, each.part


def _dropped(session: Session, each: CatalogObject) -> bool:
    """Drop it, unless something hangs on it."""
    try:
        with session.transaction():
            own(session, drop(each))
    except SERVER_ERRORS as error:
        if read_error(error).code != DEPENDENT:
            raise
        return False
    return True
