"""Checks that the controller answers from what it sees: workloads, each at its own interval.

The measurements are kept in memory. After a restart the last ones of status are where it goes on:
what was ill stays so, and a gap shows.
"""

from dataclasses import dataclass, field, replace
from math import inf

from whimbrel.machine.release.measure import measure_workload
from whimbrel.machine.segments import PROBES
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.release.checked import Measurement
from whimbrel.model.release.health import HealthCheck, checks_at
from whimbrel.model.status import RunState, RunStatus

Key = tuple[str, str, str]  # run, segment, and when that began
KEPT = 100  # measurements of one check: as many as a threshold may ask for


@dataclass
class Series:
    """What one check has measured in one segment.

    Attributes:
        due: When it is measured again, Unix seconds.
    """

    moment: Key
    due: float
    measurements: list[Measurement] = field(default_factory=list)


Memory = dict[tuple[str, str], dict[str, Series]]  # by object, then by check


def with_measurements(memory: Memory, seen: Observed) -> Observed:
    """Measure what is due, and add what was measured in the current segment."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or run.state is RunState.CLOSED or run.segment not in PROBES:
        return seen
    checks = checks_at(spec.health_checks, PROBES[run.segment])
    made = {
        check.name: _measured(memory, seen, run, check)
        for check in checks
        if check.workload is not None
    }
    return replace(
        seen,
        measured={name: tuple(series.measurements) for name, series in made.items()},
        next_measurement=min((series.due for series in made.values()), default=inf),
    )


def _measured(memory: Memory, seen: Observed, run: RunStatus, check: HealthCheck) -> Series:
    moment = (run.id, str(run.segment), run.release.since)
    mine = memory.setdefault((seen.namespace, seen.name), {})
    series = mine.get(check.name)
    if series is None or series.moment != moment:
        series = mine[check.name] = _kept(seen, run, check, moment)
    if seen.now >= series.due:
        _measure(series, seen, run, check)
    return series


def _kept(seen: Observed, run: RunStatus, check: HealthCheck, moment: Key) -> Series:
    """Return what status has of the current segment: nothing, or what was before a restart."""
    since, me = unix(run.release.since), (check.name, run.segment)
    shown = (each.last for each in seen.status.checks if (each.name, each.moment) == me)
    last = [each for each in next(shown, ()) if unix(each.at) >= since]
    due = unix(last[-1].at) + check.interval if last else since + check.initial_delay
    return Series(moment, due, last)


def _measure(series: Series, seen: Observed, run: RunStatus, check: HealthCheck) -> None:
    assert check.workload is not None  # noqa: S101  # only those are measured here
    found = seen.workloads.get(check.workload.ref.told())
    before = run.release.restarts.get(check.name, found.restarts if found is not None else 0)
    news = measure_workload(check.workload, found, before, seen.now)
    series.measurements = [*series.measurements, news][-KEPT:]
    series.due = seen.now + check.interval
