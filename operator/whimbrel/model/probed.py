"""Which checks a probe Job measures: those that need no answer of the cluster, and the identity."""

from typing import Final

from whimbrel.model.release.health import CheckType, HealthCheck, HttpCheck, Moment, checks_at
from whimbrel.model.spec import Spec

IDENTITY: Final = "identity"  # name of the check that nobody writes: whose answers come
_TIMEOUT: Final = 5.0  # seconds of one measurement where the author says nothing
_JOB_TIMEOUT: Final = 120.0  # of one that has to pull an image and start a container first
_PACE: Final = 2.0  # seconds from one measurement of it to the next, and the longest one


def moment_of(segment: str) -> Moment | None:
    """Return the moment that a segment measures, or None where it does other work."""
    return next((moment for moment in Moment if moment.value == segment), None)


def longest(check: HealthCheck) -> float:
    """Return the seconds that one measurement may take."""
    if check.timeout is not None:
        return check.timeout
    return _JOB_TIMEOUT if check.type is CheckType.JOB else min(_TIMEOUT, check.interval)


def probed(spec: Spec, moment: Moment) -> tuple[HealthCheck, ...]:
    """Return all that a probe Job measures at a moment; without any it is not needed."""
    identity = identity_check(spec, moment)
    return asked_outside(spec, moment) + ((identity,) if identity else ())


def asked_outside(spec: Spec, moment: Moment) -> tuple[HealthCheck, ...]:
    """Return the author's checks that the controller cannot answer."""
    checks = checks_at(spec.health_checks, moment)
    return tuple(check for check in checks if not check.type.asks_the_cluster)


def asks_database(spec: Spec, moment: Moment) -> bool:
    """Tell whether a check of a moment needs the object's Secret."""
    return any(check.type is CheckType.SQL for check in checks_at(spec.health_checks, moment))


def identity_check(spec: Spec, moment: Moment) -> HealthCheck | None:
    """Return the check that all answers of a switched Service come from green, or None."""
    wanted = spec.strategy.blue_green
    if wanted is None or wanted.identity is None or moment is not Moment.POST_SWITCH:
        return None
    asked = HttpCheck(
        service=wanted.active_service, port=wanted.identity.port, path=wanted.identity.path
    )
    return HealthCheck(
        name=IDENTITY,
        type=CheckType.HTTP,
        when=(moment,),
        http=asked,
        interval=_PACE,
        timeout=_PACE,
    )
