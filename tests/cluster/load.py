"""Constant load on a Service from outside of the Pods, and what came of each request.

usage: python -m tests.cluster.load URL FILE [--rate 200] [--keep-alive]   (until SIGTERM)

Each request has a connection of its own, as a new client would. Half of them read, half write a
row with a token that nobody else has. FILE gets one line of JSON for each request.
"""

import argparse
import asyncio
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from tests.cluster.kube import NODE, ROOT, Namespace, kubectl, kubectl_command, wait_until

RATE = 200.0  # requests in a second
PATIENCE = 5.0  # seconds that a request may take
CUSTOMERS = 500
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(frozen=True)
class Request:
    """One request and what came of it.

    Attributes:
        at: When it was sent, in seconds since the epoch; `took` counts from there.
        side: What the answer says at X-Track; "" without an answer.
        token: Of an order, acknowledged if the status is 200.
        status: Of the answer; 0 without one, and `error` says why.
    """

    at: float
    took: float
    side: str
    token: str
    status: int
    error: str

    @property
    def failed(self) -> bool:
        """Tell whether its user saw anything but what was asked for."""
        return self.status != 200


class Client:
    """Sends requests at a constant rate, however long the answers take."""

    def __init__(self, url: str, rate: float, *, keep_alive: bool) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._rate, self._keep_alive = rate, keep_alive
        self._idle: deque[Streams] = deque()

    async def run(self, output: TextIO, stopped: asyncio.Event) -> None:
        """Send until told to stop; each is sent at its own time, and waits for no other."""
        start, number, tasks = time.monotonic(), 0, set()
        while not stopped.is_set():
            task = asyncio.create_task(self._one(number, output))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            number += 1
            await asyncio.sleep(max(start + number / self._rate - time.monotonic(), 0))
        await asyncio.gather(*tasks)
        for _, writer in self._idle:
            writer.close()
            with contextlib.suppress(OSError):  # the other end may have gone first
                await writer.wait_closed()

    async def _one(self, number: int, output: TextIO) -> None:
        token = uuid.uuid4().hex if number % 2 else ""
        customer = number % CUSTOMERS + 1
        line = f"POST /orders?token={token}&customer=" if token else "GET /?customer="
        at, start = time.time(), time.monotonic()
        status, side, error = 0, "", ""
        try:
            async with asyncio.timeout(PATIENCE):
                status, side, body = await self._exchange(f"{line}{customer}")
            error = "" if status == 200 else body[:200]
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as failure:
            error = f"{type(failure).__name__}: {failure}"
        done = Request(at, time.monotonic() - start, side, token, status, error)
        output.write(json.dumps(asdict(done)) + "\n")

    async def _exchange(self, line: str) -> tuple[int, str, str]:
        kept = self._idle.popleft() if self._idle else None
        streams = kept or await asyncio.open_connection(self._host, self._port)
        reader, writer = streams
        try:
            how = "keep-alive" if self._keep_alive else "close"
            head = (
                f"{line} HTTP/1.1\r\nHost: shop\r\nConnection: {how}\r\nContent-Length: 0\r\n\r\n"
            )
            writer.write(head.encode())
            status, headers = parsed((await reader.readuntil(b"\r\n\r\n")).decode())
            body = (await reader.readexactly(int(headers["content-length"]))).decode()
        except BaseException:
            writer.close()
            raise
        if self._keep_alive:
            self._idle.append(streams)
        else:
            writer.close()
        return status, headers.get("x-track", ""), body


def parsed(head: str) -> tuple[int, dict[str, str]]:
    """Return status and headers of an answer, their names in small letters."""
    first, *lines = head.split("\r\n")
    pairs = (line.split(":", 1) for line in lines if line)
    return int(first.split()[1]), {name.lower(): value.strip() for name, value in pairs}


async def send(url: str, file: Path, rate: float, *, keep_alive: bool) -> None:
    """Send until SIGTERM; the last line on standard output is the CPU that it took."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    with file.open("w", buffering=1) as output:
        await Client(url, rate, keep_alive=keep_alive).run(output, stopped)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(f"{usage.ru_utime + usage.ru_stime:.2f}\n")


class Load:
    """A load that runs; what it has seen so far can be asked at any time."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def requests(self) -> list[Request]:
        """Return the requests that have come to their end, in the order of their start."""
        whole = self._file.read_text().rpartition("\n")[0].splitlines()
        return sorted((Request(**json.loads(line)) for line in whole), key=lambda each: each.at)

    def failed(self, *, since: float = 0.0, until: float = float("inf")) -> list[Request]:
        """Return those that failed, of the ones sent in between."""
        return [each for each in self.requests() if each.failed and since <= each.at < until]

    def sides(self, *, since: float = 0.0) -> Counter[str]:
        """Count the answers by side."""
        return Counter(each.side for each in self.requests() if each.side and each.at >= since)

    def acknowledged(self) -> list[str]:
        """Return the tokens of the orders that were answered with 200."""
        return [each.token for each in self.requests() if each.token and not each.failed]

    def wait_for(self, count: int) -> None:
        """Wait until so many requests have come to their end."""
        wait_until(f"{count} requests", lambda: len(self.requests()) >= count, seconds=count)

    def not_there_once(self, shop: Namespace) -> dict[str, int]:
        """Return the acknowledged tokens that are not in the database exactly once."""
        # In this order: while the load goes on, the database has more than was answered before.
        acknowledged = self.acknowledged()
        found = Counter(shop.sql("SELECT token FROM orders").split())
        return {token: found[token] for token in acknowledged if found[token] != 1}

    def told(self) -> str:
        """Return a summary in one line, with the first failures."""
        requests, failed = self.requests(), self.failed()
        took = sorted(each.took for each in requests) or [0.0]
        first = "; ".join(f"{each.at:.2f} {each.status} {each.error}" for each in failed[:5])
        return (
            f"{len(requests)} requests, {len(failed)} failed, by side {dict(self.sides())}, "
            f"median {took[len(took) // 2] * 1e3:.0f} ms, "
            f"99% {took[len(took) * 99 // 100] * 1e3:.0f} ms. {first}"
        )


@contextlib.contextmanager
def load(
    shop: Namespace, service: str, file: Path, *, rate: float = RATE, keep_alive: bool = False
) -> Iterator[Load]:
    """Keep a load on a Service from the node, until the end of the block."""
    prefix, url = reach(shop, service)
    program = [sys.executable, "-m", "tests.cluster.load", url, str(file), "--rate", str(rate)]
    command = [*prefix, *program, *(["--keep-alive"] if keep_alive else [])]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            wait_until("the load has begun", lambda: file.exists() and file.stat().st_size > 0)
            yield Load(file)
        finally:
            process.terminate()
            process.wait(PATIENCE * 2)


def answers(shop: Namespace, service: str) -> bool:
    """Tell whether a Service can be reached from where the load comes from.

    Endpoints that the API server shows are not yet programmed on the node: kube-proxy is later.
    """
    prefix, url = reach(shop, service)
    ask = "import sys, urllib.request as web; web.urlopen(sys.argv[1], timeout=2)"
    asked = subprocess.run(
        [*prefix, sys.executable, "-c", ask, url], capture_output=True, check=False
    )
    return asked.returncode == 0


def reach(shop: Namespace, service: str) -> tuple[list[str], str]:
    """Return the words in front of a client outside of the Pods, and the URL that it asks."""
    if os.environ.get("WHIMBREL_TEST_KUBECONFIG"):  # only a node of it can be reached from here
        shop.kubectl("patch", "service", service, "-p", '{"spec": {"type": "NodePort"}}')
        address = kubectl("get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}")
        port = shop.get("service", service)["spec"]["ports"][0]["nodePort"]
        return [], f"http://{address}:{port}"
    spec = shop.get("service", service)["spec"]
    prefix = kubectl_command()[:-1] if str(NODE) in kubectl_command() else []
    return prefix, f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"


def main(words: list[str]) -> None:
    """Send as the command line says."""
    parser = argparse.ArgumentParser(prog="load", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--keep-alive", action="store_true")
    given = parser.parse_args(words)
    asyncio.run(send(given.url, given.file, given.rate, keep_alive=given.keep_alive))


if __name__ == "__main__":
    main(sys.argv[1:])
