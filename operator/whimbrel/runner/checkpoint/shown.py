"""A checkpoint as status and terminal show it."""

from datetime import UTC

from whimbrel.model.checkpoint import SHOWN, CheckpointStatus
from whimbrel.model.order import Order
from whimbrel.runner.checkpoint.manifest import Checkpoint, State, read_checkpoint, read_checkpoints
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.runs import read_run, same_object

OVER = "its time is over"
_RESTORABLE = frozenset({State.READY, State.RESTORING})


def why_not(checkpoint: Checkpoint) -> str:
    """Return why a checkpoint cannot be restored, "" where it can."""
    if checkpoint.reason:
        return checkpoint.reason
    if checkpoint.state is State.RESTORED:
        return "it was restored; what stood in its place is kept beside it"
    if checkpoint.state not in _RESTORABLE:
        return f"it is {checkpoint.state}"
    return OVER if checkpoint.is_expired else ""


def as_status(checkpoint: Checkpoint) -> CheckpointStatus:
    """Return what is shown of a checkpoint."""
    return CheckpointStatus(
        id=checkpoint.id,
        state=checkpoint.state.value,
        tables=tuple(map(str, checkpoint.tables[:SHOWN])),
        rows=sum(each.rows for each in checkpoint.tables),
        bytes=sum(each.bytes for each in checkpoint.tables),
        kept_until=checkpoint.kept_until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        restorable=not why_not(checkpoint),
        reason=why_not(checkpoint)[:1024],
    )


def checkpoint_status(ledger: Ledger, checkpoint: str) -> CheckpointStatus | None:
    """Return what is shown of the checkpoint with an id; None where there never was one."""
    found = read_checkpoint(ledger, checkpoint)
    return as_status(found) if found else None


def unprovable(ledger: Ledger, order: Order) -> str:
    """Return what to add where nothing is done and the last run's checkpoint is worth nothing."""
    found = kept_for(ledger, order)
    is_told = found is not None and found.state == State.READY and found.reason not in {"", OVER}
    return f"; the last run cannot be restored: {found.reason}" if found and is_told else ""


def kept_for(ledger: Ledger, order: Order) -> CheckpointStatus | None:
    """Return the newest checkpoint of the order's object; None where it never had one."""
    for each in reversed(read_checkpoints(ledger)):
        run = read_run(ledger, each.id)
        if run is not None and same_object(order, run):
            return as_status(each)
    return None
