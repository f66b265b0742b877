"""Proves that earlier attempts have ended, before any retry, roll-back or take-over."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from whimbrel.model.errors import HeldError, TransientError
from whimbrel.model.order import Order
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.runner.attempts import Attempt, mark_fenced, read_attempts
from whimbrel.runner.ledger import Ledger, raise_epoch
from whimbrel.runner.prepared_login import Place, end_login
from whimbrel.runner.process import process_is_gone
from whimbrel.runner.resolutions import is_resolved, record_resolution, resolve_command
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.session import Theirs
from whimbrel.runner.strangers import busy_strangers
from whimbrel.runner.target import Target

_ROUNDS: Final = 20
_SEE_NONE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02
_ACCEPTED: Final = "FenceProven"


@dataclass(frozen=True)
class Fence:
    """What a fence works with.

    Attributes:
        ledger: Seen through the session that holds the lock.
        target: The database, for logging in as the tool's own role.
        order: What is to be done after it.
        spare: Backend pids of our own further sessions.
        prepared: The login that a DBA prepared for tools (`database.runRole`), or None.
    """

    ledger: Ledger
    target: Target
    order: Order
    spare: tuple[int, ...] = ()
    prepared: Target | None = None


def fence_run(fence: Fence, run: str) -> str:
    """Prove that every open attempt of a run has ended, and record the proof.

    Args:
        fence: What the fence works with.
        run: Id of the run whose attempts it is about.

    Returns:
        Names of the proofs (Role, Epoch, Kubelet, Process, FenceProven), joined by commas; ""
        where the runner itself had closed every attempt.

    Raises:
        HeldError: Nothing proves the end of one of them.
        TransientError: Their sessions do not end.
    """
    found = read_attempts(fence.ledger, run)
    proofs = [_end(fence, attempt) for attempt in found if attempt.state == "open"]
    return ", ".join(dict.fromkeys(proofs))


def _end(fence: Fence, attempt: Attempt) -> str:
    proof = next((name for name, holds in PROOFS if holds(fence, attempt)), "")
    if not proof or (proof in _OF_PROCESSES and _is_hidden(fence, attempt)):
        raise _unproven(fence, attempt)
    _end_sessions(fence, attempt)
    # Read again: until its sessions had ended, its worker may have been about to start a tool.
    attempts = read_attempts(fence.ledger, attempt.run)
    (now,) = (each for each in attempts if each.key() == attempt.key())
    if (now.tool, now.run_role) != (attempt.tool, attempt.run_role):
        return _end(fence, now)
    # Asked again: a login that was being made may have been committed until its maker ended.
    if proof == "Role" and not _by_role(fence, attempt):
        raise _unproven(fence, attempt)
    if proof in _OF_PROCESSES and not attempt.run_role:
        _refuse_busy_strangers(fence, attempt)
    if proof == _ACCEPTED:
        record_resolution(fence.ledger, fence.order)
    mark_fenced(fence.ledger, attempt, proof)
    return proof


def _by_role(fence: Fence, attempt: Attempt) -> bool:
    """The tool had a login of its own, which is ended now."""
    role = attempt.run_role
    place = Place(fence.ledger, fence.target, fence.prepared)
    return bool(role) and end_login(place, role, attempt.epoch)


def _by_epoch(_: Fence, attempt: Attempt) -> bool:
    """Only our runner ran SQL; it does nothing under a higher epoch."""
    return not attempt.tool


def _by_kubelet(fence: Fence, attempt: Attempt) -> bool:
    """The kubelet reported the container as terminated."""
    own = attempt.run == fence.order.run
    # Attempts of earlier runs of the object carry the run in front.
    key = attempt.key() if own else f"{attempt.run}/{attempt.key()}"
    # A Pod's host name is its own name. After a lost node a Job made again has another Pod, whose
    # end says nothing of the first.
    pod = attempt.process.host.split()[0]
    return f"{key}@{pod}" in fence.order.ended


def _by_process(_: Fence, attempt: Attempt) -> bool:
    """Runner and tool ran on this machine, and nothing of either is left."""
    return process_is_gone(attempt.process, mark=attempt.application_name)


def _by_person(fence: Fence, attempt: Attempt) -> bool:
    return is_resolved(fence.order, _ACCEPTED, attempt.run)


PROOFS: Final[tuple[tuple[str, Callable[[Fence, Attempt], bool]], ...]] = (
    ("Role", _by_role),
    ("Epoch", _by_epoch),
    ("Kubelet", _by_kubelet),
    ("Process", _by_process),
    (_ACCEPTED, _by_person),
)


# These say that the tool's processes are gone, and nothing of the statement that one left running.
_OF_PROCESSES: Final = frozenset({"Kubelet", "Process"})


def _is_hidden(fence: Fence, attempt: Attempt) -> bool:
    """Whether the tool's sessions are another login's, which ours does not see."""
    return bool(attempt.run_role) and not fence.ledger.session.dialect.own_logins


def _refuse_busy_strangers(fence: Fence, attempt: Attempt) -> None:
    strangers = busy_strangers(
        fence.ledger.session, attempt.login, attempt.opened_at, attempt.backend_pid
    )
    if not strangers:
        return
    told = (
        f"the tool of attempt {attempt.key()} of run {attempt.run} is gone, but sessions of its "
        f"login that were opened since are at work, and may be the tool's: {strangers}"
    )
    if time.time() < fence.order.deadline:
        raise TransientError("FenceNotReached", f"{told}; they are waited for", retry_after=10.0)
    raise HeldError(
        "FenceUnproven",
        f"{told}; make sure that they are the application's, or have ended, then say so; a login "
        "that is the tool's alone (database.runRole) makes this provable",
        command=resolve_command(fence.order, _ACCEPTED),
    )


def _unproven(fence: Fence, attempt: Attempt) -> HeldError:
    return HeldError(
        "FenceUnproven",
        f"attempt {attempt.key()} of run {attempt.run} started a migration tool and nothing proves "
        f"that it has ended (it ran on {attempt.process.host.split()[0]}); make sure that it "
        "has, then say so",
        command=resolve_command(fence.order, _ACCEPTED),
    )


def _end_sessions(fence: Fence, attempt: Attempt) -> None:
    """Terminate, raise the epoch (bounded, else back to start), terminate again, see none."""
    for _ in range(_ROUNDS):
        _terminate(fence, attempt)
        try:
            raise_epoch(fence.ledger)
        except SERVER_ERRORS as error:
            if not is_trouble(error, Trouble.LOCK):
                raise
            continue
        _terminate(fence, attempt)
        if _see_none(fence, attempt):
            return
    raise TransientError(
        "FenceNotReached",
        f"sessions of attempt {attempt.key()} of run {attempt.run} (login {attempt.login}) "
        "do not end",
        retry_after=15.0,
    )


def _terminate(fence: Fence, attempt: Attempt) -> None:
    try:
        fence.ledger.session.terminate(_theirs(fence, attempt))
    except SERVER_ERRORS as error:
        # Another login than the one of that time: see whether they end by themselves.
        if not is_trouble(error, Trouble.PRIVILEGE):
            raise


def _see_none(fence: Fence, attempt: Attempt) -> bool:
    end = time.monotonic() + _SEE_NONE_SECONDS
    while fence.ledger.session.count(_theirs(fence, attempt)):
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)  # between two looks at the list of sessions
    return True


def _theirs(fence: Fence, attempt: Attempt) -> Theirs:
    return Theirs(attempt.application_name, attempt.login, attempt.run_role, fence.spare)
