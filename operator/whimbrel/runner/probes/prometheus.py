"""Prometheus: one value of an instant query."""

import json
import re
import time
from typing import Any, Final
from urllib.parse import unquote

from yarl import URL

from whimbrel.model.probed import longest
from whimbrel.model.release.checked import Verdict
from whimbrel.model.release.health import HealthCheck, PrometheusCheck
from whimbrel.runner.probes.connections import BODY_LIMIT, ERRORS, asked, read_body, told
from whimbrel.runner.probes.found import Found, Probe, compared, unknown
from whimbrel.runner.redact import Redactor

_SINCE: Final = re.compile(r"\{\{\s*\.sinceSwitch\s*\}\}")
_BEFORE: Final = 300  # seconds that stand for it while nothing was migrated or switched yet
_TOO_MUCH: Final = "the query gives more than one series; aggregate it, for example with sum()"


def prometheus_probe(check: HealthCheck, wanted: PrometheusCheck, since: float) -> Probe:
    """Return the probe of a Prometheus check; `since` as `with_time` takes it."""
    clean = Redactor(_secrets(wanted.url)).clean

    async def measure() -> Found:
        # Whole milliseconds: Prometheus takes no fraction of a second ("2.0s" is refused).
        limit = f"{max(1, round(longest(check) * 1000))}ms"
        query = {"query": with_time(wanted.query, since, time.time()), "timeout": limit}
        try:
            url = URL(wanted.url) / "api/v1/query"
            async with asked(url, query=query) as response:
                body = await read_body(response)
        except ERRORS as error:
            return unknown(f"Prometheus: {told(error)}")
        found = _judged(wanted, body, response.status)
        return Found(found.verdict, clean(found.value), clean(found.message))

    return Probe(check, measure, late=Verdict.UNKNOWN)


def with_time(query: str, since: float, now: float) -> str:
    """Return a query with the time since the last change, as PromQL writes it.

    Args:
        query: PromQL with ``{{.sinceSwitch}}``.
        since: Unix seconds of it; 0 before.
        now: Unix seconds.
    """
    seconds = max(1, int(now - since)) if since else _BEFORE
    return _SINCE.sub(f"{seconds}s", query)


def _secrets(url: str) -> set[str]:
    """Return the password of a URL as it stands there, also where the URL cannot be read."""
    login = url.partition("://")[2].rpartition("@")[0]
    user, colon, password = login.partition(":")
    secret = password if colon else user
    return {secret, unquote(secret)}


def _judged(wanted: PrometheusCheck, body: bytes, status: int) -> Found:
    try:
        answer = json.loads(body)
        if status != 200 or answer["status"] != "success":
            return unknown(f"Prometheus answered {status}: {answer['error']}")
        problem, value = _one_value(answer["data"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        if status != 200:
            return unknown(f"Prometheus answered {status}")
        return unknown(_TOO_MUCH if len(body) >= BODY_LIMIT else "this is no answer of Prometheus")
    return unknown(problem) if problem else compared(wanted.expect, value)


def _one_value(data: dict[str, Any]) -> tuple[str, str]:
    """Return what is wrong with an answer, or "", and its only value."""
    kind, result = data["resultType"], data["result"]
    if kind not in ("scalar", "vector"):
        return f"the query gives a {kind}, not one value", ""
    if kind == "vector" and len(result) != 1:
        return (
            _TOO_MUCH if result else "the query gives no value (no such series, or not yet)"
        ), ""
    value = str((result if kind == "scalar" else result[0]["value"])[1])
    if value.lower().lstrip("+-") in ("nan", "inf"):
        return f"the query gives {value}", ""
    return "", value
