"""A TCP wire to a real server that can be cut around one COMMIT."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace

from tests.postgres import Postgres

COMMIT = b"COMMIT\0"


@dataclass
class Wire:
    """What becomes of the next COMMIT that passes; all later ones pass."""

    cut_after_commit: bool = False
    cut_before_commit: bool = False
    was_cut: threading.Event = field(default_factory=threading.Event)


@contextmanager
def lossy_wire(database: Postgres) -> Iterator[tuple[Postgres, Wire]]:
    """Give the same database through a wire."""
    wire = Wire()
    with ExitStack() as opened:
        listener = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = listener.getsockname()[1]
        thread = threading.Thread(target=_accept, args=(listener, database.port, wire, opened))
        thread.start()
        yield replace(database, port=port), wire
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def _accept(listener: socket.socket, port: int, wire: Wire, opened: ExitStack) -> None:
    with suppress(OSError):
        while True:
            client = opened.enter_context(listener.accept()[0])
            server = opened.enter_context(socket.create_connection(("127.0.0.1", port)))
            lost = threading.Event()
            for work in (
                threading.Thread(target=_to_server, args=(client, server, wire, lost)),
                threading.Thread(target=_to_client, args=(client, server, lost)),
            ):
                work.start()
                opened.callback(work.join)
                opened.callback(_shut, client, socket.SHUT_RDWR)
                opened.callback(_shut, server, socket.SHUT_RDWR)


def _to_server(
    client: socket.socket, server: socket.socket, wire: Wire, lost: threading.Event
) -> None:
    with suppress(OSError):
        while data := client.recv(65536):
            if COMMIT in data and wire.cut_before_commit:
                wire.cut_before_commit = False
                break
            if COMMIT in data and wire.cut_after_commit:
                wire.cut_after_commit = False
                lost.set()
            server.sendall(data)
            if lost.is_set():
                wire.was_cut.set()
                break
    # The client hears nothing more; the server reads what was sent, then the end of the stream.
    _shut(client, socket.SHUT_RDWR)
    _shut(server, socket.SHUT_WR)


def _to_client(client: socket.socket, server: socket.socket, lost: threading.Event) -> None:
    with suppress(OSError):
        while data := server.recv(65536):
            if not lost.is_set():
                client.sendall(data)
    _shut(client, socket.SHUT_RDWR)


def _shut(end: socket.socket, how: int) -> None:
    with suppress(OSError):
        end.shutdown(how)
