"""What a ledger says of checkpoints: what is kept, what had no place, what can go."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from whimbrel.cli.here import ledger_place
from whimbrel.cli.ledger_view import open_ledger
from whimbrel.cli.options import Connection, Place
from whimbrel.cli.screen import table
from whimbrel.cli.workplace import workplace
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.runner.checkpoint.conflicts import forget_conflicts, old_conflicts
from whimbrel.runner.checkpoint.dump.record import read_dumps
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    open_checkpoints,
    read_checkpoints,
    read_conflicts,
)
from whimbrel.runner.checkpoint.settle import free_desk, let_go
from whimbrel.runner.checkpoint.shown import checkpoint_status
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.lock import take_lock
from whimbrel.runner.runs import read_run
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.target import Target

_PATIENCE = 5.0  # seconds to wait for the lock
_SHOWN = {"attempt", "not_before"}  # what the operator notes for itself


@contextmanager
def ledger_of(place: Place, what: str, connection: Connection) -> Iterator[tuple[Ledger, str]]:
    """Give the ledger that an object's checkpoints are in, and what the object is called there."""
    where = ledger_place(place, what, connection)
    with (
        workplace(connection, place.state_dir) as here,
        open_ledger(here.target, where.schema, where.lock_timeout) as ledger,
    ):
        yield ledger, where.owner


def as_text(found: list[dict[str, Any]]) -> str:
    """Return a row for each checkpoint."""
    rows = [
        [each["id"], each["object"], each["state"], each.get("keptUntil", ""),
         f"{each.get('rows', 0)} rows, {each.get('bytes', 0) / 2**20:.1f} MiB",
         "yes" if each.get("restorable") else f"no: {each.get('reason', '')}",
         ", ".join(filter(None, [*each.get("tables", ()), each.get("dump", "")]))]
        for each in found
    ]  # fmt: skip
    columns = ["RUN", "OBJECT", "STATE", "KEPT UNTIL", "SIZE", "RESTORES", "TABLES"]
    return table(columns, rows) if rows else "no checkpoint is kept"


def kept_in(ledger: Ledger) -> list[dict[str, Any]]:
    """Return the checkpoints and dumps of which something is there, by run, with its object."""
    ids = [each.run for each in read_dumps(ledger)]
    ids += [each.id for each in open_checkpoints(ledger)]
    found = ((each, checkpoint_status(ledger, each)) for each in dict.fromkeys(ids))
    return [_row(ledger, run, shown) for run, shown in found if shown is not None]


def _row(ledger: Ledger, of: str, shown: CheckpointStatus) -> dict[str, Any]:
    told = shown.model_dump(mode="json", by_alias=True, exclude=_SHOWN)
    return {"object": _owner(ledger, of), **told}


def _owner(ledger: Ledger, of: str) -> str:
    run = read_run(ledger, of)
    return f"{run.namespace}/{run.name}" if run else ""


def conflicts_in(ledger: Ledger, owner: str) -> list[dict[str, Any]]:
    """Return what restores of an object could not put back, row by row, oldest first."""
    return [
        {
            "checkpoint": checkpoint.id,
            "table": each.table,
            "key": each.key,
            "kind": each.kind,
            "column": each.column,
            "value": each.value,
            "at": str(each.at),
        }
        for checkpoint in read_checkpoints(ledger)
        if _owner(ledger, checkpoint.id) == owner
        for each in read_conflicts(ledger, checkpoint.id)
    ]


def can_go(ledger: Ledger) -> tuple[Checkpoint, ...]:
    """Return the checkpoints whose time is over, or that nobody can restore, of runs that ended."""
    found = [each for each in open_checkpoints(ledger) if each.is_expired or each.reason]
    return tuple(each for each in found if not _is_at_work(ledger, each))


def _is_at_work(ledger: Ledger, checkpoint: Checkpoint) -> bool:
    run = read_run(ledger, checkpoint.id)
    return run is not None and run.closed_at is None


def goes(ledger: Ledger) -> Iterator[tuple[str, str, str]]:
    """Yield kind, name and words about what `drop` takes away."""
    for each in can_go(ledger):
        yield "checkpoint", each.id, f"of run {each.id}, until {each.kept_until}"
    for run, count in old_conflicts(ledger).items():
        yield "conflicts", run, f"{count} value(s) that had no place when run {run} was taken back"


def drop(ledger: Ledger, target: Target) -> tuple[str, ...]:
    """Take away what `goes`, checkpoints under the migrator's lock; return what is gone.

    Raises:
        TransientError: A runner is at work.
    """
    going = can_go(ledger)
    if going:
        take_lock(ledger.session, patience=_PATIENCE)
    desk = free_desk(ledger, lambda: open_session(target, Manners("whimbrel", 1.0)), _say_nothing)
    for each in going:
        let_go(each, desk)
    old = old_conflicts(ledger)
    forget_conflicts(ledger, old)
    gone = [f"checkpoint of run {each.id}" for each in going]
    return (*gone, *(f"conflicts of run {each}" for each in old))


def _say_nothing(line: str) -> None:
    del line
