"""A proxy before a server that counts requests and strikes at the one a test names.

Every simple query and every Sync is a request to PostgreSQL, every command one to MariaDB. So each
moment in which the runner speaks with the database is a crash point, without a line for tests in
the runner itself.
"""

import contextlib
import enum
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self


class Moment(enum.Enum):
    """When to strike at request number k."""

    BEFORE = "before it reaches the server"
    AFTER = "after the server answered, before the client hears it"
    LOST = "before it reaches the server, and the server does not notice that the client is gone"


@dataclass
class Strike:
    """What happens at request number `at`, counted from 1; 0 means never."""

    at: int
    moment: Moment
    blow: Callable[[], None]


@dataclass
class Proxy:
    """Forwards bytes between clients and one server on the loopback address."""

    server_port: int
    strike: Strike | None = None
    speaks_mysql: bool = False
    requests: int = 0
    port: int = 0
    struck: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _listener: socket.socket | None = None
    _kept: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Listen on a free port."""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening and cut every connection that was kept."""
        assert self._listener is not None
        for each in (self._listener, *self._kept):
            close(each)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.server_port))
            for each in (client, server):
                # As the server and every client have it: an error and what follows it are two
                # packets, and the second one would wait 40 ms for the first to be acknowledged.
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = Pair(self, client, server)
            self.start(pair.forward_requests)
            self.start(pair.forward_answers)

    def start(self, work: Callable[[], None]) -> None:
        """Run something beside the test until it ends by itself."""
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        self._threads.append(thread)

    def count(self) -> Moment | None:
        """Count one request; return the moment when it is the one to strike at."""
        with self._lock:
            self.requests += 1
            hit = self.strike is not None and self.requests == self.strike.at
        return self.strike.moment if hit and self.strike else None

    def hit(self) -> None:
        """Strike once."""
        if self.strike is not None and not self.struck.is_set():
            self.struck.set()
            self.strike.blow()

    def keep(self, server: socket.socket) -> None:
        """Keep a server's connection open although its client is gone."""
        self._kept.append(server)


@dataclass
class Pair:
    """One client and its connection to the server."""

    proxy: Proxy
    client: socket.socket
    server: socket.socket
    started: bool = False
    rest: bytes = b""
    doomed: bool = False

    def forward_requests(self) -> None:
        """Copy client to server, counting requests."""
        try:
            while data := self.client.recv(65536):
                moment = self._look(data)
                if self.proxy.struck.is_set() or moment in (Moment.BEFORE, Moment.LOST):
                    if moment is Moment.LOST:
                        self.proxy.keep(self.server)
                    self.proxy.hit()
                    break
                self.doomed = moment is Moment.AFTER
                self.server.sendall(data)
        except OSError:
            pass
        self._cut()

    def forward_answers(self) -> None:
        """Copy server to client; an answer to the fatal request is swallowed."""
        try:
            while data := self.server.recv(65536):
                if self.doomed:
                    self.proxy.hit()
                    break
                self.client.sendall(data)
        except OSError:
            pass
        self._cut()

    def _look(self, data: bytes) -> Moment | None:
        self.rest += data
        found: Moment | None = None
        take = self._next_packet if self.proxy.speaks_mysql else self._next_message
        while (kind := take()) is not None:
            if kind in (b"Q", b"S"):
                found = self.proxy.count() or found
        return found

    def _next_message(self) -> bytes | None:
        """Take one message off the buffer; the start-up message has no type byte."""
        head = 0 if not self.started else 1
        if len(self.rest) < head + 4:
            return None
        length = head + int.from_bytes(self.rest[head : head + 4], "big")
        if len(self.rest) < length:
            return None
        kind, body = self.rest[:head], self.rest[head + 4 : length]
        self.rest = self.rest[length:]
        # SSLRequest and GSSENCRequest come before the real start-up message.
        self.started = self.started or not body.startswith(b"\x04\xd2\x16")
        return kind

    def _next_packet(self) -> bytes | None:
        """Take one packet of MySQL's protocol off the buffer; a command's number is 0."""
        length = 4 + int.from_bytes(self.rest[:3], "little")
        if len(self.rest) < max(4, length):
            return None
        number, self.rest = self.rest[3], self.rest[length:]
        return b"" if number else b"Q"

    def _cut(self) -> None:
        """Close both ends; the server's stays open where it must not notice."""
        ends = [self.client] if self.server in self.proxy._kept else [self.client, self.server]
        for each in ends:
            close(each)


def close(end: socket.socket) -> None:
    """Close a socket that another thread may be reading."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
