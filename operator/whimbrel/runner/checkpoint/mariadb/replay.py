"""Carries out on the copies what applications wrote, round by round."""

from typing import Final

from whimbrel.model.errors import HeldError, TransientError
from whimbrel.planning.dialects import mariadb_checkpoint_replay as words
from whimbrel.planning.dialects.fates import Fate
from whimbrel.planning.dialects.mariadb_checkpoint import COLUMN_DEFAULTS
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered
from whimbrel.runner.checkpoint.mariadb.hand import first
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.mariadb.tables import subject_of
from whimbrel.runner.server_errors import SERVER_ERRORS, read_error
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own, sorted_error

_MOST: Final = 5_000  # writes in one transaction
FEW: Final = 200  # writes that may wait for the exchange


def catch_up(checkpoint: Checkpoint, desk: Desk, session: Session, *, until: int) -> None:
    """Replay until no more than so many writes wait, in all journals together.

    Raises:
        HeldError: It cannot be replayed; nothing has changed.
        TransientError: We are told to stop, or the connection broke.
    """
    while (left := _waiting(checkpoint, session)) > until:
        if desk.stopping.is_set():
            raise TransientError("Stopped", "the restore stops between two rounds of its replay")
        desk.tell(f"{left} writes of the application to replay")
        for covered in checkpoint.tables:
            with desk.session.transaction():
                desk.guard(desk.session)
                _round(checkpoint, covered, session)


def _waiting(checkpoint: Checkpoint, session: Session) -> int:
    names = names_of(checkpoint.schema, checkpoint.id)
    questions = (words.waiting(names.journal(each.number)) for each in checkpoint.tables)
    return sum(int(str(first(session, each)[0])) for each in questions)


def _round(checkpoint: Checkpoint, covered: Covered, session: Session) -> None:
    text = words.replay(subject_of(checkpoint, covered), _MOST)
    try:
        with session.transaction():
            session.run(text)
    except SERVER_ERRORS as error:
        said = read_error(error)
        if said.fate is not Fate.PERMANENT:
            raise sorted_error(error, f"replaying writes to {covered}") from error
        if said.code == words.MOVED:
            raise HeldError(
                "RestoreImpossible",
                f"the application has given a row of {covered} the key of another one, which the "
                "migration had taken away: the table as it was has both; nothing has been changed "
                "back and the application goes on with the migrated tables",
            ) from error
        raise HeldError(
            "RestoreBlocked",
            f"what was written to {covered} cannot be replayed: {said.message} ({said.shown}); "
            "nothing has been changed back and the application goes on with the migrated tables: "
            "mend that, then retry",
        ) from error


def unmapped(checkpoint: Checkpoint, covered: Covered, table: str, session: Session) -> list[str]:
    """Return a query for each column that only the new shape of a table has."""
    subject = subject_of(checkpoint, covered)
    now = {str(row[0]): bool(row[1]) for row in own(session, COLUMN_DEFAULTS, table)}
    known = {each.name for each in subject.columns}
    if not now.keys() >= set(covered.key):
        return []  # nothing was written since the key has another name: it would be a gap
    new = [(name, has) for name, has in now.items() if name not in known]
    return [words.unmapped(subject, table, name, has_default=has) for name, has in new]


def count_unmapped(checkpoint: Checkpoint, live: dict[int, str | None], session: Session) -> int:
    """Return how many values no column of before can take, besides those that are recorded."""
    found = 0
    for covered in checkpoint.tables:
        if (table := live[covered.number]) is not None:
            for query in unmapped(checkpoint, covered, table, session):
                found += int(str(first(session, words.count(query))[0]))
    return found


def record_unmapped(checkpoint: Checkpoint, session: Session) -> None:
    """Record them, out of the failed tables that nobody writes to any more; again is safe."""
    with session.transaction():
        forget = session.dialect.ledger.in_schema(words.FORGET_UNMAPPED, checkpoint.schema)
        own(session, forget, checkpoint.id)
        names = names_of(checkpoint.schema, checkpoint.id)
        for covered in checkpoint.tables:
            for query in unmapped(checkpoint, covered, names.kept(covered.number), session):
                session.run(words.record(checkpoint.schema, query))
