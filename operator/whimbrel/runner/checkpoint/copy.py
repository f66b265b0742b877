"""Copies the covered tables in one snapshot, and proves that the copies are whole."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, TimeoutError as NotYetError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import FailedError, HeldError, TransientError
from whimbrel.planning.dialects import postgresql_checkpoint as words, postgresql_manifest
from whimbrel.planning.dialects.postgresql import BACKEND_PID, quote_name
from whimbrel.runner.checkpoint.capture import keep_private, read_capture
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    Covered,
    State,
    set_snapshot,
    set_state,
)
from whimbrel.runner.checkpoint.transplant import describe_table, differences
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import as_json, own

_ALIVE_SECONDS: Final = 2.0  # a server ends a session of ours that is idle in a transaction


@dataclass(frozen=True)
class Sum:
    """What tells the content of a table."""

    rows: int
    checksum: str


def copy_tables(desk: Desk, checkpoint: Checkpoint, capture: Mapping[int, str]) -> None:
    """Copy all tables and make the checkpoint ready, in one transaction that sees one moment.

    Another session reads the same snapshot of the tables meanwhile: their checksums are not those
    of what was written, and take no time of their own.

    Args:
        desk: Where the work is done.
        checkpoint: Its tables are captured.
        capture: Digests of the capture as it was made.

    Raises:
        ServerError: Nothing was copied, or the connection broke.
        FailedError: A copy is not what was copied; it is gone again.
        TransientError: A table was changed since it was described.
    """
    session = desk.session
    with session.transaction():
        session.run(words.BEGIN_COPY)
        desk.guard(session)
        own(session, words.PIN_COPY)
        ((exported, snapshot),) = own(session, words.EXPORT_SNAPSHOT)
        with _reading(desk, checkpoint, exported) as reading:
            for covered in checkpoint.tables:
                _copy(desk, checkpoint, covered)
            copies = [sum_of_clone(session, checkpoint, each) for each in checkpoint.tables]
            originals = _awaited(session, reading)
        for covered, original, copied in zip(checkpoint.tables, originals, copies, strict=True):
            _keep(desk, checkpoint, covered, original, copied)
        _make_ready(desk, checkpoint, capture, snapshot)


def _copy(desk: Desk, checkpoint: Checkpoint, covered: Covered) -> None:
    session, clone = desk.session, (checkpoint.schema, covered.clone)
    table = (covered.schema, covered.table)
    desk.tell(f"checkpoint: copying {covered}")
    for statement in words.copy_table(clone, table, _columns(session, table)):
        own(session, statement)
    keep_private(session, quote_name(*clone))


def _columns(session: Session, table: tuple[str, str]) -> tuple[words.Column, ...]:
    found = own(session, words.READ_COPIED, quote_name(*table))
    return tuple(words.Column(*row) for row in found)


def _sum(session: Session, table: tuple[str, str]) -> Sum:
    rows, checksum = own(session, words.checksum(table, _columns(session, table)))[0]
    return Sum(rows, checksum)


def sum_of_clone(session: Session, checkpoint: Checkpoint, covered: Covered) -> Sum:
    """Return what a clone holds, in a transaction that `PIN_COPY` has pinned."""
    return _sum(session, (checkpoint.schema, covered.clone))


def expect_clones(checkpoint: Checkpoint, session: Session) -> None:
    """Check that the clones are what they were when the checkpoint became ready.

    Raises:
        HeldError: Somebody has changed one.
    """
    with session.transaction():
        own(session, words.PIN_COPY)
        for covered in checkpoint.tables:
            if sum_of_clone(session, checkpoint, covered) != Sum(covered.rows, covered.checksum):
                raise HeldError(
                    "CheckpointDamaged",
                    f"the copy of {covered} ({checkpoint.schema}.{covered.clone}) is not what it "
                    "was when the checkpoint was taken: somebody has changed it, and nothing is "
                    "restored from it; the tables stay as the migration left them",
                )


@contextmanager
def _reading(
    desk: Desk, checkpoint: Checkpoint, exported: str
) -> Iterator["Future[tuple[Sum, ...]]"]:
    """Read the sums of the tables in a snapshot, on a session and a thread of its own."""
    gone = threading.Event()
    with desk.another_session() as session, ThreadPoolExecutor(1, "checksum") as thread:
        future = thread.submit(_originals, session, checkpoint, exported, gone)
        try:
            yield future
        except BaseException:
            gone.set()
            with contextlib.suppress(Exception):
                postgres(session).cancel()
            raise


def _originals(
    session: Session, checkpoint: Checkpoint, exported: str, gone: threading.Event
) -> tuple[Sum, ...]:
    with session.transaction():
        session.run(words.BEGIN_COPY)
        session.run(words.see_snapshot(exported))
        own(session, words.PIN_COPY)
        tables = ((each.schema, each.table) for each in checkpoint.tables if not gone.is_set())
        return tuple(_sum(session, table) for table in tables)


def _awaited(session: Session, reading: "Future[tuple[Sum, ...]]") -> tuple[Sum, ...]:
    while True:
        try:
            return reading.result(_ALIVE_SECONDS)
        except NotYetError:
            own(session, BACKEND_PID)


def _keep(desk: Desk, checkpoint: Checkpoint, covered: Covered, original: Sum, copied: Sum) -> None:
    """Record a copy that is what was copied."""
    if original != copied:
        raise FailedError(
            "CopyDiffers",
            f"the copy of {covered} has {copied.rows} rows (checksum {copied.checksum}), the table "
            f"{original.rows} ({original.checksum}): the server has not copied what is there; look "
            "for damaged data or indexes; the migration was not started",
        )
    session, clone = desk.session, quote_name(checkpoint.schema, covered.clone)
    now = describe_table(session, covered.schema, covered.table)
    if differences(covered.manifest, now):
        raise _changed(f"{covered} was changed")
    ((size,),) = own(session, words.TABLE_BYTES, clone)
    desk.ledger.rows(
        postgresql_manifest.SET_COPIED,
        checkpoint.id,
        covered.number,
        copied.rows,
        size,
        copied.checksum,
    )


def _changed(what: str) -> TransientError:
    return TransientError(
        "TableChanged", f"{what} while the checkpoint was taken: it is taken again"
    )


def _make_ready(
    desk: Desk, checkpoint: Checkpoint, capture: Mapping[int, str], snapshot: str
) -> None:
    """Say what the clones show, how the triggers are, and that it can be restored."""
    if read_capture(desk.session, checkpoint) != capture:
        raise _changed("The triggers of the checkpoint were changed")
    desk.ledger.rows(postgresql_manifest.SET_CAPTURE, checkpoint.id, as_json(capture))
    set_snapshot(desk.ledger, checkpoint.id, snapshot)
    set_state(desk.ledger, checkpoint.id, State.READY)
