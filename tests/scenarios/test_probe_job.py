"""The probe Job as a process: what it measures, when it ends, and what it says."""

import json
import signal
import time
from pathlib import Path

import pytest

from tests.app import App, nasty_server
from tests.postgres import free_port
from tests.probe_job import check, checks_of, http, live_lines, probe_job
from tests.runner_process import RunnerProcess
from whimbrel.model.checked import State, Verdict


@pytest.fixture
def app():
    with App().running() as running:
        yield running


def test_green_ends_at_once_and_shows_every_check(app: App, tmp_path: Path):
    answer = probe_job(
        tmp_path,
        http("api", app.port, path="/healthz?deep=1", contains="well"),
        check("port", "TCP", {"service": "127.0.0.1", "port": app.port}),
        http("slow-start", app.port, initialDelay="400ms", successThreshold=2),
    ).run_to_end()
    assert (answer.code, answer.result["outcome"], answer.result["reason"]) == (
        0, "Done", "Healthy",
    ), answer  # fmt: skip
    found = checks_of(answer)
    assert list(found) == ["api", "port", "slow-start"]
    assert {each.state for each in found.values()} == {State.GREEN}
    assert {each.moment for each in found.values()} == {"PostMigrate"}
    assert found["api"].last[-1].value == "200"
    assert len(found["slow-start"].last) == 2
    assert {path for _, path, _ in app.asked} == {"/healthz?deep=1", "/"}


def test_red_says_which_and_why_and_the_live_lines_led_there(app: App, tmp_path: Path):
    app.status = 503
    answer = probe_job(tmp_path, http("api", app.port), http("other", app.port, statusTo=599))
    answer = answer.run_to_end()
    assert (answer.code, answer.result["outcome"]) == (1, "Failed"), answer
    assert answer.result["reason"] == "HealthCheckFailed"
    assert "api (answered 503, not 200 to 299 at 2" in answer.result["message"]
    assert "other" not in answer.result["message"]
    assert checks_of(answer)["api"].failures == 3
    lines = live_lines(answer)
    assert len(lines) >= 3
    assert {each.name: each for each in lines[-1]} == checks_of(answer)
