"""Checks that the controller answers from what it sees: workloads, each at its own interval.

The measurements are kept in memory. After a restart a check begins to count anew, which can only
make a verdict later.
"""

from dataclasses import dataclass, field, replace

from whimbrel.machine.release.measure import measure_workload
from whimbrel.machine.segments import PROBES
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.release.checked import Measurement
from whimbrel.model.release.health import HealthCheck, checks_at
from whimbrel.model.status import RunState, RunStatus

KEPT = 100  # measurements of one check: as many as a threshold may ask for


@dataclass
class Series:
    """What one check has measured in one segment.

    Attributes:
        restarts: Of the workload's containers when the segment began, or None.
    """

    moment: tuple[str, str, str]
    measurements: list[Measurement] = field(default_factory=list)
    newest: float = 0.0
    restarts: int | None = None


Memory = dict[tuple[str, str], dict[str, Series]]  # by object, then by check


def with_measurements(memory: Memory, seen: Observed) -> Observed:
    """Measure what is due, and add what was measured in the current segment."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or run.state is RunState.CLOSED or run.segment not in PROBES:
        return seen
    checks = checks_at(spec.health_checks, PROBES[run.segment])
    mine = [check for check in checks if check.workload is not None]
    return replace(
        seen, measured={check.name: _measured(memory, seen, run, check) for check in mine}
    )


def _measured(
    memory: Memory, seen: Observed, run: RunStatus, check: HealthCheck
) -> tuple[Measurement, ...]:
    moment = (run.id, str(run.segment), run.release.since)
    mine = memory.setdefault((seen.namespace, seen.name), {})
    series = mine.get(check.name)
    if series is None or series.moment != moment:
        series = mine[check.name] = Series(moment)
    begins = unix(run.release.since) + check.initial_delay
    if seen.now >= max(begins, series.newest + check.interval):
        _measure(series, seen, check)
    return tuple(series.measurements)


def _measure(series: Series, seen: Observed, check: HealthCheck) -> None:
    assert check.workload is not None  # noqa: S101  # only those are measured here
    found = seen.workloads.get(check.workload.ref.told())
    if series.restarts is None and found is not None:
        series.restarts = found.restarts
    news = measure_workload(check.workload, found, series.restarts or 0, seen.now)
    series.measurements = [*series.measurements, news][-KEPT:]
    series.newest = seen.now
