"""Carries out RunPieces: a file statement by statement, each recorded before and after."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import pymysql

from whimbrel.model.errors import FailedError, HeldError
from whimbrel.model.steps import CatalogObject, Commits, Direction, Piece, RunPieces
from whimbrel.planning.dialects.mariadb import read_setting, set_setting
from whimbrel.planning.dialects.mariadb_catalog import ENGINES
from whimbrel.runner.catalog import fingerprint, read_catalog
from whimbrel.runner.kept_table import begin
from whimbrel.runner.mariadb_journal import (
    BROKEN,
    UNDO,
    Entry,
    Journal,
    names_something,
    shape_of,
)
from whimbrel.runner.records import finish_step
from whimbrel.runner.salvage import salvage_objects
from whimbrel.runner.server_errors import read_error
from whimbrel.runner.session import Session, Value
from whimbrel.runner.sessions import own
from whimbrel.runner.step_work import Place, StepFailedError, Work, record_file, run_statement
from whimbrel.runner.transactions import End

_TOLD_EVERY: Final = 100  # statements; short files tell each
_CHECKED_LENGTH: Final = 65_536  # characters of a statement that the server's parser is asked for
_SYNTAX_ERROR: Final = "1064"

Numbered = tuple[int, Piece]
Key = tuple[str, str, str]  # kind, name, part


@dataclass(frozen=True)
class PiecesDone:
    """A file that is done and recorded; `salvage` names the tables that its way back made."""

    salvage: tuple[str, ...] = ()


def journal_of(step: RunPieces, work: Work, direction: str = "") -> Journal:
    """Return the journal of a step's file."""
    return Journal(
        work.ledger, work.history, work.run, step.file, direction or step.direction.value
    )


def run_pieces(step: RunPieces, work: Work) -> PiecesDone:
    """Carry out the step, or go on where an earlier try of it stopped.

    Raises:
        FailedError: An earlier attempt failed at it and began to take it back.
        StepFailedError: A statement failed; `end` is ABORTED where nothing of that statement
            stayed. What was done before it stays, and the journal knows.
        HeldError: What an earlier try left cannot be told, or does not fit this file.
    """
    place, journal = Place(), journal_of(step, work)
    place.between(f"the start of {step.file.name}")
    salvaged: tuple[str, ...] = ()
    try:
        _refuse_way_back_begun(step, work)
        done = settled(step.pieces, journal, step.repeatable)
        if not journal.entries():
            _begin(step, work, journal, place)
        elif step.direction is Direction.UP:
            _write_begun(step, work)
        if step.salvage and not done:
            place.between("the copy of what would be lost (salvage)")
            salvaged = salvage_objects(work, step.salvage)
        with settings_restored(work.ledger.session, step.pieces):
            run_from(done, list(enumerate(step.pieces, start=1)), work, journal, place)
        place.between(f"the ledger's row of {step.file.name}")
        _record(step, work, journal)
    except pymysql.MySQLError as error:
        raise step_failure(step, place, error) from error
    return PiecesDone(salvaged)


def _refuse_way_back_begun(step: RunPieces, work: Work) -> None:
    """Go no further up where an earlier attempt began to take this file back."""
    begun = journal_of(step, work, UNDO).entries()[:1]
    if begun and step.direction is Direction.UP:
        raise FailedError("StatementFailed", begun[0].note)


def _begin(step: RunPieces, work: Work, journal: Journal, place: Place) -> None:
    """Ask the server's parser for every statement, then record what there is before the file."""
    session = work.ledger.session
    if not any("sql_mode" in piece.sets for piece in step.pieces):
        for piece in step.pieces:
            place.at(piece.statement)
            _refuse_bad_syntax(session, piece)
    place.between(f"the start of {step.file.name}")
    shape = fingerprint(session, work.ledger.schema)
    known = read_catalog(session, work.ledger.schema)
    with session.transaction():
        work.guard(session)
        journal.open(shape, known)
        if step.direction is Direction.UP and work.kept is not None:
            begin(work.kept, session, step.file, work.unfinished_of(step.file))


def _write_begun(step: RunPieces, work: Work) -> None:
    """Write the row of a file that goes on, where somebody has resolved it meanwhile."""
    session, kept = work.ledger.session, work.kept
    if kept is not None:
        with session.transaction():
            work.guard(session)
            kept.run(session, kept.table.begin, step.file.version, step.file.checksum)


def _refuse_bad_syntax(session: Session, piece: Piece) -> None:
    """Raise what the server says of a statement's grammar; whatever else it says comes later."""
    if len(piece.statement.text) > _CHECKED_LENGTH:
        return
    try:
        own(session, "PREPARE whimbrel_check FROM $1", piece.statement.text)
    except pymysql.MySQLError as error:
        if read_error(error).code in ("", _SYNTAX_ERROR):
            raise
    else:
        own(session, "DEALLOCATE PREPARE whimbrel_check")


def settled(pieces: Sequence[Piece], journal: Journal, repeatable: bool) -> int:
    """Return how many statements are done, after finding out about the one that was in flight.

    Raises:
        HeldError: It cannot be told, or another text ran.
    """
    entries = [each for each in journal.entries() if each.ordinal]
    if not entries:
        return 0
    traces = traces_of(journal)
    if traces.is_undone():
        journal.clear()
        return 0
    _refuse_undone_in_part(traces, journal)
    for entry in entries:
        if entry.ordinal > len(pieces) or pieces[entry.ordinal - 1].digest() != entry.digest:
            raise _held(journal, entry, "ran with another text than it has now")
    for entry in entries:
        if not entry.is_done:
            _settle(pieces[entry.ordinal - 1], entry, journal, repeatable)
    return max((each.ordinal for each in journal.entries()), default=0)


def _settle(piece: Piece, entry: Entry, journal: Journal, repeatable: bool) -> None:
    """Find out whether the statement in flight took effect."""
    if piece.repeats or (repeatable and entry.shape != BROKEN):
        journal.forget(entry.ordinal)
        return
    if entry.shape == BROKEN:
        raise _held(journal, entry, "failed and left a part of its work")
    if piece.writes or not names_something(piece):
        raise _held(journal, entry, "was interrupted, and whether it took effect cannot be told")
    if shape_of(journal.ledger.session, piece) == entry.shape:
        journal.forget(entry.ordinal)
        return
    journal.finish(entry.ordinal)


@dataclass(frozen=True)
class Traces:
    """What the catalogue tells of the done part of a file; of changed rows and types nothing.

    Attributes:
        stays: What it made and is there, and what it took away and is not.
        undone: The others.
        surely: Those of them that are no other spelling of the text.
    """

    stays: frozenset[Key]
    undone: frozenset[Key]
    surely: frozenset[Key]

    def is_undone(self) -> bool:
        """Tell whether a person removed all that it made, and put back all that it took away."""
        return bool(self.undone) and not self.stays


def traces_of(journal: Journal) -> Traces:
    """Return what is to be seen of a file's done part: what was not there before, or was."""
    ledger, session = journal.ledger, journal.ledger.session
    there, home = _keys(read_catalog(session, ledger.schema)), session.home()
    first, *entries = journal.entries()
    before, made, gone = _keys(first.known), set[Key](), set[Key]()
    for entry in entries:
        takes, makes = _keys(entry.gone, home), _keys(entry.known, home)
        if entry.is_done:
            made = (made - takes) | (makes - before)
            gone = (gone | (takes & before)) - makes
        else:  # whether it took effect is another question
            made, gone = made - takes - makes, gone - takes - makes
    lost = {each for each in made - there if each[0] == "table" or _holds(there, each)}
    stays = (made & there) | (gone - there)
    undone = (made - there) | (gone & there)
    return Traces(frozenset(stays), frozenset(undone), frozenset(lost | (gone & there)))


def _holds(there: set[Key], key: Key) -> bool:
    """Tell whether there is the table of a column."""
    return key[0] == "column" and ("table", key[1], "") in there


def _keys(items: Iterable[CatalogObject], home: str | None = None) -> set[Key]:
    return {key_of(each) for each in items if home is None or each.schema in {"", home}}


def key_of(item: CatalogObject) -> Key:
    """Return what tells two things apart; names of columns know no case.

    Who drops a trigger does not name its table.
    """
    name = "" if item.kind == "trigger" else item.name.lower()
    return item.kind, name, item.part.lower()


def _refuse_undone_in_part(traces: Traces, journal: Journal) -> None:
    if traces.surely and traces.stays:
        undone, stays = (_shown(min(each)) for each in (traces.surely, traces.stays))
        raise HeldError(
            "HalfDone",
            f"of what was done of {journal.file.name}, {undone} was undone by hand, and {stays} "
            "was not; undo all of it, then retry, and it begins anew; or do again what was undone, "
            "then retry, and it goes on behind it",
        )


def _shown(key: Key) -> str:
    return f"{key[0]} {'.'.join(filter(None, key[1:]))}"


def anew(traces: Traces, journal: Journal) -> str:
    """Return how a file begins anew once its done part is undone, which may leave no trace."""
    file = journal.file.name
    if traces.stays or traces.undone or journal.direction != Direction.UP.value:
        return f"undo by hand what there is of {file}, then retry, and it begins anew"
    return (
        f"undo by hand what there is of {file}, take that file out and retry, which forgets what "
        "was done of it; then put it in again, and it begins anew"
    )


def _held(journal: Journal, entry: Entry, what: str) -> HeldError:
    done = [each for each in journal.entries() if each.ordinal and each.is_done]
    before = f"; before it {len(done)} statements of the file were done" if done else ""
    told = anew(traces_of(journal), journal)
    return HeldError(
        "HalfDone", f"{entry.file}, line {entry.line} {what}{before}; look at the database: {told}"
    )


def run_from(
    done: int, numbered: Sequence[Numbered], work: Work, journal: Journal, place: Place
) -> None:
    """Run what comes after `done`, and whatever only sets up the session."""
    for commits, group in groupby(numbered, key=lambda each: each[1].commits):
        run = list(group)
        if commits is Commits.SESSION:
            _run_session(run, work, place)
            continue
        left = [each for each in run if each[0] > done]
        if commits is Commits.ROWS and left and _is_transactional(work.ledger.session, left):
            _run_rows(left, work, journal, place)
            continue
        for each in left:
            _run_alone(each, work, journal, place)


def _run_session(run: Sequence[Numbered], work: Work, place: Place) -> None:
    for _, piece in run:
        place.at(piece.statement)
        run_statement(work.ledger.session, piece.statement)


def _is_transactional(session: Session, run: Sequence[Numbered]) -> bool:
    """Tell whether a roll-back reaches all rows that are written."""
    tables = sorted({name for _, piece in run if piece.writes for name in piece.tables})
    return not tables or not own(session, ENGINES, tables)


def _run_rows(run: Sequence[Numbered], work: Work, journal: Journal, place: Place) -> None:
    """Run statements and record them as done in one transaction."""
    session = work.ledger.session
    with session.transaction():
        work.guard(session)
        for ordinal, piece in run:
            _tell(ordinal, piece, work, place)
            run_statement(session, piece.statement)
            journal.start(ordinal, piece)
            journal.finish(ordinal)
        place.between("the COMMIT")


def _run_alone(one: Numbered, work: Work, journal: Journal, place: Place) -> None:
    """Run a statement that commits by itself; the session that runs it holds the lock."""
    ordinal, piece = one
    session = work.ledger.session
    shape = shape_of(session, piece)
    with session.transaction():
        work.guard(session)
        journal.start(ordinal, piece, shape)
    _tell(ordinal, piece, work, place)
    try:
        run_statement(session, piece.statement)
    except pymysql.MySQLError as error:
        if read_error(error).code:
            if _left_something(piece, shape, session):
                journal.start(ordinal, piece, BROKEN)
            else:
                journal.forget(ordinal)
        raise
    journal.finish(ordinal)


def _left_something(piece: Piece, shape: str, session: Session) -> bool:
    """Tell whether a statement that failed may have done a part: DROP TABLE of several does."""
    if piece.repeats:
        return False
    hides = piece.writes and not piece.tables  # CALL, EXECUTE
    return hides or piece.commits is Commits.ROWS or shape_of(session, piece) != shape


def _tell(ordinal: int, piece: Piece, work: Work, place: Place) -> None:
    place.at(piece.statement)
    if ordinal % _TOLD_EVERY == 1 or ordinal < _TOLD_EVERY:
        work.tell(f"{piece.statement.file}, line {piece.statement.line}")


def _record(step: RunPieces, work: Work, journal: Journal) -> None:
    added = _added(step, work, journal) if step.direction is Direction.UP else frozenset()
    with work.ledger.session.transaction():
        work.guard(work.ledger.session)
        record_file(work, step.direction, step.file, added)
        finish_step(work.ledger, work.run, step.id)
        journal.clear()


def _added(step: RunPieces, work: Work, journal: Journal) -> frozenset[CatalogObject]:
    """Return what is new; what was renamed is older than this file under another name."""
    before = {key_of(each) for entry in journal.entries()[:1] for each in entry.known}
    moved = {key_of(each) for piece in step.pieces if piece.takes for each in piece.makes}
    now = read_catalog(work.ledger.session, work.ledger.schema)
    return frozenset(each for each in now if key_of(each) not in before | moved)


@contextmanager
def settings_restored(session: Session, pieces: Sequence[Piece]) -> Iterator[None]:
    """Put back what a file SET: the next file and our own statements must not depend on it."""
    before: dict[str, Value] = {}
    for name in sorted({name for piece in pieces for name in piece.sets}):
        with suppress(pymysql.MySQLError):  # there is no such setting; the SET will say so
            before[name] = own(session, read_setting(name))[0][0]
    try:
        yield
    finally:
        if not session.closed:
            for name, value in before.items():
                with suppress(pymysql.MySQLError):
                    own(session, set_setting(name), value)


def step_failure(step: RunPieces, place: Place, error: pymysql.MySQLError) -> StepFailedError:
    """Return the failure of a step for what the server said."""
    failure = StepFailedError(step.id, place, error)
    failure.unit = "statement"
    failure.end = End.ABORTED if failure.said.code else End.UNKNOWN
    return failure
