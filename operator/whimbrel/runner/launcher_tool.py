"""The tool in the container beside us: our end of the launcher's socket (launcher/launcher.c)."""

import contextlib
import os
import signal
import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from whimbrel.model.errors import TransientError
from whimbrel.runner.tool import LineSplitter, OnLine, Sink, Stage, StartError, ToolEnd

_VERSION: Final = 2
_HEADER: Final = struct.Struct(">cI")
_HELLO_SECONDS: Final = 30.0
_FOUND: Final = struct.Struct(">cII")
_FRAME_LIMIT: Final = 1 << 20
_STAGES: Final = {ord("d"): Stage.DIRECTORY, ord("x"): Stage.PROGRAM}


class LauncherTool:
    """Starts programs through the launcher in the tool's container.

    Attributes:
        pid: Process id of the launcher in its own container; 0 before it said hello.
    """

    def __init__(self, path: Path) -> None:
        """Listen on a socket file in the directory that the containers of the Pod share."""
        self.pid = 0
        self._path = path
        self._peer: socket.socket | None = None
        self._sending = threading.Lock()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        # The tool's container has another uid; only this Pod sees the directory.
        path.chmod(0o666)
        self._listener.listen(1)

    def wait_hello(self, timeout: float) -> None:
        """Wait until the tool's container is there. Call it before any lock is taken.

        Args:
            timeout: Seconds; the call may be repeated.

        Raises:
            TransientError: The container did not start in time (`ToolNotThere`).
        """
        if self._peer is not None:
            return
        self._listener.settimeout(timeout)
        try:
            peer, _ = self._listener.accept()
            # It says hello in the same breath; a busy node may take a while over that.
            peer.settimeout(_HELLO_SECONDS)
            kind, body = _read_frame(peer)
        except (TimeoutError, EOFError) as error:
            raise TransientError(
                "ToolNotThere",
                f"the container of the tool did not start within {timeout:.0f} s; "
                "nothing was locked or touched",
            ) from error
        if kind != b"H" or struct.unpack(">II", body)[0] != _VERSION:
            peer.close()
            raise TransientError("ToolNotThere", "the launcher is of another version")
        self.pid = struct.unpack(">II", body)[1]
        peer.settimeout(None)
        self._peer = peer

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, on_line: OnLine
    ) -> ToolEnd:
        """Start a program and wait until nothing of it is left."""
        lines = LineSplitter(on_line)
        end = ToolEnd()
        try:
            self._send(b"R", encode_request(argv, env, cwd))
            while not end.gone:
                kind, body = _read_frame(self._connected())
                end = _told(end, kind, body, lines)
        except (EOFError, ConnectionError):
            # The launcher is gone, so its container is; but nobody saw the tool go.
            return replace(end, gone=False)
        finally:
            lines.finish()
        return end

    def look(self, cwd: str, words: Sequence[str], sink: Sink) -> str:
        """Read files of the tool's container; nothing of the image is started."""
        body = b"".join(os.fsencode(word) + b"\0" for word in (*words, f"t{cwd or '.'}"))
        if len(body) > _FRAME_LIMIT:
            return "more files than one request can name"
        try:
            self._send(b"L", body)
            kind, body = _read_frame(self._connected())
            while kind != b"Z":
                _pass_on(kind, body, sink)
                kind, body = _read_frame(self._connected())
        except (EOFError, ConnectionError) as error:
            raise TransientError("ToolLost", f"the tool's container ended: {error}") from error
        return body.decode("utf-8", "replace")

    def signal(self, number: int) -> None:
        """Send a signal to every process of the tool's group."""
        with contextlib.suppress(ConnectionError):
            self._send(b"S", struct.pack(">I", signal.Signals(number)))

    def close(self) -> None:
        """Say bye; the launcher kills what is left and ends."""
        if self._peer is not None:
            with contextlib.suppress(ConnectionError):
                self._send(b"B", b"")
            self._peer.close()
            self._peer = None
        self._listener.close()
        self._path.unlink(missing_ok=True)

    def _connected(self) -> socket.socket:
        if self._peer is None:
            raise ConnectionAbortedError("the launcher has not said hello")
        return self._peer

    def _send(self, kind: bytes, body: bytes) -> None:
        with self._sending:
            self._connected().sendall(_HEADER.pack(kind, len(body)) + body)


def encode_request(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> bytes:
    """Return the payload of the frame that starts a program.

    Raises:
        ValueError: A word holds a NUL, or all of them are longer than the launcher takes.
    """
    words = [cwd, *argv, *(f"{name}={value}" for name, value in env.items())]
    if any("\0" in word for word in words):
        raise ValueError("a word of a command or a variable holds a NUL byte")
    body = b"".join(os.fsencode(word) + b"\0" for word in words)
    if len(body) + 8 > _FRAME_LIMIT:
        raise ValueError("command and variables together are longer than 1 MiB")
    return struct.pack(">II", len(argv), len(env)) + body


def _told(end: ToolEnd, kind: bytes, body: bytes, lines: LineSplitter) -> ToolEnd:
    match kind:
        case b"O":
            lines.feed(body)
        case b"X":
            by_signal, value = struct.unpack(">II", body)
            return replace(end, signal=value) if by_signal else replace(end, exit_code=value)
        case b"E":
            stage, number = struct.unpack(">II", body)
            return replace(end, start_error=StartError(_STAGES[stage], number))
        case b"G":
            return replace(end, gone=True)
        case _:
            raise ConnectionAbortedError(f"the launcher said {kind!r}")
    return end


def _pass_on(kind: bytes, body: bytes, sink: Sink) -> None:
    match kind:
        case b"F":
            what, seconds, nanoseconds = _FOUND.unpack_from(body)
            path = os.fsdecode(body[_FOUND.size :])
            sink.entry(what.decode(), path, seconds + nanoseconds / 1e9)
        case b"D":
            sink.content(body)
        case _:
            raise ConnectionAbortedError(f"the launcher said {kind!r}")


def _read_frame(peer: socket.socket) -> tuple[bytes, bytes]:
    kind, length = _HEADER.unpack(_read_exactly(peer, _HEADER.size))
    if length > _FRAME_LIMIT:
        raise ConnectionAbortedError("the launcher sent a frame that is too long")
    return kind, _read_exactly(peer, length)


def _read_exactly(peer: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length:
        piece = peer.recv(length - len(data))
        if not piece:
            raise EOFError("the launcher closed the connection")
        data += piece
    return bytes(data)
