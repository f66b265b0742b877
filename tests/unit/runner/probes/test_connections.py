"""HTTP, TCP and identity against real servers on loopback, good and nasty ones."""

import asyncio
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from tests.app import App, nasty_server
from tests.postgres import free_port
from whimbrel.model.release.checked import State, Verdict, pack_checks, unpack_checks
from whimbrel.model.release.health import HealthCheck, HttpCheck, Moment, TcpCheck
from whimbrel.runner.probes import watch as watching
from whimbrel.runner.probes.found import Found, Probe
from whimbrel.runner.probes.http import http_probe, identity_probe, tcp_probe, url_of

OK = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def app():
    with App().running() as running:
        yield running


def http(port: int, *, timeout: float = 1.0, **more: Any) -> Probe:
    wanted = HttpCheck.model_validate({"service": "127.0.0.1", "port": port} | more)
    check = HealthCheck(
        name="api", type="HTTP", when=("Soak",), http=wanted, timeout=timeout, interval=10
    )
    return http_probe(check, wanted)


def measured(probe: Probe) -> Found:
    """Measure once, within the time-out."""
    return asyncio.run(watching._in_time(probe))


@pytest.mark.parametrize(
    ("status", "more", "verdict", "message"),
    [
        pytest.param(200, {}, "Pass", "", id="well"),
        pytest.param(299, {}, "Pass", "", id="the last that is well"),
        pytest.param(503, {}, "Fail", "answered 503, not 200 to 299", id="ill"),
        pytest.param(302, {}, "Fail", "answered 302, not 200 to 299", id="a redirect is an answer"),
        pytest.param(302, {"statusTo": 399}, "Pass", "", id="a redirect may be well"),
        pytest.param(404, {"statusFrom": 404, "statusTo": 404}, "Pass", "", id="404 is wanted"),
        pytest.param(200, {"contains": "is well"}, "Pass", "", id="contains"),
        pytest.param(200, {"contains": "ä"}, "Fail", "the body does not contain 'ä'", id="lacks"),
    ],
)
def test_http_verdicts(app: App, status: int, more: dict[str, Any], verdict: str, message: str):
    app.status, app.headers = status, {"Location": "/elsewhere"}
    found = measured(http(app.port, **more))
    assert (found.verdict.value, found.value, found.message) == (verdict, str(status), message)
    assert [path for _, path, _ in app.asked] == ["/"]


def test_each_measurement_is_a_new_connection_with_our_headers(app: App):
    probe = http(app.port, host="shop.example.org", path="/health?x=1&y=a b#no")
    for _ in range(3):
        assert measured(probe).verdict is Verdict.PASSED
    assert len({client for client, _, _ in app.asked}) == 3
    _, path, headers = app.asked[0]
    assert path in {"/health?x=1&y=a+b", "/health?x=1&y=a%20b"}
    assert (headers["Host"], headers["User-Agent"]) == ("shop.example.org", "whimbrel")


@pytest.mark.parametrize("path", ["@evil/x", "//evil/x", ":80@evil/", "\\evil", "../x", "?q=1"])
def test_a_path_leads_to_no_other_host(path: str):
    url = url_of(HttpCheck(service="shop", port=8080, path=path))
    assert (url.host, url.port, url.user) == ("shop", 8080, None)


@pytest.mark.parametrize(
    "service", ["a b", "x@evil", "evil/", "evil#", "a\nb", "..", "é" * 90, "x" * 253, "[::1", "%"]
)
def test_a_service_that_is_no_host_fails_and_breaks_nothing(service: str, app: App):
    found = measured(http(app.port, service=service, timeout=5))
    assert found.verdict is Verdict.FAILED
    assert found.message
    assert not app.asked


def test_a_header_cannot_be_smuggled_in(app: App):
    found = measured(http(app.port, host="shop\r\nX-Evil: 1"))
    assert found.verdict is Verdict.FAILED
    assert not app.asked


@pytest.mark.parametrize(
    ("pieces", "more", "message"),
    [
        pytest.param([], {}, "it closed the connection", id="closes at once"),
        pytest.param([b"SSH-2.0-OpenSSH\r\n"], {}, "does not answer as HTTP", id="no HTTP"),
        pytest.param([b"HTTP/1.1 999999 X\r\n\r\n"], {}, "does not answer as HTTP", id="no status"),
        pytest.param(
            [OK + b"Content-Length: 99\r\n\r\nwell"], {"contains": "very well"},
            "closed the connection", id="breaks off",
        ),
        pytest.param(
            [OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], {"contains": "very well"},
            "", id="a broken chunk",
        ),
        pytest.param(
            [OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nwell"],
            {"contains": "very well"}, "", id="gzip that is none",
        ),
        pytest.param([OK, b"X: " + b"y" * 100_000], {}, "does not answer", id="a long header"),
    ],
)  # fmt: skip
def test_nasty_answers_fail_in_a_sentence(pieces: list[bytes], more: dict[str, Any], message: str):
    with nasty_server(*pieces) as port:
        found = measured(http(port, **more))
    assert found.verdict is Verdict.FAILED
    assert message in found.message
    assert found.message


@pytest.mark.parametrize(
    ("pieces", "pause"),
    [
        pytest.param([], 0, id="says nothing"),
        pytest.param([bytes([each]) for each in OK], 0.3, id="drips its status"),
        pytest.param([OK, *[b"X: y\r\n"] * 100], 0.2, id="headers without end"),
        pytest.param(
            [OK + b"Content-Length: 99999\r\n\r\n", *[b"x"] * 100], 0.2, id="drips its body"
        ),
    ],
)
def test_whoever_hangs_costs_the_timeout(pieces: list[bytes], pause: float):
    with nasty_server(*pieces, pause=pause, closes=False) as port:
        begun = time.monotonic()
        found = measured(http(port, timeout=0.5, contains="well"))
        assert time.monotonic() - begun < 1.0
    assert (found.verdict.value, found.message) == ("Fail", "no answer within 500ms")


def test_64_kib_of_a_body_are_read_and_a_match_ends_the_reading():
    endless = [b"x" * 8192] * 16 + [b"needle"] + [b"y" * 65536] * 50
    with nasty_server(OK + b"\r\n", *endless) as port:
        found = measured(http(port, contains="needle"))
        assert found.message == "the body does not contain 'needle'"
    dripping = [OK + b"\r\n", b"nee", b"dle", *[b"."] * 100]
    with nasty_server(*dripping, pause=0.1, closes=False) as port:
        assert measured(http(port, contains="needle")).verdict is Verdict.PASSED


def test_a_bomb_of_compression_is_not_unpacked():
    packed = subprocess.run(
        ["gzip", "-9"], input=b"\0" * 50_000_000, capture_output=True, check=True
    ).stdout
    head = OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with nasty_server(head + packed) as port:
        found = measured(http(port, contains="well", timeout=5))
    assert found.verdict is Verdict.FAILED


@settings(max_examples=60)
@given(st.binary(max_size=200), st.booleans())
def test_whatever_bytes_come_nothing_breaks(noise: bytes, is_http: bool):
    with nasty_server((OK if is_http else b"") + noise) as port:
        found = measured(http(port, contains="all is well", timeout=1))
    assert found.verdict is Verdict.FAILED
    assert found.message


def test_nobody_there():
    assert measured(http(free_port())).message == "nothing listens there"
    unknown = measured(http(80, service="no-such-service.invalid", timeout=9))
    assert (unknown.verdict.value, unknown.message) == ("Fail", "the host name is not known")


def test_tls_is_verified(tmp_path: Path):
    """A certificate that nobody signed is refused; the same server without TLS is not asked."""
    made = tmp_path / "pair.pem"
    words = ["-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", *words, "-keyout", made, "-out", tmp_path / "cert.pem"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", made)
    with nasty_server(OK + b"\r\n") as plain:
        assert measured(http(plain, scheme="HTTPS")).message == "it does not speak TLS"
    app = App()
    app.tls = context
    with app.running():
        found = measured(http(app.port, scheme="HTTPS"))
    assert "certificate is not accepted" in found.message
    assert not app.asked


def tcp(service: str, port: int) -> Probe:
    wanted = TcpCheck(service=service, port=port)
    check = HealthCheck(name="tcp", type="TCP", when=("Soak",), tcp=wanted, timeout=0.5)
    return tcp_probe(check, wanted)


def test_tcp_verdicts(app: App):
    assert measured(tcp("127.0.0.1", app.port)) == Found(Verdict.PASSED, "connected")
    refused = measured(tcp("127.0.0.1", free_port()))
    assert (refused.verdict.value, refused.message) == ("Fail", "nothing listens there")
    assert measured(tcp("é" * 90, 80)).verdict is Verdict.FAILED
    assert not app.asked


def identity(port: int) -> Probe:
    wanted = HttpCheck(service="127.0.0.1", port=port)
    check = HealthCheck(
        name="identity", type="HTTP", when=("PostSwitch",), http=wanted, interval=2, timeout=2
    )
    return identity_probe(check, wanted, "X-Track", "green")


def test_identity_wants_every_answer_over_new_connections(app: App):
    app.headers = {"X-Track": "green"}
    assert measured(identity(app.port)) == Found(Verdict.PASSED, "5 x green")
    assert len({client for client, _, _ in app.asked}) == 5
    app.headers = {"X-Track": "blue"}
    found = measured(identity(app.port))
    assert (found.verdict.value, found.value) == ("Fail", "5 x blue")
    assert found.message == "not all answers say green: 5 x blue"
    app.headers = {}
    assert "5 x no header X-Track" in measured(identity(app.port)).message
    assert "nothing listens there" in measured(identity(free_port())).message


def test_what_others_write_travels_as_one_plain_line():
    """A header of bytes that are no text, with what would colour a terminal."""
    with nasty_server(OK + b"X-Track: \xff\x1b[31m\tgreen\r\n\r\n") as port:
        ending = watching.watch(
            [identity(port)], watching.Window(Moment.POST_SWITCH), threading.Event(), lambda _: None
        )
    (check,) = unpack_checks(pack_checks(ending.checks))
    assert check.state is State.RED
    assert check.last[-1].value == "5 x ??[31m green"


def test_one_answer_of_the_other_side_is_enough_to_fail(app: App):
    """As behind a Service whose endpoints are not all switched."""
    app.headers = {"X-Track": "green"}
    lock, turn = threading.Lock(), iter(["blue", *["green"] * 9])

    def answers() -> dict[str, str]:
        with lock:
            return {"X-Track": next(turn)}

    app.each_time = answers
    assert measured(identity(app.port)).value == "4 x green, 1 x blue"
    assert measured(identity(app.port)).verdict is Verdict.PASSED
