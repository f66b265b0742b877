"""The probe Job as a process: what it measures, when it ends, and what it says."""

import os
import signal
import socket
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.app import App, nasty_server
from tests.postgres import free_port
from tests.probe_job import check, checks_of, http, live_lines, probe_job, wait_for_line
from whimbrel.model.release.checked import State, Verdict

pytestmark = pytest.mark.sampled("a probe Job")


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


def test_a_soak_goes_on_until_its_end_and_no_further(app: App, tmp_path: Path):
    job = probe_job(tmp_path, http("api", app.port), segment="Soak", order={"soak": 5})
    answer = job.run_to_end()
    assert answer.result["reason"] == "Healthy", answer
    begun = seconds_of(live_lines(answer)[0][0].last[0].at)
    assert 5 <= time.time() - begun < 9  # of the first one the second is known
    assert len(checks_of(answer)["api"].last) == 10


def test_red_ends_a_soak_at_once(app: App, tmp_path: Path):
    job = probe_job(tmp_path, http("api", app.port), segment="Soak", order={"soak": 600})
    running = job.start()
    wait_for_line(running, lambda found: len(found["api"].last) >= 2)
    app.status = 500
    answer = running.finish()
    assert answer.result["reason"] == "HealthCheckFailed", answer
    assert checks_of(answer)["api"].last[0].verdict is Verdict.PASSED


@pytest.mark.parametrize("segment", ["PostMigrate", "Soak"])
def test_a_monitoring_that_is_down_hides_no_application_that_is_ill(
    segment: str, app: App, tmp_path: Path
):
    """The check without an answer is the quicker one: it must not end the Job of the other."""
    app.status = 500
    nowhere = {"url": f"http://127.0.0.1:{free_port()}", "query": "up"}
    nowhere["expect"] = {"op": "Equal", "value": "1"}
    down = check("errors", "Prometheus", nowhere, unknownThreshold=2)
    slow = http("api", app.port, interval="1s", timeout="1s")
    job = probe_job(tmp_path, down, slow, segment=segment, order={"soak": 600})
    answer = job.run_to_end()
    assert answer.result["reason"] == "HealthCheckFailed", answer
    assert "api (answered 500" in answer.result["message"]
    assert checks_of(answer)["errors"].state is State.INCONCLUSIVE


def test_a_soak_that_ends_on_a_failure_measures_on(app: App, tmp_path: Path):
    """The window is over, the last measurement was none: only a further pass promotes."""
    app.status = 500
    slow = http("api", app.port, interval="1s", timeout="1s", failureThreshold=50)
    running = probe_job(tmp_path, slow, segment="Soak", order={"soak": 0.1}).start()
    wait_for_line(running, lambda found: len(found["api"].last) >= 2)
    assert running.process.poll() is None
    app.status = 200
    answer = running.finish()
    assert answer.result["reason"] == "Healthy", answer


def test_no_measurement_never_promotes(app: App, tmp_path: Path):
    """A soak that is over before the first delay is: it measures first."""
    late = http("api", app.port, initialDelay="1s")
    order = {"soak": 0.1}
    answer = probe_job(tmp_path, late, segment="Soak", order=order).run_to_end()
    assert answer.result["reason"] == "Healthy", answer
    assert len(checks_of(answer)["api"].last) == 1


def test_what_is_ignored_decides_nothing(app: App, tmp_path: Path):
    nowhere = http("gone", free_port(), onFail="Ignore")
    paused = http("paused", free_port(), onFail="Pause", initialDelay="1s")
    begun = time.time()
    job = probe_job(tmp_path, http("api", app.port), nowhere, segment="Soak", order={"soak": 4})
    answer = job.run_to_end()
    assert answer.result["reason"] == "Healthy", answer
    assert time.time() >= begun + 4
    assert checks_of(answer)["gone"].state is State.RED
    held = probe_job(tmp_path, http("api", app.port, initialDelay="3s"), nowhere, paused)
    answer = held.next().run_to_end()
    assert (answer.code, answer.result["reason"]) == (75, "HealthCheckUnknown"), answer
    assert "paused (nothing listens there" in answer.result["message"]
    assert "gone" not in answer.result["message"]


@pytest.mark.parametrize("moment", ["Baseline", "PostMigrate", "Soak"])
def test_sigterm_stops_at_once(moment: str, app: App, tmp_path: Path):
    with nasty_server(closes=False) as port:
        job = probe_job(
            tmp_path,
            http("api", app.port, successThreshold=100),
            http("hangs", port, timeout="1h", interval="1h"),
            segment=moment,
            order={"soak": 600},
        )
        running = job.start()
        wait_for_line(running, lambda found: bool(found["api"].last))
        running.process.send_signal(signal.SIGTERM)
        begun = time.monotonic()
        answer = running.finish()
        assert time.monotonic() - begun < 3
    assert (answer.code, answer.result["outcome"]) == (75, "NotFinished"), answer
    assert answer.result["reason"] == "Stopped"
    assert checks_of(answer)["api"].last


def test_twice_at_once_harms_nobody(app: App, tmp_path: Path):
    first = probe_job(tmp_path, http("api", app.port))
    jobs = [first.start(), first.next().start()]
    assert [each.finish().result["reason"] for each in jobs] == ["Healthy", "Healthy"]


def test_nothing_to_measure_is_green_at_once(tmp_path: Path):
    ref = {"ref": {"name": "shop"}}
    workload = check("rollout", "Workload", ref)
    answer = probe_job(tmp_path, workload).run_to_end()
    assert (answer.code, answer.result["reason"]) == (0, "Healthy"), answer


def test_decision_latency_with_servers_that_hang(app: App, tmp_path: Path):
    """HC-5, HC-6: at most interval x failureThreshold + timeout after the application falls ill.

    Beside the check that decides there hang a server that says nothing and one that drips; both
    are ignored, and none delays the decision. The margin is for this machine, not for the rule.
    """
    with nasty_server(closes=False) as silent, nasty_server(*[b"x"] * 600, pause=1) as drips:
        job = probe_job(
            tmp_path,
            http("api", app.port, interval="1s", timeout="500ms", failureThreshold=2),
            http("silent", silent, timeout="30s", interval="30s", onFail="Ignore"),
            http("drips", drips, timeout="30s", interval="30s", onFail="Ignore"),
            segment="Soak",
            order={"soak": 600},
        )
        running = job.start()
        wait_for_line(running, lambda found: len(found["api"].last) >= 2)
        app.status, ill = 500, time.time()
        answer = running.finish()
        took = time.time() - ill
    assert answer.result["reason"] == "HealthCheckFailed", answer
    assert took <= 1 * 2 + 0.5 + 1, took
    failed = checks_of(answer)["api"].failures
    assert failed == 2


def test_a_resolver_that_hangs_costs_its_check_the_timeout_and_others_nothing(
    app: App, tmp_path: Path
):
    """HC-5: each name that is looked up keeps a thread of the C library for half a minute."""
    address = f"127.9.{os.getpid() // 250 % 250}.{os.getpid() % 250 + 1}"
    resolver = tmp_path / "resolv.conf"
    resolver.write_text(f"nameserver {address}\noptions timeout:10 attempts:3\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((address, 53))
        hung = [
            http(f"hung{n}", 80, service=f"shop{n}.example.org", failureThreshold=8)
            for n in range(9)
        ]
        job = probe_job(
            tmp_path, http("api", app.port, successThreshold=3), *hung, resolver=resolver
        )
        begun = time.monotonic()
        answer = job.run_to_end()
        took = time.monotonic() - begun
        assert silent.recv(512), "nobody asked the resolver"
    assert answer.result["reason"] == "HealthCheckFailed", answer
    found = checks_of(answer)
    assert found["api"].state is State.GREEN, found
    red = [each for each in found.values() if each.state is State.RED]
    assert {each.message for check in red for each in check.last} == {"no answer within 400ms"}
    assert took < 10, took


def blue_green(port: int, header: str = "X-Track") -> dict[str, Any]:
    sides = {
        side: {"selector": {"track": side}, "workloadRef": {"name": f"shop-{side}"}}
        for side in ("blue", "green")
    }
    identity = {"header": header, "port": port, "path": "/who"}
    return {"type": "BlueGreen", "blueGreen": {"activeService": "localhost", "identity": identity}
            | sides}  # fmt: skip


def test_identity_after_a_switch_is_measured_without_being_written_down(app: App, tmp_path: Path):
    spec = (("strategy", blue_green(app.port)),)
    app.headers = {"X-Track": "green"}
    job = probe_job(tmp_path, http("api", app.port), segment="PostSwitch", spec=spec)
    answer = job.run_to_end()
    assert answer.result["reason"] == "Healthy", answer
    assert [each.name for each in checks_of(answer).values()] == ["identity"]
    assert len([path for _, path, _ in app.asked if path == "/who"]) == 5
    app.headers = {"X-Track": "blue"}
    answer = job.next().run_to_end()
    assert answer.result["reason"] == "HealthCheckFailed", answer
    assert checks_of(answer)["identity"].failures == 3
    assert "not all answers say green: 5 x blue" in answer.result["message"]
    begun, ended = [checks_of(answer)["identity"].last[each].at for each in (0, -1)]
    assert 4 <= (seconds_of(ended) - seconds_of(begun)) <= 6


def seconds_of(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_a_side_may_have_another_name(app: App, tmp_path: Path):
    strategy = blue_green(app.port)
    strategy["blueGreen"]["green"]["name"] = "1.8.0"
    app.headers = {"X-Track": "1.8.0"}
    job = probe_job(tmp_path, segment="PostSwitch", spec=(("strategy", strategy),))
    assert job.run_to_end().result["reason"] == "Healthy"
