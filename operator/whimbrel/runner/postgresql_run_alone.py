"""Carries out RunAlone: one statement outside a transaction whose effect can be looked up."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg

from whimbrel.model.steps import CatalogObject, RunAlone
from whimbrel.planning.dialects.postgresql import SET_SESSION
from whimbrel.planning.dialects.postgresql_catalog import CURRENT_XID, READ_LOCK_TIMEOUT
from whimbrel.runner.catalog import Identity, added, read_identities
from whimbrel.runner.effects import (
    Look,
    Seen,
    cleared,
    effect_words,
    look,
    may_repeat,
    waits_without_blocking,
)
from whimbrel.runner.notes import Kind, forget_note, write_note
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.records import finish_step, forget_step, start_step, steps_started
from whimbrel.runner.sessions import own
from whimbrel.runner.step_work import Place, StepFailedError, Work, record_file, run_statement
from whimbrel.runner.transactions import End


@dataclass(frozen=True)
class AloneDone:
    """The effect was read back.

    Attributes:
        ran: False when an earlier attempt had already had the effect.
    """

    ran: bool


def run_alone(step: RunAlone, work: Work) -> AloneDone:
    """Carry out the step: look, run, look again, record.

    An index that an earlier attempt of ours left invalid is dropped and built again; a detach
    that was interrupted is finalized.

    Raises:
        StepFailedError: `end` is ABORTED when the catalogue shows nothing of the statement, else
            RUNNING (half done, the next attempt clears it) or UNKNOWN (connection lost).
    """
    place = Place()
    place.between(f"the start of {step.statement.file}")
    try:
        return _run(step, work, place)
    except psycopg.Error as error:
        failure = StepFailedError(step.id, place, error)
        failure.end = _state_after(step, work)
        raise failure from error


def _run(step: RunAlone, work: Work, place: Place) -> AloneDone:
    session = postgres(work.ledger.session)
    # The ledger, not only the facts: an earlier try of this attempt may have begun it too.
    ours = step.id in work.started | steps_started(work.ledger)
    before = look(session, step.effect)
    objects = _identities(work)
    if ours and before.seen is Seen.HALF_DONE:
        with work.held_back():
            before = _mend(step, work)
    if ours and before.seen is Seen.DONE:
        _record(step, work, objects, place)
        return AloneDone(ran=False)
    # What is there already is not ours: it is not recorded as begun, so that nobody drops it
    # later, and the server says what it thinks of the statement.
    if before.seen is Seen.NOT_DONE:
        _record_start(step, work)
    place.at(step.statement)
    _send(step, work, cleans=before.seen is Seen.NOT_DONE)
    place.between(f"the look after {step.statement.file}")
    _verify(step, work, place)
    _record(step, work, objects, place)
    return AloneDone(ran=True)


def _send(step: RunAlone, work: Work, *, cleans: bool) -> None:
    session = postgres(work.ledger.session)
    work.tell(f"{step.statement.file}, line {step.statement.line}, outside a transaction")
    try:
        with _patience(step, work):
            run_statement(session, step.statement)
    except psycopg.Error:
        if session.closed or not cleans:
            raise
        with work.held_back():
            after = look(session, step.effect)
            if after.seen is Seen.HALF_DONE:
                after = _mend(step, work)
            # A cancel that came too late changes nothing: the effect is there.
            if after.seen is Seen.DONE:
                return
            _forget(step, work, after)
        raise


def _forget(step: RunAlone, work: Work, after: Look) -> None:
    """Let nobody take for ours what somebody else makes under this name from now on."""
    if after.seen is Seen.HALF_DONE or may_repeat(step.effect):
        return
    with suppress(psycopg.Error), work.ledger.session.transaction():
        work.guard(work.ledger.session)
        forget_step(work.ledger, step.id)
        forget_note(work.ledger, Kind.ALONE, step.id)


def _mend(step: RunAlone, work: Work) -> Look:
    """Clear what is half done; a stop waits for it for a while."""
    work.tell(f"{step.statement.file}: clearing what was interrupted")
    with _patience(step, work):
        return cleared(postgres(work.ledger.session), step.effect)


def _verify(step: RunAlone, work: Work, place: Place) -> None:
    after = look(postgres(work.ledger.session), step.effect)
    if after.seen is Seen.DONE or may_repeat(step.effect):
        return
    place.at(step.statement)
    failure = StepFailedError(step.id, place)
    failure.server = (
        f"the statement ended without an error, but the catalogue shows it as {after.seen}; "
        "an invalid index that somebody else left has to be dropped first"
    )
    failure.end = End.ABORTED if after.seen is Seen.NOT_DONE else End.RUNNING
    raise failure


def _record_start(step: RunAlone, work: Work) -> None:
    with work.ledger.session.transaction():
        work.guard(work.ledger.session)
        start_step(work.ledger, work.run, step.id)
        write_note(work.ledger, Kind.ALONE, step.id, effect_words(step.effect))


def _record(
    step: RunAlone, work: Work, before: dict[CatalogObject, Identity], place: Place
) -> None:
    place.between(f"the ledger's row of {step.file.name}")
    made = added(before, _identities(work))
    try:
        with work.ledger.session.transaction():
            work.guard(work.ledger.session)
            place.xid = own(work.ledger.session, CURRENT_XID)[0][0]
            record_file(work, step.direction, step.file, made)
            finish_step(work.ledger, work.run, step.id)
            forget_note(work.ledger, Kind.ALONE, step.id)
    except psycopg.Error:
        # The answer to COMMIT was lost, but the server carried it out.
        if not place.xid or work.prove(place.xid) is not End.COMMITTED:
            raise


def _state_after(step: RunAlone, work: Work) -> End:
    session = postgres(work.ledger.session)
    if session.closed or may_repeat(step.effect):
        return End.UNKNOWN
    try:
        half_done = look(session, step.effect).seen is Seen.HALF_DONE
    except psycopg.Error:
        return End.UNKNOWN
    return End.RUNNING if half_done else End.ABORTED


@contextmanager
def _patience(step: RunAlone, work: Work) -> Iterator[None]:
    """Let a statement wait for old transactions as long as they last, if that blocks nobody."""
    if not waits_without_blocking(step.effect):
        yield
        return
    session = postgres(work.ledger.session)
    before = own(session, READ_LOCK_TIMEOUT)[0][0]
    session.execute(SET_SESSION, ["lock_timeout", "0"])
    try:
        with work.patiently():
            yield
    finally:
        if not session.closed:
            session.execute(SET_SESSION, ["lock_timeout", before])


def _identities(work: Work) -> dict[CatalogObject, Identity]:
    return read_identities(work.ledger.session, work.ledger.schema)
