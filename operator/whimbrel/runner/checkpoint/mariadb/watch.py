"""Whether a checkpoint on MariaDB can still be restored: asked before and after each step."""

import time
from collections.abc import Collection
from typing import Final

from whimbrel.planning.dialects import (
    mariadb_checkpoint as words,
    mariadb_checkpoint_capture as capture,
)
from whimbrel.planning.dialects.mariadb_checkpoint import EVENTS
from whimbrel.runner.checkpoint.manifest import Checkpoint, Covered
from whimbrel.runner.checkpoint.mariadb.hand import first
from whimbrel.runner.checkpoint.mariadb.names import names_of
from whimbrel.runner.checkpoint.watch import capture_broken, expired, journal_full, login_shared
from whimbrel.runner.mariadb_session import mariadb
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

_LOOKS: Final = 5  # at who uses the login of the migration
_LOOK_AGAIN: Final = 0.2  # seconds


def expect_capture(
    checkpoint: Checkpoint, session: Session, *, our_pids: Collection[int] = ()
) -> None:
    """Check that no write of an application can have been missed, nor one of the migration taken.

    Raises:
        HeldError: A rollback by this checkpoint is not provable any more.
    """
    if own(session, words.IS_OVER, checkpoint.kept_until.strftime("%F %T"))[0][0]:
        raise expired(checkpoint)
    live = live_names(checkpoint, session)
    for covered in checkpoint.tables:
        expect_journal(checkpoint, covered, session)
        if live[covered.number] is None and _is_there(covered, session):
            raise capture_broken(f"{covered} is another table now, without its triggers")
        _expect_no_cascade(covered, live[covered.number], session)
    if journal_bytes(checkpoint, session) >= checkpoint.max_journal:
        raise journal_full(checkpoint)
    if not checkpoint.own_login:
        expect_login(session, checkpoint.login, our_pids, while_open=True)


def expect_journal(checkpoint: Checkpoint, covered: Covered, session: Session) -> None:
    """Check that a journal has no gap.

    Raises:
        HeldError: It has one, and no rollback by it is provable.
    """
    journal = names_of(checkpoint.schema, checkpoint.id).journal(covered.number)
    if not own(session, words.SIZE, journal):
        raise capture_broken("its journal is gone")
    gap, is_full = first(session, capture.read_state(journal))
    if gap:
        raise capture_broken(
            f"a write to {covered} could not be captured: the migration changed its key, or the "
            "server had no room"
        )
    if is_full:
        raise journal_full(checkpoint)


def live_names(checkpoint: Checkpoint, session: Session) -> dict[int, str | None]:
    """Return what each covered table is called now, by its number; None for one that is gone.

    Raises:
        HeldError: The triggers are not as they were made.
    """
    found = read_triggers(checkpoint, session)
    live: dict[int, str | None] = {}
    for covered in checkpoint.tables:
        ours = {n: found.get(n) for n in trigger_numbers(covered)}
        there = {number: each for number, each in ours.items() if each is not None}
        same = all(checkpoint.capture.get(n) == digest for n, (_, digest) in there.items())
        tables = {table for table, _ in there.values()}
        if len(there) not in {0, len(EVENTS)} or not same or len(tables) > 1:
            raise capture_broken(f"the triggers on {covered} are not as they were made")
        live[covered.number] = next(iter(tables), None)
    return live


def trigger_numbers(covered: Covered) -> list[int]:
    """Return the numbers by which the triggers of a table are known."""
    return [covered.number * len(EVENTS) + place for place in range(len(EVENTS))]


def read_triggers(checkpoint: Checkpoint, session: Session) -> dict[int, tuple[str, str]]:
    """Return table and digest of each trigger that is there, by its number."""
    names = names_of(checkpoint.schema, checkpoint.id)
    rows = own(session, capture.READ_TRIGGERS, names.triggers)
    by_name = {name: (table, digest) for name, table, digest in rows}
    found = {}
    for covered in checkpoint.tables:
        for number, event in zip(trigger_numbers(covered), EVENTS, strict=True):
            name = names.trigger(covered.number, event)
            if name in by_name:
                found[number] = by_name[name]
    return found


def _expect_no_cascade(covered: Covered, live: str | None, session: Session) -> None:
    found = own(session, words.FOREIGN_KEYS, covered.schema, live) if live else []
    for name, child, parent, cascades, _ in found:
        if cascades:
            raise capture_broken(
                f"the migration gave {covered} the foreign key {name} of {child} to {parent}, and "
                "what that changes by itself fires no trigger"
            )


def _is_there(covered: Covered, session: Session) -> bool:
    return bool(own(session, words.TABLE_FACTS, covered.schema, covered.table))


def journal_bytes(checkpoint: Checkpoint, session: Session) -> int:
    """Return the size of the journals."""
    names = names_of(checkpoint.schema, checkpoint.id)
    sizes = [own(session, words.SIZE, names.journal(each.number)) for each in checkpoint.tables]
    return sum(int(rows[0][0]) for rows in sizes if rows)


def expect_login(
    session: Session, login: str, our_pids: Collection[int], *, while_open: bool = False
) -> None:
    """Check that nobody else has a session of the migration's login.

    Raises:
        RefusedError: Somebody has, and no checkpoint is open.
        HeldError: Somebody has, `while_open`.
    """
    for _ in range(_LOOKS):
        if not others_of(session, login, our_pids):
            return
        # A session of ours that begins or ends has no name for a moment.
        time.sleep(_LOOK_AGAIN)
    if others := others_of(session, login, our_pids):
        raise login_shared(login, len(others), while_open=while_open)


def others_of(session: Session, login: str, our_pids: Collection[int]) -> set[int]:
    """Return the sessions of a login that are not ours."""
    asked = (mariadb(session).name, login, sorted(our_pids))
    return {int(pid) for (pid,) in own(session, words.SHARED_LOGIN, *asked)}
