"""The operator as a process of its own against an API server over HTTP."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from tests.fake_api import FakeApi
from tests.fake_cluster import PATH, manifest, spec
from tests.fake_http import FakeHttp, serving_api
from tests.fake_runner import FakeNode, Ledger
from whimbrel.controller import paths

ROOT = Path(__file__).parents[3]


class Running:
    """A fake cluster over HTTP with a node that works by itself."""

    def __init__(self, http: FakeHttp, kubeconfig: Path) -> None:
        self.http, self.api = http, http.api
        self.kubeconfig = kubeconfig
        self.ledger = Ledger()
        self.node = FakeNode(self.api, self.ledger)
        self.processes: list[asyncio.subprocess.Process] = []

    async def node_works(self) -> None:
        while True:
            await self.node.step()
            await asyncio.sleep(0.02)

    async def start_operator(
        self, name: str, program: tuple[str, ...] = ("-m", "whimbrel.controller")
    ) -> tuple[asyncio.subprocess.Process, int]:
        """Start `python -m whimbrel.controller`; give the process and its port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *program,
            stderr=asyncio.subprocess.PIPE if program[0] == "-c" else None,
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(ROOT / "operator"),
                "KUBECONFIG": str(self.kubeconfig),
                "WHIMBREL_IMAGE": "whimbrel:1",
                "WHIMBREL_PORT": str(port),
                "WHIMBREL_RESYNC_SECONDS": "2",
                "POD_NAME": name,
                "HOME": "/nonexistent",
            },
        )
        self.processes.append(process)
        return process, port

    def renewed(self) -> str:
        """When the Lease was renewed, "" where nobody has taken it."""
        leases = [body for path, body in self.api.objects.items() if "/leases/" in path]
        return leases[0]["spec"]["renewTime"] if leases else ""

    def asked(self, path: str, *, since: int) -> int:
        """How often something was asked for, besides watches."""
        asked = self.http.asked[since:]
        return sum(path in each and "watch=" not in each for each in asked)

    async def leads(self) -> None:
        """Return when the Lease was renewed: the leader is at work."""
        await until(lambda: bool(self.renewed()))
        first = self.renewed()
        await until(lambda: self.renewed() > first)

    def status(self) -> dict:
        return self.api.objects[PATH].get("status", {})

    def conditions(self) -> dict[str, str]:
        return {each["type"]: each["status"] for each in self.status().get("conditions", ())}

    def is_ready(self, generation: int = 1) -> bool:
        seen = self.status().get("observedGeneration") == generation
        return seen and self.conditions().get("Ready") == "True"


async def until(condition: Callable[[], bool], *, seconds: float = 40.0) -> None:
    """Return when a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        await asyncio.sleep(0.02)


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Running]:
    api = FakeApi(time.time)
    await api.create("/api/v1/namespaces", {"metadata": {"name": "kube-system"}})
    async with serving_api(api, tmp_path) as (http, kubeconfig):
        running = Running(http, kubeconfig)
        working = asyncio.create_task(running.node_works())
        yield running
        for process in running.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        working.cancel()


async def get(port: int, path: str) -> str:
    """GET from an operator, as soon as it serves at all."""
    end = time.monotonic() + 30
    async with aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                    assert answer.status == 200
                    return await answer.text()
            except aiohttp.ClientConnectorError:
                assert time.monotonic() < end, "the operator does not serve"
                await asyncio.sleep(0.05)


async def test_apply_change_watch_gap_and_an_orderly_end(cluster: Running):
    process, port = await cluster.start_operator("one")
    await cluster.api.create(PATH.rpartition("/")[0], manifest())
    await until(cluster.is_ready)
    assert cluster.ledger.done == ["001", "002"]
    assert "ok" in await get(port, "/healthz") + await get(port, "/readyz")
    numbers = await get(port, "/metrics")
    assert "whimbrel_leader 1.0" in numbers
    assert "process_cpu_seconds_total" in numbers
    assert 'whimbrel_migrations{phase="Completed"} 1.0' in numbers

    cluster.http.gone = True  # one watch is told 410 and lists again
    cluster.ledger.pending = ("001", "002", "003")
    await cluster.api.patch(PATH, {"spec": spec(limits={"lockTimeout": "50ms"})})
    await until(lambda: cluster.is_ready(2))
    assert cluster.ledger.done == ["001", "002", "003"]

    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 20) == 0
    lease = next(body for path, body in cluster.api.objects.items() if "/leases/" in path)
    assert lease["spec"]["holderIdentity"] == ""


@pytest.mark.sampled("what waits for a clock")
async def test_killed_leader_is_followed_by_the_standby(cluster: Running):
    first, _ = await cluster.start_operator("one")
    await until(lambda: any("/leases/" in path for path in cluster.api.objects))
    _, port = await cluster.start_operator("two")
    cluster.node.hold = True
    await cluster.api.create(PATH.rpartition("/")[0], manifest())
    await until(lambda: any("/jobs/" in path for path in cluster.api.objects))
    assert "ok" in await get(port, "/readyz")
    first.kill()
    cluster.node.hold = False
    await until(cluster.is_ready)
    assert cluster.ledger.done == ["001", "002"]
    assert len([path for path in cluster.api.objects if "/jobs/" in path]) == 1


@pytest.mark.sampled("what waits for a clock")
async def test_stopped_leader_that_wakes_up_has_no_effect(cluster: Running):
    """SIGSTOP in the middle of the work, another leader ends it, SIGCONT: nothing runs twice."""
    first, _ = await cluster.start_operator("one")
    await until(lambda: any("/leases/" in path for path in cluster.api.objects))
    cluster.node.hold = True
    await cluster.api.create(PATH.rpartition("/")[0], manifest())
    await until(lambda: any("/jobs/" in path for path in cluster.api.objects))
    first.send_signal(signal.SIGSTOP)
    await cluster.start_operator("two")
    cluster.node.hold = False
    await until(cluster.is_ready)
    for path in [path for path in cluster.api.objects if "/jobs/" in path]:
        await cluster.api.delete(path)
    first.send_signal(signal.SIGCONT)
    assert await asyncio.wait_for(first.wait(), 30) != 0  # it lost the Lease and ended itself
    await until(cluster.is_ready)
    assert cluster.ledger.done == ["001", "002"]


@pytest.mark.sampled("what waits for a clock")
async def test_connections_that_are_torn_for_a_while_end_nothing(cluster: Running):
    process, _ = await cluster.start_operator("one")
    await cluster.leads()
    cluster.http.torn, before = True, len(cluster.http.asked)
    cluster.http.cut()
    for each in ("/leases/", paths.migrations()):  # it has tried to renew, and to look, twice
        await until(lambda path=each: cluster.asked(path, since=before) > 1)
    cluster.http.torn = False
    before = cluster.renewed()
    await until(lambda: cluster.renewed() > before)
    await cluster.api.create(PATH.rpartition("/")[0], manifest())
    await until(cluster.is_ready)
    assert process.returncode is None


@pytest.mark.sampled("what waits for a clock")
async def test_a_leader_whose_connections_are_torn_for_good_ends(cluster: Running):
    process, _ = await cluster.start_operator("one")
    await cluster.leads()
    cluster.http.torn = True
    assert await asyncio.wait_for(process.wait(), 40) == 1


# What nobody has thought of, in each task that works for ever.
DYING = """
from whimbrel.controller import main
from whimbrel.controller.{module} import {owner}

def die(*_):
    raise KeyError("metadata")

{owner}.{method} = die
main.main()
"""


@pytest.mark.parametrize(
    ("module", "owner", "method", "name"),
    [
        ("queue", "WorkQueue", "_wait_for_change", "WorkQueue.run"),
        ("inbox", "Inbox", "look_at_everything", "_resync"),
        ("lease", "Lease", "_is_free", "Lease.hold"),
    ],
)
async def test_a_task_that_dies_takes_the_process_with_it(
    cluster: Running, module: str, owner: str, method: str, name: str
):
    program = DYING.format(module=module, owner=owner, method=method)
    process, _ = await cluster.start_operator("one", ("-c", program))
    _, told = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode == 1
    last = json.loads(told.splitlines()[-1])
    assert (last["level"], name in last["message"]) == ("critical", True), last
    assert "KeyError: 'metadata'" in last["error"]
