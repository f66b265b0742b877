"""HTTP and TCP: what answers, as a client inside the cluster sees it."""

import asyncio
from collections import Counter
from typing import Final

from yarl import URL

from whimbrel.model.release.health import HealthCheck, HttpCheck, Scheme, TcpCheck
from whimbrel.runner.probes.connections import ERRORS, asked, read_body, told
from whimbrel.runner.probes.found import Found, Measure, Probe, failed, passed

_ASKED: Final = 5  # connections for one measurement of the identity: a Service spreads them


def http_probe(check: HealthCheck, wanted: HttpCheck) -> Probe:
    """Return the probe of an HTTP check."""
    return Probe(check, _asking(wanted))


def tcp_probe(check: HealthCheck, wanted: TcpCheck) -> Probe:
    """Return the probe of a TCP check."""
    return Probe(check, _connecting(wanted))


def _asking(wanted: HttpCheck) -> Measure:
    needle = wanted.contains.encode()

    async def measure() -> Found:
        try:
            async with asked(url_of(wanted), host=wanted.host) as response:
                value = str(response.status)
                if not wanted.status_from <= response.status <= wanted.status_to:
                    span = f"{wanted.status_from} to {wanted.status_to}"
                    return failed(f"answered {value}, not {span}", value)
                if needle and needle not in await read_body(response, needle):
                    return failed(f"the body does not contain {wanted.contains!r}", value)
                return passed(value)
        except ERRORS as error:
            return failed(told(error))

    return measure


def url_of(wanted: HttpCheck) -> URL:
    """Return the URL of a check.

    Raises:
        ValueError: Its host is none.
    """
    scheme = "https" if wanted.scheme is Scheme.HTTPS else "http"
    place = URL.build(scheme=scheme, host=wanted.service, port=wanted.port)
    # Joined as text: a query belongs to the path, and "//other" or "@other" leads nowhere else.
    path = wanted.path.removeprefix("/")
    return URL(f"{place.origin()}/{path}")


def _connecting(wanted: TcpCheck) -> Measure:
    async def measure() -> Found:
        try:
            _, writer = await asyncio.open_connection(wanted.service, wanted.port)
        except ERRORS as error:
            return failed(told(error))
        writer.close()
        return passed("connected")

    return measure


def identity_probe(check: HealthCheck, asked_of: HttpCheck, header: str, wanted: str) -> Probe:
    """Return the probe that all answers of a Service name one side.

    Args:
        check: As `model.probed.identity_check` makes it.
        asked_of: Its options.
        header: Which header of the answers is read.
        wanted: What each must say.
    """
    url = url_of(asked_of)

    async def measure() -> Found:
        sides = Counter(await asyncio.gather(*(_side(url, header) for _ in range(_ASKED))))
        value = ", ".join(f"{count} x {side}" for side, count in sides.most_common())
        if sides[wanted] == _ASKED:
            return passed(value)
        return failed(f"not all answers say {wanted}: {value}", value)

    return Probe(check, measure)


async def _side(url: URL, header: str) -> str:
    try:
        async with asked(url) as response:
            return response.headers.get(header, f"no header {header}")
    except ERRORS as error:
        return told(error)
