"""The window of a run: from the end of its migration to the end of its soak."""

from typing import Any, Final

from whimbrel.machine.runs import again, at_segment, closed
from whimbrel.machine.segments import AFTER_MIGRATE, segments
from whimbrel.machine.timestamps import precise, rfc3339, unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome
from whimbrel.model.spec import OnFailure, Spec
from whimbrel.model.status import LastResult, RunState, RunStatus

_BACK: Final = frozenset({Segment.SWITCH_BACK, Segment.DRAIN})
_LONGEST: Final = 4096


def is_open_at(run: RunStatus | None, *wanted: Segment) -> bool:
    """Tell whether a run is open at one of some segments."""
    return run is not None and run.state is RunState.OPEN and run.segment in wanted


def at(seen: Observed, *wanted: Segment) -> tuple[RunStatus, Spec] | None:
    """Return run and spec where the run is open at one of some segments, else None."""
    run, spec = seen.status.run, seen.spec
    if run is None or spec is None or not is_open_at(run, *wanted):
        return None
    return run, spec


def in_release(run: RunStatus | None) -> bool:
    """Tell whether a run is past its migration, forward or on its way back."""
    return is_open_at(run, *AFTER_MIGRATE, *_BACK)


def changed(run: RunStatus, **news: Any) -> RunStatus:  # noqa: ANN401  # fields of ReleaseStatus
    """Return the run with another release."""
    return run.model_copy(update={"release": run.release.model_copy(update=news)})


def once_more(seen: Observed, run: RunStatus, **news: Any) -> RunStatus:  # noqa: ANN401  # the same
    """Return the run at the beginning of its current segment."""
    fresh = {"since": precise(seen.now), "broken_since": "", "probed": False, "measured": ()}
    anew = changed(run, **(fresh | {"restarts": {}} | news))
    return again(seen, with_deadline(seen, anew), run.segment)


def with_deadline(seen: Observed, run: RunStatus) -> RunStatus:
    """Return the run with a fresh deadline; a soak has it after its end."""
    assert seen.spec is not None  # noqa: S101  # spec_is_wrong decides where there is none
    end = ends_at(seen.spec, run) if run.segment is Segment.SOAK else seen.now
    deadline = precise(end + seen.spec.limits.progress_deadline)
    return run.model_copy(update={"deadline": deadline})


def turned_back(seen: Observed, spec: Spec, run: RunStatus, why: str) -> RunStatus:
    """Return the run after something turned red: refused, on its way back, or held."""
    red = changed(run, red=why[:_LONGEST], paused="")
    if run.segment is Segment.BASELINE:
        return _refused(seen, red, why)
    if spec.rollback.on_failure is OnFailure.MANUAL:
        return again(seen, red, run.segment)
    return way_back(seen, spec, red)


def way_back(seen: Observed, spec: Spec, run: RunStatus) -> RunStatus:
    """Return the run on its way back: traffic first, then the new version, then the schema."""
    back = segments(spec, Segment.ROLLBACK)
    # A Service that this run never switched stays as it is.
    never = back[0] is Segment.SWITCH_BACK and not run.release.switched
    there = run.model_copy(update={"goal": Segment.ROLLBACK})
    return at_segment(seen, there, spec, back[1] if never else back[0])


def _refused(seen: Observed, run: RunStatus, why: str) -> RunStatus:
    told = f"nothing was done: these checks are red before the migration: {why}"
    last = LastResult(
        segment=run.segment,
        attempt=run.attempt,
        outcome=Outcome.REFUSED,
        reason="BaselineFailed",
        message=told[:_LONGEST],
        command=f"whimbrel retry {seen.name} -n {seen.namespace}",
        at=rfc3339(seen.now),
    )
    return closed(run.model_copy(update={"last": last}))


def ends_at(spec: Spec, run: RunStatus) -> float:
    """Return the Unix seconds at which a soak ends."""
    return max(unix(run.release.since), unix(run.release.watched_since)) + _length(spec)


def soak_left(seen: Observed, spec: Spec, run: RunStatus) -> float:
    """Return the seconds for which a probe measures: a whole soak, whenever its Pod starts.

    Of a paused one it is the rest: once there are answers it begins anew.
    """
    if run.segment is not Segment.SOAK:
        return 0.0
    return max(0.0, ends_at(spec, run) - seen.now) if run.release.paused else _length(spec)


def _length(spec: Spec) -> float:
    options = spec.strategy.blue_green
    return max(spec.soak, options.drain if options is not None else 0.0)
