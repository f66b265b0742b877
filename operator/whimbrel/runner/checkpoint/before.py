"""What was so before the run that a checkpoint was opened for, and what that run has changed."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from whimbrel.model.checkpoint import OnLaterRun
from whimbrel.planning.dialects import postgresql_covering as words
from whimbrel.planning.shape import Parts, Shape, named, not_as_before, touched
from whimbrel.runner.catalog import read_shape
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note, read_note, write_note
from whimbrel.runner.sessions import own


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


def note_changes(ledger: Ledger, checkpoint: Checkpoint) -> str:
    """Keep what the run has changed by now; return what of it the checkpoint does not cover."""
    before = read_before(ledger, checkpoint.id)
    if before is None:
        return ""
    if before.changed is None:
        now = read_shape(ledger.session, ledger.schema)
        known = now.version == before.shape.version and before.shape.parts and now.parts
        changed = touched(before.shape.parts, now.parts) if known else {}
        before = replace(before, changed=changed)
        write_before(ledger, checkpoint.id, before)
    return uncovered(ledger, checkpoint, before)


def uncovered(ledger: Ledger, checkpoint: Checkpoint, before: Before) -> str:
    """Return what the run changed, did not add, and no restore brings back; named.

    What somebody has put back since by hand is as before.
    """
    ours = _labels(ledger, checkpoint)
    others = {
        name: kinds
        for name, kinds in (before.changed or {}).items()
        if kinds and name not in ours and not _hangs_on(kinds)
    }
    now = read_shape(ledger.session, ledger.schema).parts if others else {}
    return named(not_as_before([others], now), now)


def _hangs_on(kinds: Iterable[str]) -> bool:
    """Tell whether a line speaks of a part of a relation by a description of its own."""
    return set(kinds) <= {"comment", "other"}


def _labels(ledger: Ledger, checkpoint: Checkpoint) -> set[str]:
    """Return the relations that a restore brings back, under their names of then and of now."""
    oids = [each.oid for each in checkpoint.tables]
    found = own(ledger.session, words.READ_NAMES, oids)
    return {f"{schema}.{name}" for schema, name in found} | restored_names(checkpoint)


def restored_names(checkpoint: Checkpoint) -> set[str]:
    """Return the relations that a restore brings back, under their names of then."""
    labels: set[str] = set()
    for each in checkpoint.tables:
        labels.add(str(each))
        for view in each.manifest["views"]:
            labels.add(f"{view['table']['schema']}.{view['table']['name']}")
        labels |= {f"{item['schema']}.{item['name']}" for item in each.manifest["sequences"]}
    return labels


def left_over(ledger: Ledger, before: Before) -> str:
    """Return what the run changed and is not as before it, after a restore; named."""
    if not before.shape.parts or before.changed is None:
        return ""
    now = read_shape(ledger.session, ledger.schema)
    if now.version != before.shape.version:
        return ""
    return named(not_as_before([before.changed], now.parts), now.parts)
