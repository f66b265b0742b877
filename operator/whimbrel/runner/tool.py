"""A foreign tool as the runner sees it, wherever it really runs."""

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

RAW_LINE_LIMIT: Final = 40_960  # bytes of one line that are kept; the rest of it is dropped

OnLine = Callable[[str], None]


class Stage(StrEnum):
    """Where starting a program failed."""

    DIRECTORY = "directory"
    PROGRAM = "program"


@dataclass(frozen=True)
class StartError:
    """Why the program could not be started.

    Attributes:
        number: The errno.
    """

    stage: Stage
    number: int

    @property
    def not_found(self) -> bool:
        """Say whether there is no such program on PATH."""
        return self.stage is Stage.PROGRAM and self.number in {errno.ENOENT, errno.ENOTDIR}

    def __str__(self) -> str:
        """Return the words of the system."""
        return os.strerror(self.number)


@dataclass(frozen=True)
class ToolEnd:
    """How one run of the tool ended. It decides nothing: what the database shows does.

    Attributes:
        exit_code: Its exit code; None when a signal ended it or nobody saw its end.
        signal: The signal that ended it, or None.
        start_error: Why it never started, or None.
        gone: True when it was seen that no process of it is left, children included.
    """

    exit_code: int | None = None
    signal: int | None = None
    start_error: StartError | None = None
    gone: bool = False


class Sink(Protocol):
    """Takes what a look finds, piece by piece."""

    def entry(self, kind: str, path: str, changed: float) -> None:
        """Take the next thing that was found.

        Args:
            kind: ``f`` file, ``l`` link, ``d`` folder, ``n`` name in a folder, ``m`` nothing there.
            path: Its path.
            changed: Time of its last change of any kind (ctime), in seconds; 0 for unknown.
        """

    def content(self, data: bytes) -> None:
        """Take the next bytes of it: of a file what it holds, of a link where it leads."""


class Tool(Protocol):
    """A place where a tool can be started, once or several times in a row."""

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, on_line: OnLine
    ) -> ToolEnd:
        """Start a program and wait until nothing of it is left.

        Args:
            argv: Words of the command; the first is looked up on the PATH of its place.
            env: Variables on top of those that its place has.
            cwd: Directory to start in; "" for that of its place.
            on_line: Gets each line of its output, raw: it may hold secrets.
        """

    def look(self, cwd: str, words: Sequence[str], sink: Sink) -> str:
        """Read files of the place, without starting anything of it and while nothing runs there.

        Args:
            cwd: The directory that `run` would start in; all below it is read.
            words: ``f`` and a file to read, ``n`` and a folder to list, ``x`` and a name that is
                passed over in folders. Environments for Python are passed over too.
            sink: Gets what is found; links are not followed.

        Returns:
            "" where all was read, else why not: a link that leads out, too much, unreadable.
        """

    def signal(self, number: int) -> None:
        """Send a signal to every process of the tool's group; callable from any thread."""

    def close(self) -> None:
        """Let the place go. A tool that still runs is killed, with its children."""


class LineSplitter:
    """Cuts a stream of bytes into lines, in bounded memory."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes; call `on_line` for each line that is complete."""
        *lines, rest = data.split(b"\n")
        for line in lines:
            self._emit(self._rest + line)
            self._rest = b""
        self._rest = (self._rest + rest)[:RAW_LINE_LIMIT]

    def finish(self) -> None:
        """Call `on_line` for a last line without an end."""
        if self._rest:
            self._emit(self._rest)
        self._rest = b""

    def _emit(self, line: bytes) -> None:
        self._on_line(line[:RAW_LINE_LIMIT].decode("utf-8", "replace").rstrip("\r"))
