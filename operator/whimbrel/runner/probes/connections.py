"""New connections for each measurement, and their errors as sentences that name no address."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

BODY_LIMIT: Final = 64 * 1024  # bytes of an answer that are read
# What a measurement over the network raises. UnicodeError, a ValueError, is what a host name
# raises that no resolver takes; so are the errors of a URL, a header, or a password in a URL.
ERRORS: Final = (aiohttp.ClientError, OSError, ValueError)
_UNANSWERED: Final = "it closed the connection before the answer was complete"
# The first class that fits; the libraries' own texts may hold a part of a URL.
_SENTENCES: Final[tuple[tuple[type[BaseException], str], ...]] = (
    (
        aiohttp.ClientConnectorCertificateError,
        "the server's certificate is not accepted (authority, name or date)",
    ),
    (ssl.SSLCertVerificationError, "the server's certificate is not accepted"),
    (aiohttp.ClientSSLError, "it does not speak TLS"),
    (ssl.SSLError, "it does not speak TLS"),
    (aiohttp.ClientConnectorDNSError, "the host name is not known"),
    (socket.gaierror, "the host name is not known"),
    (ConnectionRefusedError, "nothing listens there"),
    (aiohttp.ServerDisconnectedError, _UNANSWERED),
    (aiohttp.ClientPayloadError, _UNANSWERED),
    (ConnectionResetError, _UNANSWERED),
    (aiohttp.ClientResponseError, "it does not answer as HTTP wants it"),
    (ValueError, "its address cannot be used; correct host, path or login"),
)


@asynccontextmanager
async def asked(
    url: URL, *, host: str = "", query: dict[str, str] | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Send one GET over a connection of its own; redirects are not followed.

    Args:
        url: Where; a login in it is sent.
        host: Host header, and the name that the certificate must have; "" for the URL's own.
        query: Parameters, instead of those of the URL.

    Raises:
        ClientError: As `ERRORS` lists; `told` says what it means.
    """
    headers = {"User-Agent": "whimbrel", "Accept-Encoding": "identity"}
    connector = aiohttp.TCPConnector(force_close=True, use_dns_cache=False)
    # Whoever measures limits the time, of all that hangs.
    no_limit = aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=no_limit) as session,
        session.get(
            url.update_query(query) if query else url,
            headers=headers | ({"Host": host} if host else {}),
            server_hostname=host or None,
            allow_redirects=False,
        ) as response,
    ):
        yield response


async def read_body(response: aiohttp.ClientResponse, until: bytes = b"") -> bytes:
    """Return the beginning of an answer, `BODY_LIMIT` bytes at most.

    Args:
        response: The answer.
        until: Text after which nothing more has to be read; b"" for none.
    """
    body = b""
    while len(body) < BODY_LIMIT:
        piece = await response.content.read(BODY_LIMIT - len(body))
        body += piece
        if not piece or (until and until in body):
            break
    return body


def told(error: BaseException) -> str:
    """Return what an error means, as a sentence without any part of an address."""
    known = next((text for kind, text in _SENTENCES if isinstance(error, kind)), "")
    if known:
        return known
    cause = getattr(error, "os_error", None) or error.__cause__
    if isinstance(cause, OSError) and cause is not error:
        return told(cause)
    return "it cannot be reached" if isinstance(error, OSError) else type(error).__name__
