"""The tool at a terminal (`whimbrel run --project DIR`): found on PATH or in the project's venv."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from whimbrel.runner import local_guard
from whimbrel.runner.local_look import UnreadableError, read_all
from whimbrel.runner.tool import LineSplitter, OnLine, Sink, Stage, StartError, ToolEnd

_VENVS: Final = (".venv", "venv")


class LocalTool:
    """Starts programs on this machine, each below a guard that outlives us by an instant."""

    def __init__(self, project: Path) -> None:
        """Take the directory that stands for the image's working directory."""
        self._project = project.resolve()
        self._guard: subprocess.Popen[bytes] | None = None
        self._using = threading.Lock()

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, on_line: OnLine
    ) -> ToolEnd:
        """Start a program and wait until nothing of it is left."""
        result, result_end = os.pipe()
        try:
            guard = self._start(result_end, argv, env, str(self._place(cwd)))
        finally:
            os.close(result_end)
        lines = LineSplitter(on_line)
        with open(result) as about:  # noqa: PTH123 - a descriptor, not a path
            while data := os.read(_descriptor(guard), 65536):
                lines.feed(data)
            lines.finish()
            told = about.read()
        guarded = guard.wait() == 0
        self._forget(guard)
        return _end(told, gone=guarded)

    def look(self, cwd: str, words: Sequence[str], sink: Sink) -> str:
        """Read files of this machine; nothing is started."""
        try:
            read_all((*words, f"t{self._place(cwd)}"), sink)
        except (UnreadableError, OSError) as problem:
            return str(problem)
        return ""

    def signal(self, number: int) -> None:
        """Send a signal to every process of the tool's group."""
        with self._using, contextlib.suppress(BrokenPipeError):
            control = self._guard.stdin if self._guard is not None else None
            if control is not None and not control.closed:
                control.write(bytes([number]))

    def close(self) -> None:
        """Kill what still runs."""
        with self._using:
            if self._guard is not None and self._guard.stdin is not None:
                self._guard.stdin.close()

    def _start(
        self, result: int, argv: Sequence[str], env: Mapping[str, str], cwd: str
    ) -> subprocess.Popen[bytes]:
        guard = subprocess.Popen(  # noqa: S603 - the words are data, no shell reads them
            [sys.executable, "-I", str(local_guard.__file__), str(result), cwd, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            pass_fds=(result,),
            # Ctrl-C at the terminal is for us; the tool gets what we decide.
            start_new_session=True,
            env={**os.environ, "PATH": self._path(), **env},
        )
        with self._using:
            self._guard = guard
        return guard

    def _place(self, cwd: str) -> Path:
        # An absolute path speaks of the image, and `--project` says where that is here.
        return self._project if Path(cwd).is_absolute() else self._project / cwd

    def _path(self) -> str:
        venvs = [self._project / name / "bin" for name in _VENVS]
        found = [str(each) for each in venvs if each.is_dir()]
        return os.pathsep.join([*found, os.environ.get("PATH", os.defpath)])

    def _forget(self, guard: subprocess.Popen[bytes]) -> None:
        with self._using:
            self._guard = None
            for stream in (guard.stdin, guard.stdout):
                if stream is not None:
                    stream.close()


def _descriptor(guard: subprocess.Popen[bytes]) -> int:
    if guard.stdout is None:
        raise AssertionError("the guard is always started with a pipe")
    return guard.stdout.fileno()


def _end(told: str, *, gone: bool) -> ToolEnd:
    # A start error comes first, then the exit code of the child that could not become the tool.
    kind, _, number = told.partition("\n")[0].partition(" ")
    match kind:
        case "exit":
            return ToolEnd(exit_code=int(number), gone=gone)
        case "signal":
            return ToolEnd(signal=int(number), gone=gone)
        case Stage.DIRECTORY | Stage.PROGRAM:
            return ToolEnd(start_error=StartError(Stage(kind), int(number)), gone=gone)
        case _:
            return ToolEnd(gone=gone)
