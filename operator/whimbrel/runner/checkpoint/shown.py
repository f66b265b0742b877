"""A checkpoint as status and terminal show it."""

from datetime import UTC

from whimbrel.model.checkpoint import SHOWN, CheckpointStatus
from whimbrel.model.order import Order
from whimbrel.runner.checkpoint.dump import record as dumps
from whimbrel.runner.checkpoint.manifest import Checkpoint, State, read_checkpoint, read_checkpoints
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.runs import read_runs, same_object

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
    return shown(read_checkpoint(ledger, checkpoint), dumps.read_dump(ledger, checkpoint))


def shown(checkpoint: Checkpoint | None, dump: dumps.Dumped | None) -> CheckpointStatus | None:
    """Return what is shown of the checkpoint of a run and of its dump, as one."""
    if checkpoint is None or (dump is not None and checkpoint.state is State.CLOSED):
        return dumps.as_status(dump) if dump is not None else None
    told = as_status(checkpoint)
    return told.model_copy(update={"dump": dumps.place_of(dump)}) if dump is not None else told


def unprovable(ledger: Ledger, order: Order) -> str:
    """Return what to add where nothing is done and the last run's checkpoint is worth nothing."""
    found = kept_for(ledger, order)
    if found is None or not found.tables or found.state != State.READY:  # no tables: a dump alone
        return ""
    told = f"; the last run cannot be restored: {found.reason}"
    return told if found.reason not in {"", OVER} else ""


def kept_for(ledger: Ledger, order: Order) -> CheckpointStatus | None:
    """Return the newest checkpoint of the order's object; None where it never had one."""
    ids = {each.id for each in read_checkpoints(ledger)}
    ids |= {each.run for each in dumps.read_dumps(ledger)}
    for run in reversed(read_runs(ledger) if ids else ()):
        if run.id in ids and same_object(order, run):
            return checkpoint_status(ledger, run.id)
    return None
