"""Gives the clones all that takes time, while the application goes on with the failed tables."""

from typing import Final

from whimbrel.model.errors import HeldError, TransientError
from whimbrel.planning.checkpoint.clone import missing
from whimbrel.planning.checkpoint.facts import Facts
from whimbrel.planning.dialects.fates import Fate
from whimbrel.planning.dialects.postgresql_dependents import (
    ANALYZE,
    FIND_BY_OID,
    FIND_FREE_SEQUENCE,
    fill,
)
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered
from whimbrel.runner.checkpoint.transplant import describe_again
from whimbrel.runner.server_errors import SERVER_ERRORS, read_error
from whimbrel.runner.session import Row, Session
from whimbrel.runner.sessions import own, sorted_error

_MOST_PASSES: Final = 3  # what one pass makes, the next may name


def prepare_clones(checkpoint: Checkpoint, desk: Desk) -> None:
    """Build columns' settings, constraints and indexes of all clones.

    What an interrupted one has left is looked at, and only the rest is done.

    Raises:
        HeldError: A clone cannot be made what the table was; nothing has changed.
        TransientError: Try again later, or we are told to stop.
    """
    for covered in checkpoint.tables:
        for _ in range(_MOST_PASSES):
            if not _pass(covered, desk):
                break


def _pass(covered: Covered, desk: Desk) -> int:
    clone = describe_again(desk.session, desk.ledger.schema, covered.clone)
    statements = missing(covered.manifest, clone, lost_sequences(covered, desk.session))
    for number, statement in enumerate(statements, 1):
        if desk.stopping.is_set():
            raise TransientError("Stopped", "the restore stops while it prepares the old tables")
        _run(covered, desk, statement)
        desk.tell(f"prepared {number} of {len(statements)} things of {covered}")
    return len(statements)


def analyze_clones(checkpoint: Checkpoint, desk: Desk) -> None:
    """Give the clones statistics: the application's queries are planned by them from the exchange.

    Called when most of what it wrote is in them.
    """
    for covered in checkpoint.tables:
        _run(covered, desk, fill(ANALYZE, table=(desk.ledger.schema, covered.clone)))


def lost_sequences(covered: Covered, session: Session) -> frozenset[int]:
    """Return the oids of sequences of a table's columns that are there no more."""
    sequences = covered.manifest["sequences"]
    return frozenset(each["oid"] for each in sequences if not find_sequence(each, session))


def find_sequence(each: Facts, session: Session) -> list[Row]:
    """Return schema and name of a sequence, or of one that somebody made again in its place."""
    found = own(session, FIND_BY_OID, each["oid"])
    if found or each["identity"]:
        return found
    return own(session, FIND_FREE_SEQUENCE, each["schema"], each["name"])


def _run(covered: Covered, desk: Desk, statement: str) -> None:
    try:
        with desk.session.transaction():
            desk.guard(desk.session)
            own(desk.session, statement)
    except SERVER_ERRORS as error:
        said = read_error(error)
        if said.fate is not Fate.PERMANENT:
            raise sorted_error(error, f"{covered} is being prepared for its restore") from error
        raise HeldError(
            "RestoreBlocked",
            f"{covered} cannot be made what it was: {said.message} ({said.shown}), at: "
            f"{' '.join(statement.split()[:6])} ...; nothing has been changed back and the "
            "application goes on with the migrated tables: mend that, then retry",
        ) from error
