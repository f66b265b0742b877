"""Carries out RunFiles: files, salvage and ledger rows in one transaction."""

from dataclasses import dataclass
from typing import Final

import psycopg

from whimbrel.model.steps import CatalogObject, Direction, FileRun, RunFiles
from whimbrel.planning.dialects.postgresql import READ_SEARCH_PATH, SET_SESSION
from whimbrel.planning.dialects.postgresql_catalog import CURRENT_XID, READ_SETTINGS
from whimbrel.runner.catalog import Identity, read_identities, read_new_identities
from whimbrel.runner.postgresql_session import PostgresSession, postgres
from whimbrel.runner.records import finish_step
from whimbrel.runner.salvage import salvage_objects
from whimbrel.runner.sessions import own
from whimbrel.runner.step_work import Place, StepFailedError, Work, record_file, run_statement
from whimbrel.runner.transactions import End

_TOLD_EVERY: Final = 100  # statements; short files tell each


@dataclass(frozen=True)
class FilesDone:
    """A transaction that is proven to be committed.

    Attributes:
        xid: Its id.
        salvage: Names of the salvage tables that it made.
    """

    xid: str
    salvage: tuple[str, ...] = ()


def run_files(step: RunFiles, work: Work) -> FilesDone:
    """Carry out the step; afterwards everything of it is there, or nothing.

    Raises:
        StepFailedError: It failed; `end` says what the server knows of the transaction.
    """
    place = Place()
    salvaged: list[str] = []
    try:
        with work.ledger.session.transaction():
            _run_all(step, work, place, salvaged)
            place.between("the COMMIT")
    except psycopg.Error as error:
        failure = StepFailedError(step.id, place, error)
        failure.end = work.prove(place.xid) if place.xid else End.ABORTED
        # The answer to COMMIT was lost, but the server carried it out.
        if failure.end is not End.COMMITTED:
            raise failure from error
    return FilesDone(place.xid, tuple(salvaged))


def _run_all(step: RunFiles, work: Work, place: Place, salvaged: list[str]) -> None:
    session = postgres(work.ledger.session)
    work.guard(session)
    place.xid = own(session, CURRENT_XID)[0][0]
    # Before any lock is taken: with many objects this takes a while.
    known = _known(step, work)
    if step.salvage:
        place.between("the copy of what would be lost (salvage)")
        salvaged += salvage_objects(work, step.salvage)
    settings = _settings(session)
    for run in step.files:
        _run_statements(run, work, place)
        place.between(f"the end of {run.file.name}")
        _restore(session, settings)
        new = _added(step, work, place, known)
        record_file(work, step.direction, run.file, new)
    finish_step(work.ledger, work.run, step.id)


def _known(step: RunFiles, work: Work) -> set[Identity]:
    if step.direction is Direction.DOWN:
        return set()
    return set(read_identities(work.ledger.session, work.ledger.schema).values())


def _added(
    step: RunFiles, work: Work, place: Place, known: set[Identity]
) -> frozenset[CatalogObject]:
    """Return what the last file added; `known` grows by it."""
    if step.direction is Direction.DOWN:
        return frozenset()
    ledger = work.ledger
    changed = read_new_identities(ledger.session, ledger.schema, place.xid)
    new = frozenset(each for each, identity in changed.items() if identity not in known)
    known.update(changed.values())
    return new


def _run_statements(run: FileRun, work: Work, place: Place) -> None:
    for number, statement in enumerate(run.statements):
        place.at(statement)
        if number % _TOLD_EVERY == 0 or len(run.statements) < _TOLD_EVERY:
            work.tell(f"{statement.file}, line {statement.line}")
        run_statement(work.ledger.session, statement)


def _settings(session: PostgresSession) -> dict[str, str]:
    # `own` pins the search path, so this one is read without it.
    ((path,),) = session.execute(READ_SEARCH_PATH).fetchall()
    return {**dict(own(session, READ_SETTINGS)), "search_path": path}


def _restore(session: PostgresSession, settings: dict[str, str]) -> None:
    """Undo what a file SET: the next file and our own statements must not depend on it."""
    for name, value in _settings(session).items():
        if settings.get(name, value) != value:
            session.execute(SET_SESSION, [name, settings[name]])
