"""Judges health checks: three-valued, by what was measured in a row, flapping included.

The same function for the probe Job, which counts in its Pod, and for the controller.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from whimbrel.model.probed import longest
from whimbrel.model.release.checked import KEPT, CheckStatus, Measurement, State, Verdict
from whimbrel.model.release.health import HealthCheck, Moment, OnFail

# Failures among the last measurements that are red although a pass came in between each time.
FLAPPING: Final = KEPT // 2
# Factor on the shortest time that a check needs for its verdict: later it is inconclusive.
PATIENCE: Final = 3


@dataclass(frozen=True)
class Tally:
    """What one check has measured at one moment.

    Attributes:
        passes: Passes in a row, the newest included. A measurement without an answer breaks it.
        failures: Failures in a row; a measurement without an answer neither adds nor breaks.
        unknowns: Measurements without an answer in a row.
        last: The last ten, oldest first.
    """

    passes: int = 0
    failures: int = 0
    unknowns: int = 0
    last: tuple[Measurement, ...] = ()


def counted(tally: Tally, news: Measurement) -> Tally:
    """Return the tally with one measurement more."""
    last = (*tally.last, news)[-KEPT:]
    match news.verdict:
        case Verdict.PASSED:
            return Tally(passes=tally.passes + 1, last=last)
        case Verdict.FAILED:
            return Tally(failures=tally.failures + 1, last=last)
        case Verdict.UNKNOWN:
            return replace(tally, passes=0, unknowns=tally.unknowns + 1, last=last)


def tally_of(measurements: Sequence[Measurement]) -> Tally:
    """Return the tally of measurements, oldest first."""
    tally = Tally()
    for each in measurements:
        tally = counted(tally, each)
    return tally


def state_of(check: HealthCheck, tally: Tally, *, over: bool) -> State:
    """Return the state of one check.

    Args:
        check: Its thresholds.
        tally: What was measured.
        over: The window of a soak is over, or there is none.
    """
    if tally.failures >= check.failure_threshold or _flaps(check, tally):
        return State.RED
    if tally.unknowns >= check.unknown_threshold:
        return State.INCONCLUSIVE
    return State.GREEN if over and tally.passes >= check.success_threshold else State.OPEN


def _flaps(check: HealthCheck, tally: Tally) -> bool:
    failed = sum(1 for each in tally.last if each.verdict is Verdict.FAILED)
    return len(tally.last) == KEPT and failed >= max(FLAPPING, check.failure_threshold)


def patience(check: HealthCheck) -> float:
    """Return the seconds after which a check outside of a soak is inconclusive."""
    most = check.success_threshold + check.failure_threshold + check.unknown_threshold
    return check.initial_delay + PATIENCE * most * max(check.interval, longest(check))


def together(checks: Sequence[tuple[HealthCheck, State]]) -> State:
    """Return what all checks say: one that asks for a rollback decides at once."""
    wanted = [_asked(check, state) for check, state in checks]
    for decisive in (State.RED, State.INCONCLUSIVE, State.OPEN):
        if decisive in wanted:
            return decisive
    return State.GREEN


def may_turn_red(check: HealthCheck, tally: Tally, state: State) -> bool:
    """Tell whether a check may yet ask for a rollback: it is not well, or hardly measured."""
    is_well = tally.passes > 0 and len(tally.last) == KEPT
    asks = OnFail.ROLLBACK in (check.on_fail, check.on_unknown)
    return asks and state is State.OPEN and not is_well


def _asked(check: HealthCheck, state: State) -> State:
    """Return what a check's state amounts to, by what its author asks for."""
    if state not in (State.RED, State.INCONCLUSIVE):
        return state
    asked = check.on_fail if state is State.RED else check.on_unknown
    return {
        OnFail.ROLLBACK: State.RED,
        OnFail.PAUSE: State.INCONCLUSIVE,
        OnFail.IGNORE: State.GREEN,
    }[asked]


def shown(check: HealthCheck, moment: Moment, tally: Tally, state: State) -> CheckStatus:
    """Return a check as status shows it."""
    return CheckStatus(
        name=check.name, moment=moment, state=state, failures=tally.failures, last=tally.last
    )


def why(checks: Sequence[CheckStatus], state: State) -> str:
    """Return what decided, as a sentence: the checks in a state, with their last measurements."""
    told = [_told(check) for check in checks if check.state is state]
    return "; ".join(told)


def _told(check: CheckStatus) -> str:
    kept = [each for each in check.last if each.verdict is not Verdict.PASSED][-3:]
    words = ", ".join(_words(each) for each in kept) or "no measurement"
    return f"{check.name} ({words})"


def _words(measurement: Measurement) -> str:
    what = measurement.message or measurement.value or measurement.verdict.value
    return f"{what} at {measurement.at}"
