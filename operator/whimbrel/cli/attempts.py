"""Attempts at a run: the record is written before each, the result after it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from whimbrel.cli.local_identity import local_cluster, new_run_id, now
from whimbrel.cli.manifest import Manifest
from whimbrel.cli.orders import Errand, after_result, begin_attempt, look_order, order_of
from whimbrel.cli.record import Record, save_record
from whimbrel.model.order import Order
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome, Result
from whimbrel.model.status import RunState
from whimbrel.runner.surroundings import Surroundings

Work = Callable[[Order, Surroundings], Result]
_SHORTEST_PAUSE: Final = 0.5


@dataclass(frozen=True)
class Desk:
    """One object at a terminal.

    Attributes:
        state_dir: Where its record is written.
        patience: Seconds to wait for what heals by itself.
        work: `whimbrel.runner.work.carry_out`.
    """

    state_dir: Path
    manifest: Manifest
    surroundings: Surroundings
    patience: float
    work: Work


def new_errand(segment: Segment, to: str = "") -> Errand:
    """Return an errand that, where it begins a run, begins one that was never there."""
    return Errand(segment, new_run_id(), int(time.time()), to)


def look(desk: Desk, record: Record) -> Result:
    """Return what the database shows and what would be done; nothing is touched or recorded."""
    order = look_order(record, desk.manifest.spec, local_cluster(), _looks_for(record))
    # A look reports the plan's text for the log of a Job; here it is in the result.
    quiet = replace(desk.surroundings, report=_say_nothing)
    return _until_it_answers(desk, lambda: desk.work(order, quiet))


def _looks_for(record: Record) -> str:
    """Return the run that a look is for: the one that asked, or was cut off; else a new one."""
    if record.resolution:
        return record.resolution.run
    run = record.run
    return run.id if run is not None and run.state is RunState.OPEN else new_run_id()


def _say_nothing(line: str) -> None:
    """Report nothing."""
    del line


def carry_through(desk: Desk, record: Record, errand: Errand) -> tuple[Record, Result]:
    """Carry out a run, attempt after attempt, and return the newest record and result."""
    deadline = time.time() + desk.manifest.spec.limits.progress_deadline

    def attempt() -> Result:
        nonlocal record
        record = begin_attempt(record, errand)
        save_record(desk.state_dir, record)
        order = order_of(record, desk.manifest.spec, local_cluster(), deadline)
        result = desk.work(order, desk.surroundings)
        record = after_result(record, result, now())
        save_record(desk.state_dir, record)
        return result

    result = _until_it_answers(desk, attempt)
    return record, result


def _until_it_answers(desk: Desk, attempt: Callable[[], Result]) -> Result:
    give_up = time.monotonic() + desk.patience
    stopping = desk.surroundings.stopping
    while True:
        result = attempt()
        left = give_up - time.monotonic()
        if result.outcome is not Outcome.NOT_FINISHED or stopping.is_set() or left <= 0:
            return result
        desk.surroundings.report(f"waiting: {result.message}")
        stopping.wait(min(max(result.retry_after, _SHORTEST_PAUSE), left))
        if stopping.is_set():
            return result
