"""Prometheus checks against a real server that scrapes a real application."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app import App, nasty_server
from tests.postgres import free_port
from tests.probe_job import check, checks_of, probe_job, run_here, text_of
from tests.prometheus import IN_URL, PASSWORD, Prometheus, running_prometheus
from tests.runner_process import Answer
from whimbrel.model.release.checked import CheckStatus, State
from whimbrel.runner.probes.prometheus import with_time

pytestmark = pytest.mark.sampled("an answer of Prometheus")

LESS = {"op": "LessOrEqual", "value": "0.01"}
QUICK = {"interval": "500ms", "timeout": "500ms", "unknownThreshold": 2, "failureThreshold": 2}


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with App().running() as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(app: App) -> Iterator[Prometheus]:
    app.queue.set(7)
    app.requests.labels("200").inc(99)
    app.requests.labels("500").inc(1)
    with running_prometheus(app.port) as server:
        server.await_value("shop_requests_total")
        yield server


def asks(url: str, query: str, expect: dict[str, str], **more: Any) -> dict[str, Any]:
    options = {"url": url, "query": query, "expect": expect}
    return check("metric", "Prometheus", options, **(QUICK | more))


def answer_of(folder: Path, wanted: dict[str, Any], **more: Any) -> tuple[Answer, CheckStatus]:
    answer = run_here(probe_job(folder, wanted, **more))
    for secret in (PASSWORD, IN_URL, "p%40w", "p%2540w"):
        assert secret not in text_of(answer)
    return answer, checks_of(answer)["metric"]


@pytest.mark.parametrize(
    ("query", "expect", "state", "words"),
    [
        pytest.param("shop_queue", ("Equal", "7.00"), State.GREEN, "7", id="a number is equal"),
        pytest.param("scalar(shop_queue)", ("Less", "8"), State.GREEN, "7", id="a scalar"),
        pytest.param(
            'sum(shop_requests_total{status="500"}) / sum(shop_requests_total)',
            ("LessOrEqual", "0.01"), State.GREEN, "0.01", id="a ratio at its limit",
        ),
        pytest.param(
            "shop_queue", ("LessOrEqual", "6.999"), State.RED, "7 is not at most 6.999", id="red"
        ),
        pytest.param("nothing_like_it", ("Less", "1"), State.INCONCLUSIVE, "no value", id="empty"),
        pytest.param(
            "shop_requests_total", ("Less", "1"), State.INCONCLUSIVE, "more than one series",
            id="two series",
        ),
        pytest.param("shop_queue * NaN", ("Less", "1"), State.INCONCLUSIVE, "NaN", id="NaN"),
        pytest.param("shop_queue / 0", ("Less", "1"), State.INCONCLUSIVE, "+Inf", id="infinite"),
        pytest.param("-shop_queue / 0", ("Less", "1"), State.INCONCLUSIVE, "-Inf", id="-infinite"),
        pytest.param(
            "shop_queue[{{.sinceSwitch}}]", ("Less", "1"), State.INCONCLUSIVE, "a matrix",
            id="range",
        ),
        pytest.param('"text"', ("Equal", "text"), State.INCONCLUSIVE, "a string", id="a string"),
        pytest.param("sum(", ("Less", "1"), State.INCONCLUSIVE, "answered 400", id="no PromQL"),
        pytest.param(
            "shop_queue", ("Less", "many"), State.INCONCLUSIVE, "cannot be compared", id="no number"
        ),
        pytest.param("shop_queue", ("NotEqual", "many"), State.GREEN, "7", id="texts differ"),
    ],
)  # fmt: skip
def test_verdicts(query, expect, state, *, words, prometheus: Prometheus, tmp_path: Path):
    wanted = asks(prometheus.url, query, dict(zip(("op", "value"), expect, strict=True)))
    _, found = answer_of(tmp_path, wanted)
    last = found.last[-1]
    assert found.state is state, found
    assert words in (last.message or last.value)


def test_it_does_not_look_back_before_the_switch(app: App, prometheus: Prometheus, tmp_path: Path):
    """HC-3: errors from before the migration do not count against what came with it."""
    app.requests.labels("503").inc(500)
    prometheus.await_value('shop_requests_total{status="503"} > 400')
    time.sleep(1.0)  # Prometheus' own time has to pass, there is nothing else to await
    query = 'sum(increase(shop_requests_total{status="503"}[{{.sinceSwitch}}]))'
    since = {"since": time.time() - 1}
    _, found = answer_of(tmp_path, asks(prometheus.url, query, LESS), order=since)
    assert found.state is State.GREEN, found
    long_ago = query.replace("{{.sinceSwitch}}", "{{ .sinceSwitch }}")
    before = {"since": time.time() - 3600}
    wanted = asks(prometheus.url, long_ago.replace("increase", "max_over_time"), LESS)
    job = probe_job(tmp_path, wanted, order=before).next()
    assert checks_of(run_here(job))["metric"].state is State.RED


@pytest.mark.parametrize(
    ("since", "text"),
    [
        pytest.param(963.4, "rate(x[36s])", id="whole seconds, never before"),
        pytest.param(999.99, "rate(x[1s])", id="at least one"),
        pytest.param(2000.0, "rate(x[1s])", id="a clock that is ahead"),
        pytest.param(0.0, "rate(x[300s])", id="before the migration: the last five minutes"),
    ],
)
def test_the_time_since_the_switch(since: float, text: str):
    assert with_time("rate(x[{{.sinceSwitch}}])", since, 1000.0) == text


def test_wrong_login_is_unknown_and_never_shown(prometheus: Prometheus, tmp_path: Path):
    wrong = prometheus.url.replace(IN_URL, "wr%40ng%23pa%25ss")
    answer, found = answer_of(tmp_path, asks(wrong, "shop_queue", LESS))
    assert (answer.code, answer.result["reason"]) == (75, "HealthCheckUnknown")
    assert "answered 401" in found.last[-1].message
    for secret in ("wr%40ng", "wr@ng"):
        assert secret not in text_of(answer)


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://shop:s3cr@t#w:ord@127.0.0.1:{port}", id="# in the password"),
        pytest.param("http://shop:s3cr/t@127.0.0.1:{port}", id="/ in the password"),
        pytest.param("http://shop:s3cr%t@127.0.0.1:{port}", id="% in the password"),
        pytest.param("http://shop:s3crét@127.0.0.1:{port}", id="é in the password"),
        pytest.param("http://shop:s3cr日t@127.0.0.1:{port}", id="日 in the password"),
        pytest.param("http://127.0.0.1:999999/s3cr", id="no port"),
        pytest.param("http://[::1/", id="no address"),
    ],
)
def test_a_url_that_cannot_be_used_is_unknown(url: str, tmp_path: Path):
    wanted = asks(url.format(port=free_port()), "up", LESS)
    answer, found = answer_of(tmp_path, wanted)
    assert answer.result["reason"] == "HealthCheckUnknown", answer
    assert found.last[-1].message.startswith("Prometheus: ")
    assert "s3cr" not in text_of(answer)


JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        pytest.param([JSON + b"<html>"], "no answer of Prometheus", id="HTML"),
        pytest.param([JSON + b"[1]"], "no answer of Prometheus", id="other JSON"),
        pytest.param([JSON + b'{"status":"success"}'], "no answer of Prometheus", id="no data"),
        pytest.param(
            [JSON + b'{"status":"success","data":{"resultType":"vector","result":[{}]}}'],
            "no answer of Prometheus", id="no value",
        ),
        pytest.param(
            [JSON, b'{"status":"success","data":{"resultType":"vector","result":[', b"{}," * 50000],
            "more than one series", id="far too much",
        ),
        pytest.param(
            [b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n<html>"], "answered 502",
            id="a proxy",
        ),
        pytest.param(
            [b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1/login\r\n\r\n"], "answered 302",
            id="a login page",
        ),
        pytest.param([JSON + b"[" * 60000], "no answer of Prometheus", id="deep JSON"),
        pytest.param([], "closed the connection", id="closes"),
    ],
)  # fmt: skip
def test_what_is_no_prometheus_is_unknown(pieces: list[bytes], words: str, tmp_path: Path):
    with nasty_server(*pieces) as port:
        _, found = answer_of(tmp_path, asks(f"http://127.0.0.1:{port}/", "up", LESS))
    assert found.state is State.INCONCLUSIVE
    assert words in found.last[-1].message


def test_a_server_that_hangs_is_unknown(tmp_path: Path):
    with nasty_server(JSON, *[b" "] * 1000, pause=0.2, closes=False) as port:
        _, found = answer_of(tmp_path, asks(f"http://127.0.0.1:{port}", "up", LESS))
    assert {each.message for each in found.last} == {"no answer within 500ms"}
    assert found.state is State.INCONCLUSIVE


def test_a_path_before_the_api_is_kept(app: App, tmp_path: Path):
    app.asked.clear()
    url = f"http://127.0.0.1:{app.port}/tenants/shop/"
    answer_of(tmp_path, asks(url, "up", LESS))
    paths = {path for _, path, _ in app.asked if path != "/metrics"}
    assert paths == {"/tenants/shop/api/v1/query?query=up&timeout=500ms"}
