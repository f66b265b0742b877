"""A soak lasts while it is measured: it begins with its probe, and anew after a gap."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from whimbrel.machine.decisions import Decision, NextAttempt
from whimbrel.machine.release.probing import own_checks
from whimbrel.machine.release.window import at, changed, ends_at, once_more, with_deadline
from whimbrel.machine.timestamps import precise, unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.probed import longest
from whimbrel.model.release.checked import KEPT, Measurement
from whimbrel.model.release.health import HealthCheck, Moment, checks_at
from whimbrel.model.spec import Spec
from whimbrel.model.status import RunStatus

# Seconds that the start of a Pod, or of another operator, may take without changing anything.
ALLOWED: Final = 30.0


def soak_is_measured(seen: Observed) -> Decision | None:
    """Let what nobody has measured be no part of a soak: no time alone promotes."""
    here = at(seen, Segment.SOAK)
    if here is None:
        return None
    run, spec = here
    if _has_gap(seen, spec, run):
        return NextAttempt(once_more(seen, run), "not measured for a while: it begins anew")
    job = seen.current_job()
    started = job.pod.started if job is not None and job.pod is not None else 0.0
    begun = max(unix(run.release.since), unix(run.release.watched_since))
    if run.release.paused or started <= begun + ALLOWED:
        return None
    watched = changed(run, watched_since=precise(started))
    return NextAttempt(with_deadline(seen, watched), "its probe begins now")


def _has_gap(seen: Observed, spec: Spec, run: RunStatus) -> bool:
    """Tell whether a check of ours was not measured for longer than it may take.

    The probe's Pod goes on without us, and measures a whole soak in any case.
    """
    ours = {each.name: each.last for each in own_checks(seen, spec, run)[1]}
    checks = (each for each in checks_at(spec.health_checks, Moment.SOAK) if each.name in ours)
    end = min(seen.now, ends_at(spec, run))
    return any(_misses(check, unix(run.release.since), ours[check.name], end) for check in checks)


def _misses(check: HealthCheck, begun: float, last: Sequence[Measurement], end: float) -> bool:
    made = [at for each in last if (at := unix(each.at)) >= begun]
    # Of many the first ones are no longer known.
    first = [] if len(made) == KEPT else [begun + check.initial_delay]
    times = [min(each, end) for each in (*first, *made, end)]
    most = check.interval + longest(check) + ALLOWED
    return any(later - before > most for before, later in pairwise(times))
