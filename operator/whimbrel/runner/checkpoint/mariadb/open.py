"""Opens a checkpoint on MariaDB: journals and triggers, then the copies, then their proof."""

from functools import partial
from typing import Final

from whimbrel.model.errors import FailedError, RefusedError, TransientError
from whimbrel.planning.dialects import (
    mariadb_checkpoint as words,
    mariadb_checkpoint_capture as capture,
    mariadb_checkpoint_copy as copying,
)
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.planning.dialects.mariadb_checkpoint import EVENTS
from whimbrel.planning.dialects.mariadb_checkpoint_keys import own_indexes
from whimbrel.planning.dialects.postgresql_checkpoint import clone_name, kept_name
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    Covered,
    State,
    set_snapshot,
    set_state,
    words_of,
)
from whimbrel.runner.checkpoint.mariadb.discard import discard
from whimbrel.runner.checkpoint.mariadb.hand import PATIENT, first, hand, hold
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.mariadb.orphans import expect_parents
from whimbrel.runner.checkpoint.mariadb.tables import Table, find_closure, subject_of
from whimbrel.runner.checkpoint.mariadb.watch import expect_login, read_triggers
from whimbrel.runner.checkpoint.open import (
    Wanted,
    begun_checkpoint,
    clear_way,
    insert_checkpoint,
    ready_checkpoint,
)
from whimbrel.runner.checkpoint.retrying import until_unlocked
from whimbrel.runner.server_errors import SERVER_ERRORS, ServerError, is_trouble, read_error
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import as_json, own, sorted_error

_LOGGED: Final = "1419"  # no trigger with the binary log on, but by whoever may do everything


def open_checkpoint(wanted: Wanted, desk: Desk) -> Checkpoint:
    """Return a checkpoint that is ready: the one of this run that is there, or a new one.

    Raises:
        RefusedError: It cannot be had; nothing is left of it, and the sentence says what to change.
        FailedError: The server refused a part of it; nothing is left of it.
        TransientError: Busy, or the connection broke: call it again.
        HeldError: The ledger holds another one that a person must see to first.
    """
    found = clear_way(wanted, desk, discard)
    if found is not None:
        return found
    if wanted.mappings:
        raise RefusedError(
            "CheckpointNotPossible",
            "checkpoint.mappings cannot be followed on MariaDB, where a trigger names the columns "
            "of before: leave it out; what is written to a renamed column is kept row by row "
            "(`whimbrel conflicts`)",
        )
    if not wanted.own_login:
        expect_login(desk.session, wanted.login, wanted.our_pids)
    closure = find_closure(desk.session, wanted.tables, desk.ledger.schema)
    expect_parents(closure.tables, desk.session)
    begin = partial(_begin, wanted, desk, closure.tables)
    begun = until_unlocked(desk, "opening the checkpoint", begin)
    try:
        with hand(desk) as session:
            _capture(begun, desk, session)
            for covered in begun.tables:
                _copy(begun, covered, desk, session)
            until_unlocked(desk, "the checkpoint becomes ready", partial(_make_ready, begun, desk))
    except (RefusedError, FailedError):
        discard(begun, desk)
        raise
    except SERVER_ERRORS as error:
        failed = sorted_error(error, "opening the checkpoint")
        if isinstance(failed, FailedError):
            discard(begun, desk)
        raise failed from error
    return ready_checkpoint(begun, desk)


def _begin(wanted: Wanted, desk: Desk, tables: tuple[Table, ...]) -> Checkpoint:
    names = names_of(desk.ledger.schema, wanted.id)
    with desk.session.transaction():
        desk.guard(desk.session)
        insert_checkpoint(wanted, desk.ledger, f"{names.schema}_journal_{names.short}")
        for number, table in enumerate(tables, start=1):
            desk.ledger.rows(
                words_of(desk.ledger).INSERT_COVERED,
                wanted.id,
                number,
                table.schema,
                table.name,
                number,
                list(table.key),
                clone_name(names.short, number),
                kept_name(names.short, number),
                as_json(table.manifest()),
            )
        return begun_checkpoint(wanted, desk.ledger)


def _capture(begun: Checkpoint, desk: Desk, session: Session) -> None:
    """Make journals and triggers: from then on no write of an application is missed."""
    until = begun.kept_until.strftime("%Y-%m-%d %H:%M:%S")
    second, most = int(begun.kept_until.timestamp()), begun.max_journal // len(begun.tables)
    limits = capture.Limits(begun.login, until, second, most)
    for covered in begun.tables:
        subject = subject_of(begun, covered)
        _run(session, capture.make_journal(subject), covered)
        statements = [capture.make_trigger(subject, event, limits) for event in EVENTS]
        attach = partial(_attach, session, statements, begun.id, covered, desk)
        until_unlocked(desk, f"the capture of {covered}", attach)


def _attach(
    session: Session, statements: list[str], checkpoint: str, covered: Covered, desk: Desk
) -> None:
    """Make all triggers of a table at once.

    One that is there before the others would tell of a row's beginning and not of what followed.
    """
    names = names_of(desk.ledger.schema, checkpoint)
    try:
        hold(session, [covered.table], desk)
    except SERVER_ERRORS as error:
        _refuse(error, covered)
        raise
    session.run(words.wait_at_most(PATIENT))
    made: list[str] = []
    try:
        for event, statement in zip(EVENTS, statements, strict=True):
            _run(session, statement, covered)
            made.append(names.trigger(covered.number, event))
    except BaseException:
        for trigger in made:
            session.run(capture.drop_trigger(trigger))
        raise
    finally:
        session.run(words.GIVE_BACK)


def _run(session: Session, statement: str, covered: Covered) -> None:
    try:
        session.run(statement)
    except SERVER_ERRORS as error:
        _refuse(error, covered)
        raise


def _refuse(error: ServerError, covered: Covered) -> None:
    """Say what a DBA can do about an error, if anything."""
    said = read_error(error)
    if said.code == _LOGGED:
        raise RefusedError(
            "CaptureNotAllowed",
            f"the server writes a binary log and lets our login make no trigger on {covered}; a "
            "database administrator runs: SET GLOBAL log_bin_trust_function_creators = 1",
        ) from error
    if is_trouble(error, Trouble.PRIVILEGE):
        raise RefusedError(
            "CaptureNotAllowed",
            f"the login of spec.database may not capture what is written to {covered} "
            f"({said.message}); a database administrator runs: GRANT ALL ON "
            f"`{covered.schema}`.* TO that login",
        ) from error


def _copy(begun: Checkpoint, covered: Covered, desk: Desk, session: Session) -> None:
    """Copy a table, and prove that the copy has every row that nobody wrote meanwhile."""
    if desk.stopping.is_set():
        raise TransientError("Stopped", "told to stop while the checkpoint was taken")
    desk.tell(f"checkpoint: copying {covered}")
    subject = subject_of(begun, covered)
    _run(session, copying.make_clone(subject.clone, covered.table), covered)
    refers = any(each[1] == covered.table for each in covered.manifest["keys"])
    if refers and (statement := own_indexes(covered.manifest["definition"], subject.clone)):
        _run(session, statement, covered)
    with session.transaction():
        session.run(copying.pass_over(subject, seen=False))
    session.run(copying.copy_rows(subject))
    with session.transaction():
        session.run(copying.pass_over(subject, seen=True))
    session.run(words.ONE_MOMENT)
    with session.transaction():
        session.run(words.SNAPSHOT)
        ((wrong,),) = own(session, copying.differing(subject))
    if wrong:
        raise FailedError(
            "CopyDiffers",
            f"the copy of {covered} differs from it in {wrong} rows that nobody has written "
            "meanwhile: the server has not copied what is there; look for damaged data or indexes; "
            "the migration was not started",
        )
    rows, total = sum_of(session, subject.clone)
    ((size,),) = own(session, words.SIZE, subject.clone)
    keep = words_of(desk.ledger).SET_COPIED
    desk.ledger.rows(keep, begun.id, covered.number, rows, int(size), total)


def sum_of(session: Session, table: str) -> tuple[int, str]:
    """Return the number of rows of a table, and what tells its content."""
    (rows,) = first(session, words.count(table))
    total = first(session, words.checksum(table))[1]
    return int(str(rows)), str(total)


def _make_ready(begun: Checkpoint, desk: Desk) -> None:
    """Say that it can be restored, if tables and triggers are as they were made."""
    closure = find_closure(desk.session, [(t.schema, t.table) for t in begun.tables], begun.schema)
    for covered, table in zip(begun.tables, closure.tables, strict=True):
        told = table.manifest()
        if any(told[each] != covered.manifest[each] for each in ("definition", "keys")):
            raise TransientError(
                "TableChanged",
                f"{covered} was changed while the checkpoint was taken: it is taken again",
            )
    triggers = read_triggers(begun, desk.session)
    made = {number: digest for number, (_, digest) in triggers.items()}
    with desk.session.transaction():
        desk.guard(desk.session)
        desk.ledger.rows(words_of(desk.ledger).SET_CAPTURE, begun.id, as_json(made))
        set_snapshot(desk.ledger, begun.id, "in the journals")
        set_state(desk.ledger, begun.id, State.READY)
