"""`whimbrel watch`: the real process, against an API server that breaks and forgets watches."""

import asyncio
import contextlib
import json
import os
import pty
import re
import signal
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.fake_api import FakeApi
from tests.fake_http import FakeHttp, serving_api
from tests.scenarios.terminal import ROOT

pytestmark = pytest.mark.sampled("a run that is watched")

PATH = "/apis/whimbrel.dev/v1alpha1/namespaces/team/databasemigrations/shop"
MOMENT = "2026-01-01T00:00:00Z"
RUN = {"id": "r", "generation": 1, "segment": "Migrate", "startedAt": MOMENT}
SPEC = {
    "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
    "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 1"}}},
}


def status(phase: str, message: str, *conditions: str, **more: object) -> dict:
    """Return a status; conditions are `Type=Status`."""
    words = [each.split("=") for each in conditions]
    common = {"observedGeneration": 1, "lastTransitionTime": MOMENT, "reason": phase}
    found = [{"type": kind, "status": value} | common for kind, value in words]
    known = {"observedGeneration": 1, "phase": phase, "message": message, "run": RUN}
    return known | {"conditions": found} | more


MIGRATING = status("Migrating", "Job a works", "Ready=False", "Reconciling=True")
SOAKING = status("Soaking", "all is well", "Ready=True", active="green")
COMPLETED = status("Completed", "it is there", "Ready=True", "Completed=True", active="green")
WAITING = status("AwaitingApproval", "read it", "Ready=False", "Reconciling=True", "Paused=True")


@dataclass
class Watching:
    """A process that watches."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def line(self, part: str) -> str:
        """Return the next line with these words; those before it are kept too."""
        while True:
            assert self.process.stdout is not None
            line = (await asyncio.wait_for(self.process.stdout.readline(), 40)).decode()
            assert line, (self.lines, await self.process.stderr.read())
            self.lines.append(line)
            if part in line:
                return line

    async def end(self) -> tuple[int, str, str]:
        """Return exit code, the rest of the output, and the problems."""
        out, problems = await asyncio.wait_for(self.process.communicate(), 40)
        assert b"Traceback" not in problems, problems
        return self.process.returncode, out.decode(), problems.decode()


@dataclass
class Cluster:
    """The server, and what watches it."""

    http: FakeHttp
    environment: dict[str, str]
    started: list[asyncio.subprocess.Process] = field(default_factory=list)

    def become(self, shown: dict) -> None:
        self.http.api.put_status(PATH, shown)

    async def watch(self, *words: str, **more: object) -> Watching:
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "whimbrel.cli", "watch", "shop", "-n", "team", *words),
            env=self.environment,
            **(pipes | more),
        )
        self.started.append(process)
        return Watching(process)

    def watches(self) -> int:
        return sum("watch=" in each for each in self.http.asked)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    api = FakeApi(time.time)
    await api.create(PATH.rpartition("/")[0], {"metadata": {"name": "shop", "namespace": "team"}})
    api.objects[PATH]["spec"] = SPEC
    async with serving_api(api, tmp_path) as (http, kubeconfig):
        environment = os.environ | {"KUBECONFIG": str(kubeconfig), "TERM": "xterm"}
        found = Cluster(http, environment | {"PYTHONPATH": str(ROOT / "operator")})
        yield found
        for process in found.started:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def until(condition: object) -> None:
    """Return when a condition holds."""
    end = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


@pytest.mark.sampled("the main path")
async def test_a_line_for_each_change_and_the_end_of_the_run(cluster: Cluster):
    cluster.become(MIGRATING)
    watching = await cluster.watch()
    line = await watching.line("phase: Migrating: Job a works")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ phase: ", line)
    cluster.become(SOAKING)
    await watching.line("traffic: green")
    cluster.become(COMPLETED)
    code, out, problems = await watching.end()
    assert (code, problems) == (0, "")
    assert out.endswith("phase: Completed: it is there\n")
    assert cluster.watches() == 1
    assert len(cluster.http.asked) == 2, cluster.http.asked  # one look, one watch, no polling


async def test_watches_that_are_forgotten_broken_or_refused_are_taken_up(cluster: Cluster):
    cluster.become(MIGRATING)
    watching = await cluster.watch()
    await watching.line("Migrating")
    await until(lambda: cluster.http.watches)
    cluster.http.gone = True
    await until(lambda: cluster.watches() == 2 and cluster.http.watches)
    cluster.http.away = True
    cluster.http.cut()
    await until(lambda: sum(PATH in each for each in cluster.http.asked) >= 3)
    cluster.become(SOAKING)  # while nobody watches
    cluster.http.away = False
    await watching.line("Soaking")
    cluster.become(COMPLETED)
    code, _, problems = await watching.end()
    assert code == 0
    away, back = problems.splitlines()
    assert "asked again every 2 s" in away
    assert back == "the cluster's API server answers again"
    phases = [each for each in watching.lines if "phase: Migrating" in each]
    assert len(phases) == 1, "the same look was told twice"


async def test_each_change_is_one_document(cluster: Cluster):
    cluster.become(MIGRATING)
    watching = await cluster.watch("-o", "json")
    first = json.loads(await watching.line("Migrating"))
    cluster.become(MIGRATING)  # a write without a change
    cluster.become(COMPLETED)
    code, out, _ = await watching.end()
    (second,) = map(json.loads, out.splitlines())
    assert (first["status"], first["exitCode"]) == (MIGRATING, None)
    assert (second["status"], second["exitCode"]) == (COMPLETED, 0)
    assert (first["namespace"], first["name"], code) == ("team", "shop", 0)


@pytest.mark.parametrize(("shown", "expected"), [(MIGRATING, 75), (WAITING, 3)])
async def test_the_time_to_watch_is_limited(cluster: Cluster, shown: dict, expected: int):
    cluster.become(shown)
    watching = await cluster.watch("--timeout", "1s")
    code, _, problems = await watching.end()
    assert code == expected
    assert "not over after 1s; the run goes on in the cluster" in problems


async def test_ctrl_c_ends_the_watching_and_says_that_the_run_goes_on(cluster: Cluster):
    cluster.become(MIGRATING)
    watching = await cluster.watch()
    await watching.line("Migrating")
    await until(lambda: cluster.http.watches)
    watching.process.send_signal(signal.SIGINT)
    code, _, problems = await watching.end()
    assert (code, problems) == (75, "no longer watched; the run of shop goes on in the cluster\n")


async def test_an_object_that_goes_is_said(cluster: Cluster):
    cluster.become(MIGRATING)
    watching = await cluster.watch()
    await watching.line("Migrating")
    await cluster.http.api.delete(PATH)
    code, _, problems = await watching.end()
    assert code == 1
    assert "team/shop was deleted while it was watched" in problems


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--timeout", "soon"), "error: --timeout: 'soon' is not a duration"),
        (("--context", "elsewhere"), "error: no such cluster"),
    ],
)
async def test_bad_words_are_refused(cluster: Cluster, words: tuple[str, ...], sentence: str):
    code, _, problems = await (await cluster.watch(*words)).end()
    assert code == 2
    assert sentence in problems


async def test_what_is_not_there_is_refused(cluster: Cluster):
    await cluster.http.api.delete(PATH)
    code, out, problems = await (await cluster.watch()).end()
    assert (code, out) == (2, "")
    assert "there is no shop in the namespace team" in problems


async def test_a_terminal_is_drawn_in_place_and_keeps_the_last_screen(cluster: Cluster):
    cluster.become(MIGRATING)
    ours, theirs = pty.openpty()
    watching = await cluster.watch(stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = bytearray()
    loop = asyncio.get_running_loop()

    def more() -> None:
        try:
            seen.extend(os.read(ours, 65536))
        except OSError:  # the other end is closed
            loop.remove_reader(ours)

    loop.add_reader(ours, more)
    try:
        await until(lambda: b"> Migrate" in seen)
        cluster.become(COMPLETED)
        assert await asyncio.wait_for(watching.process.wait(), 40) == 0
        await until(lambda: b"\x1b[?25h" in seen and seen.rstrip().endswith(b"green"))
    finally:
        loop.remove_reader(ours)
        os.close(ours)
    last = seen.rpartition(b"\x1b[2K")[2].decode()
    assert re.search(r"phase: +Completed\r\nmessage: +it is there\r\n", last)
    assert "Migrating" not in last
