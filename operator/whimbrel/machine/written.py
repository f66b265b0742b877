"""Whether a run may have changed the database, and which unfinished one has."""

from typing import Final

from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome
from whimbrel.model.status import RunState, RunStatus

EARLY: Final = frozenset({Segment.LOOK, Segment.APPROVE, Segment.BASELINE})


def has_written(run: RunStatus) -> bool:
    """Tell whether a run, or an unfinished one before it, may have changed the database."""
    return run.segment not in EARLY or bool(run.unfinished)


def unfinished(before: RunStatus | None) -> str:
    """Return the run that a new one finds in the database, not at its end, or ""."""
    if before is None or before.segment in EARLY:
        return before.unfinished if before else ""
    held = before.last is not None and before.last.outcome == Outcome.HELD
    return before.id if held or before.state is RunState.OPEN else ""
