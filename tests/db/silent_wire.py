"""A wire that falls silent: nothing is refused, nothing answers."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from tests.postgres import Postgres


@contextmanager
def silent_wire(database: Postgres, *, answers: bool) -> Iterator[Postgres]:
    """Stand before a server; with `answers` pass on bytes until the first query, else nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    opened = [listener]
    serving = threading.Thread(target=_serve, args=(listener, opened, answers and database.port))
    serving.start()
    try:
        yield replace(database, port=listener.getsockname()[1])
    finally:
        for each in opened:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        serving.join()


def _serve(listener: socket.socket, opened: list[socket.socket], port: int) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = listener.accept()
            opened.append(client)
            if port:
                _join(client, opened, port)


def _join(client: socket.socket, opened: list[socket.socket], port: int) -> None:
    server = socket.create_connection(("127.0.0.1", port))
    opened.append(server)
    threading.Thread(target=_pump, args=(client, server, b"Q"), daemon=True).start()
    threading.Thread(target=_pump, args=(server, client, b"no message"), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket, end: bytes) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            if data.startswith(end):
                return
            sink.sendall(data)
