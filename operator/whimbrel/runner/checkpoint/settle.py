"""What becomes of a checkpoint that is in the way of a later run, or whose time is over."""

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Final

from whimbrel.model.checkpoint import OnLaterRun
from whimbrel.model.errors import TransientError, WhimbrelError
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.result import Outcome, Result
from whimbrel.model.steps import CatalogObject, Direction
from whimbrel.planning.checkpoint.removal import drop
from whimbrel.runner.bench import Bench
from whimbrel.runner.checkpoint.before import forget_before, read_before
from whimbrel.runner.checkpoint.bench_desk import desk_of
from whimbrel.runner.checkpoint.conflicts import count_conflicts, forget_conflicts, old_conflicts
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.dump.freeze import thaw
from whimbrel.runner.checkpoint.dump.gone import remove_dump, remove_or_tell
from whimbrel.runner.checkpoint.dump.record import read_dump
from whimbrel.runner.checkpoint.engine import engine_of
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    State,
    open_checkpoints,
    read_checkpoint,
    words_of,
)
from whimbrel.runner.checkpoint.shown import checkpoint_status
from whimbrel.runner.findings import Findings
from whimbrel.runner.holding import manners_of
from whimbrel.runner.known import look_at_ledger
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.lock import take_lock
from whimbrel.runner.records import steps_done
from whimbrel.runner.runs import open_run
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import open_session, own
from whimbrel.runner.surroundings import Surroundings

KEPT: Final = "CheckpointKept"
_LOOK_AGAIN: Final = 30.0  # seconds
_PATIENCE: Final = 2.0  # seconds to wait for the lock
Tell = Callable[[str], None]


def settle_older(plan: RunnerPlan, bench: Bench) -> None:
    """Let go of a checkpoint of an earlier run before this one changes the database.

    Raises:
        TransientError: Its owner wants later runs to wait.
    """
    ledger = bench.holding.ledger
    forget_conflicts(ledger, old_conflicts(ledger))
    for each in open_checkpoints(ledger):
        if each.id == bench.order.run:
            continue
        if not _may_close(each, plan, bench):
            raise _kept(each, bench)
        bench.place.report(f"the checkpoint of run {each.id} is closed: only the last is kept")
        let_go(each, desk_of(bench))


def _may_close(checkpoint: Checkpoint, plan: RunnerPlan, bench: Bench) -> bool:
    before = read_before(bench.holding.ledger, checkpoint.id)
    if before is None or before.later is OnLaterRun.CLOSE or checkpoint.is_expired:
        return True
    # A way back of its own object ends what it was kept for.
    return plan.direction is Direction.DOWN and before.owner == bench.order.owner()


def _kept(checkpoint: Checkpoint, bench: Bench) -> TransientError:
    before = read_before(bench.holding.ledger, checkpoint.id)
    whose = before.owner if before else checkpoint.run
    return TransientError(
        KEPT,
        f"{whose} keeps a checkpoint of run {checkpoint.id} until {checkpoint.kept_until:%F %T}Z "
        "and wants later runs to wait (its checkpoint.onLaterRun is Wait)",
        retry_after=_LOOK_AGAIN,
    )


def give_back(result: Result, bench: Bench) -> bool:
    """Let go of the database where a run only waits for a checkpoint; tell whether it did.

    Else its owner could not restore it meanwhile.
    """
    ledger, run = bench.holding.ledger, bench.order.run
    if result.reason != KEPT or steps_done(ledger, run):
        return False
    with ledger.session.transaction():
        for statement in words_of(ledger).FORGET_RESERVATION:
            ledger.rows(statement, run)
    return True


def let_go(checkpoint: Checkpoint, desk: Desk) -> None:
    """Take a checkpoint away, with what a restore took to the ledger's schema."""
    before = read_before(desk.ledger, checkpoint.id)
    engine_of(desk.session).discard(checkpoint, desk)
    with desk.session.transaction():
        desk.guard(desk.session)
        for kind, name, part in before.moved if before else ():
            own(desk.session, drop(CatalogObject(kind, desk.ledger.schema, name, part)))
        forget_before(desk.ledger, checkpoint.id)


def let_go_of_run(bench: Bench) -> None:
    """Take away the checkpoint of this run, which left nothing that could be restored.

    What stops that is a warning: it must not hide how the run ended, and it goes in its time.
    """
    ledger = bench.holding.ledger
    checkpoint, dump = read_checkpoint(ledger, bench.order.run), read_dump(ledger, bench.order.run)
    try:
        if dump is not None:
            remove_dump(ledger, dump, bench.place.dumps)
        if checkpoint is not None and checkpoint.state is not State.CLOSED:
            let_go(checkpoint, desk_of(bench))
    except (WhimbrelError, OSError, *SERVER_ERRORS) as error:
        told = bench.clean(getattr(error, "message", "the server refused it"))
        bench.findings.warnings.append(f"CheckpointLeft: the checkpoint stays for its time: {told}")


def drop_checkpoint(order: Order, place: Surroundings, findings: Findings) -> Result:
    """Take away the checkpoint of a run that is over; again is safe.

    It needs the lock and no reservation: a run that works with another checkpoint has the lock.

    Raises:
        TransientError: A runner is at work.
    """
    with closing(open_session(place.target, manners_of(order))) as session:
        ledger = Ledger(session, order.spec.database.ledger_schema)
        opened = look_at_ledger(ledger, order)
        findings.database_uuid = opened.meta.database if opened.meta else ""
        checkpoint, dump = read_checkpoint(ledger, order.run), read_dump(ledger, order.run)
        is_open = checkpoint is not None and checkpoint.state is not State.CLOSED
        if is_open or dump is not None:
            take_lock(session, patience=_PATIENCE)
            _expect_over(ledger, order.run)
        manners = manners_of(order)
        desk = free_desk(ledger, lambda: open_session(place.target, manners), place.report)
        if checkpoint is not None and is_open:
            let_go(checkpoint, desk)
        if dump is not None:
            thaw(desk)
            findings.warnings += remove_or_tell(ledger, dump, place.dumps)
        if checkpoint is not None:
            forget_conflicts(ledger, {checkpoint.id, *old_conflicts(ledger)})
            _expect_gone(checkpoint, desk)
        gone = checkpoint_status(ledger, order.run)
        told = "the checkpoint is gone; nothing of it is left in the database"
        return findings.result(Outcome.DONE, "Discarded", told, checkpoint=gone)


def _expect_gone(checkpoint: Checkpoint, desk: Desk) -> None:
    """Read back that nothing is left, before that is said."""
    left = engine_of(desk.session).left_of(checkpoint, desk.session)
    if count := count_conflicts(checkpoint, desk):
        left.append(f"{count} conflict(s) in the ledger")
    if left:
        raise TransientError(
            "CheckpointLeft",
            f"the checkpoint of run {checkpoint.id} was taken away, and this of it is there: "
            f"{', '.join(left)}; drop it by hand",
            retry_after=_LOOK_AGAIN,
        )


def _expect_over(ledger: Ledger, run: str) -> None:
    holder = open_run(ledger)
    if holder is not None and holder.id == run:
        raise TransientError("Busy", "the run of this checkpoint is not over", retry_after=10.0)


def free_desk(ledger: Ledger, another_session: Callable[[], Session], tell: Tell) -> Desk:
    """Return the desk of whoever holds the lock and no run."""

    def guard(_: Session) -> None:
        if not ledger.session.still_holds_lock():
            raise TransientError("LockLost", "the migrator's lock is lost")

    return Desk(ledger, another_session, guard, tell, threading.Event())
