"""What the run that a checkpoint was opened for has changed, and what of it is not covered."""

from collections.abc import Iterable
from dataclasses import replace

from whimbrel.planning.shape import named, not_as_before, touched
from whimbrel.runner.catalog import read_shape
from whimbrel.runner.checkpoint.before import Before, read_before, write_before
from whimbrel.runner.checkpoint.engine import engine_of
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.ledger import Ledger


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
    ours = engine_of(ledger.session).labels(ledger.session, checkpoint)
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
