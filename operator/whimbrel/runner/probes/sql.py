"""SQL: one value of the object's own database, read by a login that is kept from writing."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Final

from whimbrel.model.errors import WhimbrelError
from whimbrel.model.probed import longest
from whimbrel.model.release.checked import Verdict
from whimbrel.model.release.health import HealthCheck, SqlCheck
from whimbrel.runner.mounts import read_target
from whimbrel.runner.probes.found import Found, Place, Probe, compared, unknown
from whimbrel.runner.redact import Redactor
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.session import Manners, Row
from whimbrel.runner.sessions import application_name, open_session, sorted_error

# Queries of one check that may hang in a silent network; further ones would take connections.
_HANGING: Final = 3


def sql_probe(check: HealthCheck, wanted: SqlCheck, place: Place) -> Probe:
    """Return the probe of an SQL check."""
    free = threading.BoundedSemaphore(_HANGING)
    # No name of the run's: its fence and its watchdog must not take us for the migrator.
    manners = Manners(application_name("probe", place.order.owner()), longest(check))

    def in_thread() -> Found:
        if not free.acquire(blocking=False):
            return unknown("earlier queries still wait for the server")
        try:
            return _measured(wanted, place, manners)
        finally:
            free.release()

    async def measure() -> Found:
        return await asyncio.get_running_loop().run_in_executor(None, in_thread)

    return Probe(check, measure, late=Verdict.UNKNOWN)


def _measured(wanted: SqlCheck, place: Place, manners: Manners) -> Found:
    try:
        # Each time anew: the Secret may come, or change, while we measure.
        target = read_target(place.order.spec, place.root)
    except WhimbrelError as error:
        return unknown(error.message)
    clean = Redactor([target.password]).clean
    try:
        with open_session(target, manners) as session:
            rows = session.read(wanted.query, manners.lock_timeout)
    except WhimbrelError as error:
        return unknown(clean(error.message))
    except SERVER_ERRORS as error:
        return unknown(clean(sorted_error(error, "the query failed", clean).message))
    problem, value = _one_value(rows)
    if problem:
        return unknown(problem)
    return compared(wanted.expect, clean(value))


def _one_value(rows: Sequence[Row]) -> tuple[str, str]:
    """Return what is wrong with the rows, or "", and the only value."""
    if len(rows) != 1:
        return f"the query gives {'no row' if not rows else 'more than one row'}, not one", ""
    if len(rows[0]) != 1:
        return f"the query gives {len(rows[0])} columns, not one", ""
    (value,) = rows[0]
    return ("the query gives NULL", "") if value is None else ("", _text(value))


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
