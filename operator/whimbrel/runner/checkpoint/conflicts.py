"""What the old shape has no place for: recorded row by row, or a reason to change nothing."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from whimbrel.model.errors import HeldError
from whimbrel.planning.dialects import postgresql_manifest as words
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, has_checkpoints, words_of
from whimbrel.runner.ledger import Ledger


class ConflictsError(HeldError):
    """A person decides about the conflicts of a round, which is undone.

    Attributes:
        shown: The first of them, to keep them for him (`SHOW_CONFLICTS`).
    """

    def __init__(self, count: int, shown: str) -> None:
        held = held_by_conflicts(count, "name renamed columns in spec.checkpoint.mappings, or ")
        super().__init__(held.reason, held.message)
        self.shown = shown


def count_conflicts(checkpoint: Checkpoint, desk: Desk) -> int:
    """Return how many the replay has recorded so far."""
    count: int = desk.ledger.rows(words_of(desk.ledger).COUNT_CONFLICTS, checkpoint.id)[0][0]
    return count


def old_conflicts(ledger: Ledger) -> dict[str, int]:
    """Return how many there are of each checkpoint whose time is over, by its id."""
    if not has_checkpoints(ledger):
        return {}
    return dict(ledger.rows(words_of(ledger).READ_OLD_CONFLICTS))


def forget_conflicts(ledger: Ledger, checkpoints: Iterable[str]) -> None:
    """Forget what was written: values of the application, which nobody needs any more."""
    with ledger.session.transaction():
        for each in checkpoints:
            ledger.rows(words_of(ledger).FORGET_CONFLICTS, each)


@contextmanager
def shown_if_held(checkpoint: Checkpoint, desk: Desk) -> Iterator[None]:
    """Keep the conflicts that a restore is held for until it is tried again, and nothing else.

    What the application wrote is then replayed with the mappings of then.
    """
    with desk.session.transaction():
        desk.guard(desk.session)
        desk.ledger.rows(words.FORGET_SHOWN, checkpoint.id)
    try:
        yield
    except ConflictsError as held:
        with desk.session.transaction():
            desk.guard(desk.session)
            desk.ledger.rows(words.KEEP_SHOWN, held.shown)
        raise


def expect_no_conflicts(checkpoint: Checkpoint, desk: Desk) -> None:
    """Hold where there are conflicts and the object's author wants to decide about them.

    Called in the transaction of a round, so that it is undone.

    Raises:
        ConflictsError: `onConflict: Hold`; nothing has been changed back.
    """
    if checkpoint.on_conflict != "Hold":
        return
    ((count, shown),) = desk.ledger.rows(words.SHOW_CONFLICTS, checkpoint.id)
    if count:
        raise ConflictsError(count, shown)


def held_by_conflicts(count: int, or_else: str = "") -> HeldError:
    """Return the sentence for `onConflict: Hold`."""
    return HeldError(
        "CheckpointConflicts",
        f"{count} value(s) that the application has written have no place in the tables as they "
        f"were; nothing has been changed back: {or_else}set spec.checkpoint.onConflict to Record "
        "to restore without them, they stay recorded",
    )
