"""Reservation: the open run of the ledger holds the database, also when no Job runs."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from whimbrel.model.errors import TransientError
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan, Segment
from whimbrel.model.result import Holder
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.runner.attempts import read_attempt, read_attempts, superseded
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.resolutions import is_resolved, record_resolution
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.session import Row
from whimbrel.runner.sessions import as_list

Prove = Callable[[str], str]


@dataclass(frozen=True)
class Run:
    """One run of one object.

    Attributes:
        number: Grows from run to run of an object.
        purpose: Segment that opened it.
        state: open, held, done, failed, rolled_back, aborted or superseded.
        target: Where a way back of this run leads ("base" for nothing stays), "" while none began.
        failure: "Reason: sentence" of what failed where the run takes itself back, else "".
        steps: Digests of the steps of its plan, in order.
    """

    id: str
    namespace: str
    name: str
    uid: str
    cluster: str
    number: int
    purpose: str
    plan_digest: str
    image: str
    state: str
    opened_at: datetime
    closed_at: datetime | None
    target: str
    failure: str
    steps: tuple[str, ...]

    def holder(self) -> Holder:
        """Return what is told to those who wait for it."""
        return Holder(
            namespace=self.namespace,
            name=self.name,
            uid=self.uid,
            cluster=self.cluster,
            run=self.id,
        )


@dataclass(frozen=True)
class Reserved:
    """The database is this run's.

    Attributes:
        proof: Fence that ended earlier attempts, or "" where none was needed.
    """

    run: Run
    proof: str


@dataclass(frozen=True)
class Waiting:
    """Another run holds the database."""

    holder: Holder


@dataclass(frozen=True)
class Over:
    """The ledger knows the end of this attempt, or of its run, already.

    Attributes:
        state: State of the run.
        result: Result of the attempt as JSON; of the run's last one where it is unknown itself.
    """

    state: str
    result: str


def reserve(ledger: Ledger, order: Order, prove: Prove) -> Reserved | Waiting | Over:
    """Reserve the database for the order's run; call it while holding the lock.

    Args:
        ledger: The ledger.
        order: What is to be done.
        prove: Proves that every open attempt of a run has ended, and returns the proof's name
            (`fence.fence_run`).

    Raises:
        HeldError: Earlier attempts are open and nothing proves their end.
        TransientError: A newer attempt or run took over.
    """
    over = known_end(ledger, order)
    if over is not None:
        return over
    holder = open_run(ledger)
    if holder is None:
        return Reserved(_insert(ledger, order), "")
    if holder.id == order.run:
        return Reserved(holder, prove(holder.id))
    if not may_take_over(order, holder):
        return Waiting(holder.holder())
    return _take_over(ledger, order, holder, prove)


def known_end(ledger: Ledger, order: Order) -> Over | None:
    """Return the end that the ledger knows; None where the order may go on. Needs no lock.

    Raises:
        TransientError: A newer attempt or run took over.
    """
    run = read_run(ledger, order.run)
    attempt = read_attempt(ledger, order)
    if run is not None and attempt is not None and attempt.state == "closed":
        return Over(run.state, attempt.result)
    if attempt is not None and attempt.state == "fenced":
        raise superseded(attempt)
    if run is None and order.segment is Segment.ABORT:
        return Over("aborted", "")
    if run is None or run.closed_at is None:
        _refuse_older_run(ledger, order)
        return None
    closed = [each.result for each in read_attempts(ledger, run.id) if each.state == "closed"]
    return Over(run.state, closed[-1] if closed else "")


def _refuse_older_run(ledger: Ledger, order: Order) -> None:
    """Refuse what an older run of this object asks for, also when the newer one is over."""
    who = (order.cluster, order.namespace, order.name, order.uid)
    newer = ledger.rows(ledger.words.NEWER_RUN, *who, order.number)
    if newer:
        raise TransientError(
            "Superseded", f"the newer run {newer[0][0]} of this object took over from {order.run}"
        )


def same_object(order: Order, run: Run) -> bool:
    """Tell whether a run is one of the order's own object."""
    ours = (order.cluster, order.namespace, order.name, order.uid)
    return ours == (run.cluster, run.namespace, run.name, run.uid)


def may_take_over(order: Order, holder: Run) -> bool:
    """Tell whether the holder is our own and no newer, its object is gone, or a person says so."""
    return (
        (same_object(order, holder) and order.number >= holder.number)
        or (order.cluster == holder.cluster and holder.id in order.holder_gone)
        or is_resolved(order, "TakeOver", holder.id)
    )


def _take_over(ledger: Ledger, order: Order, holder: Run, prove: Prove) -> Reserved:
    proof = prove(holder.id)
    with ledger.session.transaction():
        if is_resolved(order, "TakeOver", holder.id):
            record_resolution(ledger, order)
        close_run(ledger, holder.id, "superseded")
        run = _insert(ledger, order)
    return Reserved(run, proof)


def _insert(ledger: Ledger, order: Order) -> Run:
    who = (order.run, order.namespace, order.name, order.uid, order.cluster)
    try:
        ledger.rows(ledger.words.INSERT_RUN, *who, order.number, order.segment.value)
    except SERVER_ERRORS as error:
        if not is_trouble(error, Trouble.DUPLICATE):
            raise
        raise TransientError("Busy", "another run reserved the database just now") from error
    run = read_run(ledger, order.run)
    if run is None:
        raise TransientError("ConnectionLost", "the reservation was not recorded")
    return run


def open_run(ledger: Ledger) -> Run | None:
    """Return the run that holds the database."""
    found = ledger.rows(ledger.words.READ_OPEN_RUN)
    return _run(found[0]) if found else None


def read_run(ledger: Ledger, run: str) -> Run | None:
    """Return a run by its id."""
    found = ledger.rows(ledger.words.READ_RUN, run)
    return _run(found[0]) if found else None


def read_runs(ledger: Ledger) -> tuple[Run, ...]:
    """Return all runs, oldest first (`whimbrel history`)."""
    return tuple(_run(row) for row in ledger.rows(ledger.words.READ_RUNS))


def _run(row: Row) -> Run:
    values = (*row[:-1], tuple(as_list(row[-1])))
    return Run(*values)


def set_run_plan(ledger: Ledger, run: str, plan: RunnerPlan, *, digest: str, image: str) -> None:
    """Record what a run carries out, step by step, and with which image."""
    ledger.rows(ledger.words.SET_RUN_PLAN, run, digest, image, list(plan.step_digests()))


def set_run_target(ledger: Ledger, run: str, target: str, failure: str = "") -> None:
    """Record where a way back leads, before its first step: a later attempt goes no further.

    With a failure the run takes itself back because of it, and a later attempt does nothing else.
    """
    ledger.rows(ledger.words.SET_RUN_TARGET, run, target, failure)


def close_run(ledger: Ledger, run: str, state: str) -> None:
    """Record the end of a run; `held` (and `open`) goes on holding the database."""
    ledger.rows(ledger.words.SET_RUN_STATE, run, state)
