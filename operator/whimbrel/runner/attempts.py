"""Attempts in the ledger: each is opened once, and closed by the runner that opened it."""

from dataclasses import dataclass

from whimbrel.model.errors import TransientError
from whimbrel.model.order import Order
from whimbrel.runner.ledger import Ledger, raise_epoch
from whimbrel.runner.process import Process, this_process
from whimbrel.runner.session import Row
from whimbrel.runner.sessions import own


@dataclass(frozen=True)
class Attempt:
    """One attempt at one segment of one run.

    Attributes:
        epoch: Epoch that its steps must find.
        application_name: What its sessions, and the tool's, call themselves.
        backend_pid: The server's process of its working session.
        login: Login of its own sessions.
        run_role: Login that was the tool's alone, or "".
        tool: Whether a foreign tool was, or was about to be, started.
        state: open, closed or fenced.
        fence: Proof that ended it, where the runner itself did not.
        result: Its result as JSON, once closed.
        opened_at: When it was opened, by the server's clock and in its words.
    """

    run: str
    segment: str
    attempt: int
    epoch: int
    application_name: str
    backend_pid: int
    login: str
    run_role: str
    tool: bool
    process: Process
    state: str
    fence: str
    result: str
    opened_at: str

    def key(self) -> str:
        """Return "segment/attempt", as in `Order.ended`."""
        return f"{self.segment}/{self.attempt}"


def read_attempts(ledger: Ledger, run: str) -> tuple[Attempt, ...]:
    """Return the attempts of a run, oldest first."""
    return tuple(_attempt(row) for row in ledger.rows(ledger.words.READ_ATTEMPTS, run))


def read_attempt(ledger: Ledger, order: Order) -> Attempt | None:
    """Return what the ledger knows of the order's attempt."""
    found = ledger.rows(ledger.words.READ_ATTEMPT, *_key(order))
    return _attempt(found[0]) if found else None


def open_attempt(ledger: Ledger, order: Order, *, name: str) -> Attempt:
    """Record the order's attempt with an epoch of its own, after `reserve`.

    Args:
        ledger: Seen through the working session.
        order: What is to be done.
        name: application_name of the sessions of this attempt.

    Raises:
        TransientError: The ledger knows this attempt already.
    """
    known = read_attempt(ledger, order)
    if known is not None:
        raise superseded(known)
    login = own(ledger.session, ledger.session.dialect.server.WHO_AM_I)[0][0]
    here = this_process()
    with ledger.session.transaction():
        epoch = raise_epoch(ledger)
        where = (name, ledger.session.backend(), login, "", False)
        process = (here.host, here.boot_id, here.pid, here.start)
        ledger.rows(ledger.words.INSERT_ATTEMPT, *_key(order), epoch, *where, *process)
    opened = read_attempt(ledger, order)
    if opened is None:
        raise TransientError("ConnectionLost", "the attempt was not recorded")
    return opened


def superseded(attempt: Attempt) -> TransientError:
    """Return the error for an attempt that somebody started before."""
    return TransientError(
        "Superseded",
        f"attempt {attempt.key()} of run {attempt.run} was started before and is {attempt.state}; "
        "it does nothing a second time",
    )


def record_tool(ledger: Ledger, order: Order, *, run_role: str = "") -> None:
    """Record that a foreign tool is about to be started; call it before the start.

    Args:
        ledger: The ledger.
        order: Whose attempt it is.
        run_role: Login that is the tool's alone, recorded before the role is made.

    Raises:
        TransientError: Somebody fenced the attempt meanwhile.
    """
    if not ledger.rows(ledger.words.SET_ATTEMPT_TOOL, *_key(order), run_role):
        raise _taken_over(order)


def close_attempt(ledger: Ledger, order: Order, result: str) -> None:
    """Record the end of an attempt: no session and no process of it is left.

    Raises:
        TransientError: Somebody fenced it meanwhile; nothing that it says counts any more.
    """
    if not ledger.rows(ledger.words.CLOSE_ATTEMPT, *_key(order), result):
        raise _taken_over(order)


def _taken_over(order: Order) -> TransientError:
    return TransientError("Superseded", f"attempt {order.attempt_key()} was taken over")


def mark_fenced(ledger: Ledger, attempt: Attempt, proof: str) -> None:
    """Record the proof that an attempt is over."""
    key = (attempt.run, attempt.segment, attempt.attempt)
    ledger.rows(ledger.words.FENCE_ATTEMPT, *key, proof)


def _key(order: Order) -> tuple[str, str, int]:
    return order.run, order.segment.value, order.attempt


def _attempt(row: Row) -> Attempt:
    values = (*row[:9], Process(*row[9:13]), *row[13:])
    return Attempt(*values)
