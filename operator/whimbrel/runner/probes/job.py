"""One attempt of a probe Job: what it measures, and what its end says."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from whimbrel.machine.release.judge import why
from whimbrel.model.order import Order
from whimbrel.model.probed import asked_outside, identity_check
from whimbrel.model.release.checked import CheckStatus, State, checks_line, pack_checks
from whimbrel.model.release.health import HealthCheck, Moment
from whimbrel.model.release.strategy import Side
from whimbrel.model.result import Outcome, Result
from whimbrel.runner.findings import Findings
from whimbrel.runner.probes.found import Place, Probe
from whimbrel.runner.probes.http import http_probe, identity_probe, tcp_probe
from whimbrel.runner.probes.prometheus import prometheus_probe
from whimbrel.runner.probes.sql import sql_probe
from whimbrel.runner.probes.watch import Ending, Window, watch

log = logging.getLogger(__name__)

_ENDS: Final = {
    State.GREEN: (Outcome.DONE, "Healthy"),
    State.RED: (Outcome.FAILED, "HealthCheckFailed"),
    State.INCONCLUSIVE: (Outcome.NOT_FINISHED, "HealthCheckUnknown"),
    State.OPEN: (Outcome.NOT_FINISHED, "Stopped"),
}


def probe(order: Order, moment: Moment, root: Path, stopping: threading.Event) -> Result:
    """Measure the checks of a moment until they say something together.

    Args:
        order: What the Job is told.
        moment: The moment that its segment stands for.
        root: Folder of the mounts.
        stopping: Set when the Pod is to end.
    """
    probes = probes_of(order, moment, root)
    # From here on, whenever that is: what nobody has measured is no soak.
    ending = watch(probes, Window(moment, time.time() + order.soak), stopping, _report)
    outcome, reason = _ENDS[ending.state]
    return Findings(order).result(
        outcome, reason, _sentence(ending, moment), checks=pack_checks(ending.checks)
    )


def probes_of(order: Order, moment: Moment, root: Path) -> list[Probe]:
    """Return how the checks of a moment are measured, the identity last."""
    place = Place(order, root)
    probes = [_probe_of(check, place) for check in asked_outside(order.spec, moment)]
    return probes + _identity_probes(order, moment)


def _probe_of(check: HealthCheck, place: Place) -> Probe:
    if check.http is not None:
        return http_probe(check, check.http)
    if check.tcp is not None:
        return tcp_probe(check, check.tcp)
    if check.sql is not None:
        return sql_probe(check, check.sql, place)
    if check.prometheus is not None:
        return prometheus_probe(check, check.prometheus, place.order.since)
    raise TypeError(f"a check of type {check.type} came to the probe Job")


def _identity_probes(order: Order, moment: Moment) -> list[Probe]:
    check, wanted = identity_check(order.spec, moment), order.spec.strategy.blue_green
    if check is None or check.http is None or wanted is None or wanted.identity is None:
        return []
    side = wanted.identity_of(Side.GREEN)
    return [identity_probe(check, check.http, wanted.identity.header, side)]


def _report(checks: Sequence[CheckStatus]) -> None:
    log.info("%s", checks_line(checks))


def _sentence(ending: Ending, moment: Moment) -> str:
    if ending.state is State.OPEN:
        return f"{moment}: stopped before the checks said anything together"
    if ending.state is State.GREEN:
        return f"{moment}: {len(ending.checks)} health checks passed"
    told = (why(ending.decisive, state) for state in (State.RED, State.INCONCLUSIVE))
    return f"{moment}: " + "; ".join(filter(None, told))
