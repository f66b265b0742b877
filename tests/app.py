"""A small real web application: its health, its version and its manners are set while it runs."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest


class App:
    """What it answers at every path but /metrics.

    Attributes:
        status: Status of the answer.
        body: Its text.
        headers: Further headers.
        each_time: Gives headers for one answer.
        tls: With it the application speaks TLS.
        asked: (address of the client, path and query, headers) of each request.
    """

    def __init__(self) -> None:
        self.status = 200
        self.body = "all is well"
        self.headers: dict[str, str] = {}
        self.each_time: Callable[[], dict[str, str]] = dict
        self.tls: ssl.SSLContext | None = None
        self.asked: list[tuple[Any, str, dict[str, str]]] = []
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "shop_requests", "Requests by status.", ["status"], registry=self.registry
        )
        self.queue = Gauge("shop_queue", "Work that waits.", registry=self.registry)
        self.port = 0

    @contextmanager
    def running(self) -> Iterator["App"]:
        """Serve on loopback."""
        server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
        self.port = server.server_port
        if self.tls is not None:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever, args=(0.02,))
        serving.start()
        try:
            yield self
        finally:
            server.shutdown()
            serving.join()
            server.server_close()


def _handler(app: App) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            app.asked.append((self.client_address, self.path, dict(self.headers)))
            metrics = self.path == "/metrics"
            if not metrics:
                app.requests.labels(str(app.status)).inc()
            text = generate_latest(app.registry) if metrics else app.body.encode()
            self.send_response(200 if metrics else app.status)
            for name, value in (app.headers | app.each_time()).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


@contextmanager
def nasty_server(*pieces: bytes, pause: float = 0.0, closes: bool = True) -> Iterator[int]:
    """Send these bytes to whoever connects, with a pause before each; give the port.

    Without `closes` the connection stays open until the end, and nothing more comes.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    over, opened = threading.Event(), list[socket.socket]()
    send = partial(_send, over=over, pieces=pieces, pause=pause, closes=closes)
    serving = threading.Thread(target=_accept, args=(listener, opened, send))
    serving.start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        _close(listener)
        serving.join()  # from now on nobody comes any more
        for each in opened:
            _close(each)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def _accept(listener, opened, send) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            opened.append(client)
            threading.Thread(target=send, args=(client,), daemon=True).start()


def _send(client, *, over, pieces, pause, closes) -> None:
    with contextlib.suppress(OSError):
        client.recv(65536)
        for piece in pieces:
            if over.wait(pause):
                return
            client.sendall(piece)
        if closes:
            client.shutdown(socket.SHUT_RDWR)
