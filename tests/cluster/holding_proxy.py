"""A way to the API server that can keep one request back, as a slow network would.

`kubectl proxy` behind it carries the credentials; its Unix socket leads out of the one-node
cluster's network namespace, and any other cluster is reached the same way.
"""

import json
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.cluster.kube import kubectl_command, wait_until

NOT_FORWARDED = {"connection", "transfer-encoding"}


class Gate:
    """Keeps back the first request that `is_held` picks, until it is opened.

    Attributes:
        arrived: Set when that request is here.
        held: Its body.
        answer: The API server's answer to it, after the gate was opened.
    """

    def __init__(self, is_held: Callable[[str, str], bool]) -> None:
        self._is_held = is_held
        self._first = threading.Lock()
        self._opened, self._answered = threading.Event(), threading.Event()
        self.arrived = threading.Event()
        self.held: dict[str, Any] = {}
        self.answer: tuple[int, dict[str, Any]] = (0, {})

    def open(self) -> None:
        """Let the request go."""
        self._opened.set()

    def wait_for_answer(self) -> tuple[int, dict[str, Any]]:
        """Return status and body of the API server's answer."""
        assert self._answered.wait(30), "the API server did not answer"
        return self.answer

    def keeps(self, verb: str, path: str) -> bool:
        """Tell whether this request is the one; only one ever is."""
        return self._is_held(verb, path) and self._first.acquire(blocking=False)

    def keep(self, body: bytes) -> None:
        """Return when the gate is opened."""
        self.held = json.loads(body)
        self.arrived.set()
        self._opened.wait()

    def noted(self, answer: HTTPResponse) -> Iterable[bytes]:
        """Return an answer's body, noted: whoever asked may have gone meanwhile."""
        body = answer.read()
        self.answer = (answer.status, json.loads(body))
        self._answered.set()
        return [body]


class UnixConnection(HTTPConnection):
    """HTTP over the socket of `kubectl proxy`."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


class Handler(BaseHTTPRequestHandler):
    """Passes one request on, when the gate lets it."""

    server: "HoldingServer"

    def forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        gate, connection = self.server.gate, UnixConnection(self.server.behind)
        if held := gate.keeps(self.command, self.path):
            gate.keep(body)
        with suppress(OSError, HTTPException), closing(connection):  # one side is gone
            headers = forwarded(self.headers.items()) | {"Host": "localhost"}
            connection.request(self.command, self.path, body, headers)
            with connection.getresponse() as answer:
                self._pass_back(answer, gate.noted(answer) if held else parts_of(answer))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = forward  # noqa: N815  # the base class's

    def _pass_back(self, answer: HTTPResponse, parts: Iterable[bytes]) -> None:
        self.send_response_only(answer.status)
        for name, value in forwarded(answer.getheaders()).items():
            self.send_header(name, value)
        self.end_headers()
        for part in parts:
            self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        """Say nothing: what arrives here is the story's to look at."""


class HoldingServer(ThreadingHTTPServer):
    """The proxy on a free loopback port, before the socket of `kubectl proxy`."""

    def __init__(self, behind: Path, gate: Gate) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behind, self.gate = behind, gate


def forwarded(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the headers without those of a single connection."""
    return {name: value for name, value in headers if name.lower() not in NOT_FORWARDED}


def parts_of(answer: HTTPResponse) -> Iterator[bytes]:
    """Yield an answer as it comes: a watch has no end."""
    return iter(partial(answer.read1, 65536), b"")


@contextmanager
def kubectl_proxy(folder: Path, account: str) -> Iterator[Path]:
    """Give a Unix socket that leads to the API server with the rights of an account."""
    path = folder / "api.sock"
    command = [*kubectl_command(), "proxy", f"--as={account}", f"--unix-socket={path}"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until("kubectl proxy serves", path.is_socket)
            yield path
        finally:
            process.terminate()


@contextmanager
def holding_proxy(folder: Path, account: str, gate: Gate) -> Iterator[Path]:
    """Serve on a free loopback port; give a kubeconfig for it."""
    with kubectl_proxy(folder, account) as behind:
        server = HoldingServer(behind, gate)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield kubeconfig(folder, f"http://127.0.0.1:{server.server_port}")
        finally:
            gate.open()
            server.shutdown()
            server.server_close()


def kubeconfig(folder: Path, server: str) -> Path:
    """Write a kubeconfig without credentials."""
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "held", "cluster": {"server": server}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "held", "context": {"cluster": "held", "user": "nobody"}}],
        "current-context": "held",
    }
    path.write_text(json.dumps(config))
    return path
