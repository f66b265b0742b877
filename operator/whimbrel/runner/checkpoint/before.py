"""What was so before the run that a checkpoint was opened for, and what that run has changed."""

from dataclasses import dataclass

from whimbrel.model.checkpoint import OnLaterRun
from whimbrel.planning.shape import Parts, Shape, named, not_as_before
from whimbrel.runner.catalog import read_shape
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note, read_note, write_note


@dataclass(frozen=True)
class Before:
    """Kept in the ledger beside a checkpoint.

    Attributes:
        owner: Namespace/name of the object whose run opened it.
        later: What happens to it when a later run comes.
        revision: Last applied revision then, "" for none.
        shape: The catalogue then.
        changed: What the relations that the run changed were like then; None while it runs.
        moved: Kind, name and argument types of what a restore took to the ledger's schema.
    """

    owner: str
    later: OnLaterRun
    revision: str
    shape: Shape
    changed: Parts | None = None
    moved: tuple[tuple[str, str, str], ...] = ()


def write_before(ledger: Ledger, checkpoint: str, before: Before) -> None:
    """Keep it, instead of an earlier one."""
    shape = [before.shape.version, before.shape.whole, before.shape.parts]
    note = [before.owner, before.later.value, before.revision, shape]
    write_note(ledger, Kind.CHECKPOINT, checkpoint, [*note, before.changed, before.moved])


def read_before(ledger: Ledger, checkpoint: str) -> Before | None:
    """Return it, or None where nobody has kept it."""
    note = read_note(ledger, Kind.CHECKPOINT, checkpoint)
    if note is None:
        return None
    owner, later, revision, shape, changed, moved = note
    kept = tuple((kind, name, part) for kind, name, part in moved)
    return Before(owner, OnLaterRun(later), revision, Shape(*shape), changed, kept)


def forget_before(ledger: Ledger, checkpoint: str) -> None:
    """Let it go."""
    forget_note(ledger, Kind.CHECKPOINT, checkpoint)


def left_over(ledger: Ledger, before: Before) -> str:
    """Return what the run changed and is not as before it, after a restore; named."""
    if not before.shape.parts or before.changed is None:
        return ""
    now = read_shape(ledger.session, ledger.schema)
    if now.version != before.shape.version:
        return ""
    return named(not_as_before([before.changed], now.parts), now.parts)
