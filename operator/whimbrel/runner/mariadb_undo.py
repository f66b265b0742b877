"""Takes back what was done of a file that failed, and says truly what stays."""

from typing import Final

import pymysql

from whimbrel.model.errors import FailedError, HeldError, TransientError, WhimbrelError
from whimbrel.model.spec import OnFailure
from whimbrel.model.steps import Direction, RunPieces
from whimbrel.planning.dialects.fates import Fate
from whimbrel.planning.dialects.mariadb_undo import Half, undo_of
from whimbrel.runner.bench import Bench
from whimbrel.runner.catalog import fingerprint, read_catalog
from whimbrel.runner.checkpoint.manifest import read_checkpoint
from whimbrel.runner.checkpoint.shown import why_not
from whimbrel.runner.mariadb_journal import UNDO, Journal
from whimbrel.runner.mariadb_pieces import (
    Numbered,
    anew,
    journal_of,
    run_from,
    settings_restored,
    settled,
    step_failure,
    traces_of,
)
from whimbrel.runner.step_work import Place, StepFailedError, Work

_SHOWN: Final = 5  # statements in a message


def taken_back(step: RunPieces, work: Work, error: FailedError, bench: Bench) -> WhimbrelError:
    """Return what the failure of a file means once its done part is gone, or cannot go.

    Raises:
        TransientError: The way back was stopped or could not be had now; the next attempt goes on
            with it.
    """
    # A checkpoint takes back more than the down file does, and no write of an application with it.
    meaning = error if _is_protected(step, bench) else _meant(step, work, error, bench)
    kept, session = work.kept, work.ledger.session
    if kept is not None and isinstance(meaning, HeldError) and step.direction is Direction.UP:
        with session.transaction():
            work.guard(session)
            kept.run(session, kept.table.fail, step.file.version, meaning.message)
    return meaning


def _is_protected(step: RunPieces, bench: Bench) -> bool:
    checkpoint = read_checkpoint(bench.holding.ledger, bench.order.run)
    is_automatic = bench.order.spec.rollback.on_failure is OnFailure.AUTOMATIC
    is_kept = checkpoint is not None and not why_not(checkpoint)
    return is_kept and is_automatic and step.direction is Direction.UP


def _meant(step: RunPieces, work: Work, error: FailedError, bench: Bench) -> WhimbrelError:
    journal = journal_of(step, work)
    first, *entries = journal.entries() or (None,)
    if first is None:
        return error
    if not entries:
        _close(step, work, journal)
        return error
    if step.direction is Direction.DOWN:
        return _half(error, journal, bench, "a way back has no way back")
    if any(not each.is_done for each in entries):
        return _half(error, journal, bench, "the statement that failed left a part of its work")
    try:
        problem = _take_back(step, work, journal, error)
    except StepFailedError as failure:
        problem = _meaning(failure, error, bench)
    if problem:
        return _half(error, journal, bench, problem)
    told = f"what was done before it in {step.file.name} was taken back by its down file"
    return FailedError(error.reason, f"{error.message}; {told}", command=error.command)


def _take_back(step: RunPieces, work: Work, journal: Journal, error: FailedError) -> str:
    """Carry the way back out; return why it cannot be had, or ""."""
    session, schema = work.ledger.session, work.ledger.schema
    first, *entries = journal.entries()
    now = read_catalog(session, schema)
    done = max(each.ordinal for each in entries)
    undo = undo_of(Half(step.pieces, done, frozenset(first.known), now), step.undo)
    if undo.problem:
        return undo.problem
    back = journal_of(step, work, UNDO)
    if not back.entries():
        with session.transaction():
            work.guard(session)
            back.open("", (), note=error.message)
    _run(step, undo.pieces, work, back)
    if fingerprint(session, schema) != first.shape:
        return "after it was taken back the schema is not as before the file"
    _close(step, work, journal, back)
    return ""


def _close(step: RunPieces, work: Work, *journals: Journal) -> None:
    """Record that nothing is left of a file, in the tool's own table too."""
    session, kept = work.ledger.session, work.kept
    with session.transaction():
        work.guard(session)
        for journal in journals:
            journal.clear()
        if kept is not None and step.direction is Direction.UP:
            kept.run(session, kept.table.forget, step.file.version)


def _run(step: RunPieces, chosen: tuple[object, ...], work: Work, back: Journal) -> None:
    place = Place()
    place.between(f"the way back of {step.file.name}")
    down = step.undo or ()
    numbered: list[Numbered] = [each for each in enumerate(down, start=1) if each[1] in chosen]
    try:
        done = settled(down, back, repeatable=False)
        with settings_restored(work.ledger.session, down):
            run_from(done, numbered, work, back, place)
    except pymysql.MySQLError as error:
        raise step_failure(step, place, error) from error


def _meaning(failure: StepFailedError, error: FailedError, bench: Bench) -> str:
    """Return why the way back failed, or raise what may pass at another try."""
    told = bench.clean(failure.sentence())
    if bench.place.stopping.is_set() or failure.fate is not Fate.PERMANENT:
        reason = "ConnectionLost" if failure.fate is Fate.UNKNOWN else "Blocked"
        raise TransientError(
            reason, f"{error.message}; its way back is not over: {told}", retry_after=2.0
        ) from failure
    return f"its way back failed: {told}"


def _half(error: FailedError, journal: Journal, bench: Bench, why: str) -> HeldError:
    """Return the end in which a part of a file stays: every statement of it is named."""
    entries = [each for each in journal.entries() if each.ordinal]
    done = [f"{each.file}, line {each.line}" for each in entries if each.is_done]
    more = f" and {len(done) - _SHOWN} more" if len(done) > _SHOWN else ""
    order = bench.order
    return HeldError(
        "HalfDone",
        f"{error.message}; the database is NOT as before: done and committed are "
        f"{'; '.join(done[:_SHOWN]) or 'no whole statement'}{more}; {why}; "
        f"{anew(traces_of(journal), journal)}; or mend the file behind them, then retry, and it "
        "goes on behind them",
        command=f"whimbrel retry {order.name} -n {order.namespace}",
    )
