"""Numbers of AUTO_INCREMENT on MariaDB: a restore lets them go on, and gives none twice."""

from dataclasses import dataclass

from whimbrel.planning.dialects import mariadb_checkpoint as words, mariadb_checkpoint_replay
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered
from whimbrel.runner.checkpoint.mariadb.hand import first
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.mariadb.tables import subject_of
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own


@dataclass(frozen=True)
class Counters:
    """The next numbers of a live table and of its journal, in the moment we had it alone.

    While the rename has the table, its number cannot be asked for; the journal's can, and each row
    that was tried since has taken one of these, also where it was rolled back.
    """

    live: int
    journal: int


def read_counters(
    checkpoint: Checkpoint, live: dict[int, str | None], session: Session
) -> dict[int, Counters]:
    """Return the counters of each covered table by its number."""
    names, found = names_of(checkpoint.schema, checkpoint.id), {}
    for covered in checkpoint.tables:
        table, journal = live[covered.number], names.journal(covered.number)
        number = _counter(table, session) if table else 0
        found[covered.number] = Counters(number, _counter(journal, session))
    return found


def count_on(checkpoint: Checkpoint, covered: Covered, was: Counters, session: Session) -> None:
    """Let the numbers of a copy go on behind all that were given."""
    subject = subject_of(checkpoint, covered)
    for place, column in enumerate(subject.columns, start=1):
        if not column.is_counted:
            continue
        furthest = first(session, mariadb_checkpoint_replay.furthest(subject.journal, place))[0]
        slipped = _counter(subject.journal, session) - was.journal
        values = [int(covered.manifest["counter"]), int(str(furthest)) + 1, was.live + slipped]
        session.run(words.count_on(subject.clone, max(*values, _counter(subject.clone, session))))


def _counter(table: str, session: Session) -> int:
    rows = own(session, words.AUTO_INCREMENT, table)
    return int(rows[0][0]) if rows else 0
