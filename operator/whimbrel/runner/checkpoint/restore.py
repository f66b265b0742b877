"""Takes covered tables back to what they were, with everything that was written since."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.runner.checkpoint.conflicts import count_conflicts, shown_if_held
from whimbrel.runner.checkpoint.copy import expect_clones
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.finish import finish
from whimbrel.runner.checkpoint.manifest import Checkpoint, State, read_checkpoint
from whimbrel.runner.checkpoint.owner_login import as_owner
from whimbrel.runner.checkpoint.prepare import analyze_clones, prepare_clones
from whimbrel.runner.checkpoint.replay import (
    begin_replay,
    catch_up,
    check_references,
)
from whimbrel.runner.checkpoint.swap import swap
from whimbrel.runner.checkpoint.watch import expect_capture
from whimbrel.runner.session import Session


@dataclass(frozen=True)
class Restored:
    """What a restore came to.

    Attributes:
        conflicts: Values that the old tables have no place for; they are recorded.
        kept: Names of the failed tables, in the ledger's schema.
    """

    conflicts: int
    kept: tuple[str, ...]


def restore(checkpoint: Checkpoint, desk: Desk, extra: Callable[[Session], None]) -> Restored:
    """Restore a checkpoint, or finish a restore that was interrupted, wherever that was.

    The run is fenced: nothing of the migration works any more. The application goes on; it waits
    for the exchange alone. `extra` is called in the transaction of the exchange, before its proof.

    Raises:
        HeldError: A human decides; nothing that the application sees has changed, or, where the
            sentence says so, all but the last checks is done.
        TransientError: Try again later.
    """
    now = expect_restorable(checkpoint, desk)
    with _as_owner(now, desk) as ours:
        if now.state is not State.RESTORED:
            with shown_if_held(now, desk):
                _bring_back(now, ours, extra)
        finish(now, ours)
    return Restored(count_conflicts(now, desk), tuple(each.kept for each in now.tables))


def expect_restorable(checkpoint: Checkpoint, desk: Desk) -> Checkpoint:
    """Return a checkpoint as it is now, if it can be restored or its restore can be finished.

    Raises:
        HeldError: It cannot.
    """
    now = read_checkpoint(desk.ledger, checkpoint.id)
    if now is None or now.state not in {State.READY, State.RESTORING, State.RESTORED}:
        raise HeldError(
            "CheckpointNotReady",
            f"the checkpoint of run {checkpoint.id} is {now.state if now else 'gone'}: there is "
            "nothing to go back to",
        )
    return now


@contextmanager
def _as_owner(checkpoint: Checkpoint, desk: Desk) -> Iterator[Desk]:
    with ExitStack() as stack:
        try:
            ours = stack.enter_context(as_owner(checkpoint, desk))
        except RefusedError as error:
            raise HeldError("RestoreBlocked", error.message) from error
        yield ours


def _bring_back(checkpoint: Checkpoint, desk: Desk, extra: Callable[[Session], None]) -> None:
    expect_capture(checkpoint, desk.session)
    if checkpoint.state is State.READY:
        expect_clones(checkpoint, desk.session)
        desk.set_state(checkpoint, State.RESTORING)
    prepare_clones(checkpoint, desk)
    progress = catch_up(checkpoint, desk, begin_replay(checkpoint, desk))
    analyze_clones(checkpoint, desk)
    progress = check_references(checkpoint, desk, progress)
    progress = catch_up(checkpoint, desk, progress)
    swap(checkpoint, desk, progress, extra)
