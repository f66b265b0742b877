"""Holding the database: sessions, ledger, lock, reservation, fence and epoch, in that order."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import TransientError
from whimbrel.model.order import Order
from whimbrel.runner.attempts import Attempt, open_attempt, read_attempts
from whimbrel.runner.fence import Fence, fence_run
from whimbrel.runner.findings import Findings
from whimbrel.runner.interrupts import Interrupts
from whimbrel.runner.known import look_at_ledger, open_ledger
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.lock import Heartbeat, release_lock, take_lock
from whimbrel.runner.runs import (
    Over,
    Reserved,
    Waiting,
    known_end,
    may_take_over,
    open_run,
    reserve,
)
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.servers import server_of
from whimbrel.runner.session import Manners, Session, Theirs, Watched
from whimbrel.runner.sessions import application_name, open_session, own
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.target import Target
from whimbrel.runner.watchdog import Limits, Watchdog

_LOCK_PATIENCE: Final = 2.0  # seconds; longer waits are the controller's, which names the holder
_AFTER_FENCE: Final = 10.0


@dataclass(frozen=True)
class Holding:
    """The database is ours: what every later step works with.

    Attributes:
        ledger: Seen through the worker's session, which holds the lock.
        target: The database and the login of our own sessions.
        attempt: Our row in the ledger, with our epoch.
        interrupts: What a stop, or the loss of the lock, does to the worker's session.
    """

    order: Order
    ledger: Ledger
    target: Target
    manners: Manners
    attempt: Attempt
    watchdog: Watchdog
    interrupts: Interrupts

    @property
    def session(self) -> Session:
        """Return the worker's session."""
        return self.ledger.session

    def another_session(self) -> Session:
        """Open a further session with the same manners."""
        return open_session(self.target, self.manners)


def manners_of(order: Order) -> Manners:
    """Return how the sessions of an attempt behave, and what they are called."""
    name = application_name(order.run, order.owner())
    return Manners(name, order.spec.limits.lock_timeout)


@contextmanager
def holding(
    order: Order,
    place: Surroundings,
    findings: Findings,
    plan_first: Callable[[Ledger], None],
) -> Iterator[Holding | Waiting | Over]:
    """Hold the database for one attempt; or say who holds it, or how this attempt ended before.

    `plan_first` is called before the ledger is installed where there is none.

    Raises:
        RefusedError: Nothing was locked or written; the sentence says what to change.
        HeldError: A human decides.
        TransientError: Try again later.
    """
    manners = manners_of(order)
    kind = server_of(place.target)
    server = kind.check(place.target, manners.application_name)
    findings.database = server.database
    findings.warnings += server.warnings
    with closing(open_session(place.target, manners)) as session:
        ledger = Ledger(session, order.spec.database.ledger_schema)
        kind.check_place(session, ledger.schema)
        if look_at_ledger(ledger, order).meta is None:
            plan_first(ledger)
        _read_ledger(ledger, order, findings)
        with _watching(order, place, manners, session) as watchdog:
            spare = (watchdog.backend_pid,)
            taken = _reserve(Fence(ledger, place.target, order, spare, place.run_target))
            if not isinstance(taken, Reserved):
                yield taken
                return
            findings.fence = taken.proof
            findings.attempt_open = True
            attempt = open_attempt(ledger, order, name=manners.application_name)
            findings.epoch = attempt.epoch
            with Interrupts(session, place) as interrupts, Heartbeat(session, interrupts.lost.set):
                yield Holding(order, ledger, place.target, manners, attempt, watchdog, interrupts)
        with contextlib.suppress(*SERVER_ERRORS):
            release_lock(session)


def _read_ledger(ledger: Ledger, order: Order, findings: Findings) -> None:
    opened = open_ledger(ledger, order)
    findings.warnings += opened.warnings
    if opened.meta is not None:
        findings.database_uuid, findings.epoch = opened.meta.database, opened.meta.epoch


def _watching(order: Order, place: Surroundings, manners: Manners, session: Session) -> Watchdog:
    limits = order.spec.limits
    return Watchdog(
        lambda: open_session(place.target, manners),
        Watched(manners.application_name, pids=(session.backend(),)),
        Limits(wait=limits.lock_timeout, hold=limits.lock_hold),
    )


def _reserve(fence: Fence) -> Reserved | Waiting | Over:
    """Take the lock and reserve; an earlier attempt that still holds the lock is fenced first."""
    order, ledger, proofs = fence.order, fence.ledger, []

    def prove(run: str) -> str:
        proofs.append(fence_run(fence, run))
        return ", ".join(proof for proof in proofs if proof)

    _refuse_overtaken(ledger, order)
    try:
        take_lock(ledger.session, patience=_LOCK_PATIENCE)
    except TransientError:
        holder = open_run(ledger)
        # After the look at the holder: whoever is older than it ends nothing of it.
        _refuse_overtaken(ledger, order)
        over = known_end(ledger, order)
        if over is not None:
            return over
        if holder is not None and not may_take_over(order, holder):
            return Waiting(holder.holder())
        _end_lost_sessions(fence)
        if holder is not None:
            prove(holder.id)
        take_lock(ledger.session, patience=_AFTER_FENCE)
    return reserve(ledger, order, prove)


def _end_lost_sessions(fence: Fence) -> None:
    """End what an earlier process of this very run left before it recorded its attempt.

    Without an attempt in the ledger it has done no step, and will do none without the lock.
    """
    mine = manners_of(fence.order).application_name
    session = fence.ledger.session
    login = own(session, session.dialect.server.WHO_AM_I)[0][0]
    session.terminate(Theirs(mine, login, spare=fence.spare))


def _refuse_overtaken(ledger: Ledger, order: Order) -> None:
    """An attempt that starts after a later one of its run is a stale leader's: it does nothing."""
    newest = max((each.attempt for each in read_attempts(ledger, order.run)), default=0)
    if newest > order.attempt:
        raise TransientError(
            "Superseded", f"attempt {newest} of run {order.run} is newer than {order.attempt}"
        )
