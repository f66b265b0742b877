"""What the old shape has no place for: recorded row by row, or a reason to change nothing."""

from whimbrel.model.errors import HeldError
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, words_of


def count_conflicts(checkpoint: Checkpoint, desk: Desk) -> int:
    """Return how many the replay has recorded so far."""
    count: int = desk.ledger.rows(words_of(desk.ledger).COUNT_CONFLICTS, checkpoint.id)[0][0]
    return count


def expect_no_conflicts(checkpoint: Checkpoint, desk: Desk) -> None:
    """Hold where there are conflicts and the object's author wants to decide about them.

    Raises:
        HeldError: `onConflict: Hold`; nothing has been changed back.
    """
    if checkpoint.on_conflict != "Hold" or not (count := count_conflicts(checkpoint, desk)):
        return
    raise held_by_conflicts(count)


def held_by_conflicts(count: int) -> HeldError:
    """Return the sentence for `onConflict: Hold`."""
    return HeldError(
        "CheckpointConflicts",
        f"{count} value(s) that the application has written have no place in the tables as they "
        "were; nothing has been changed back: set spec.checkpoint.onConflict to Record to restore "
        "without them, they stay recorded",
    )
