"""Whimbrel's processes for tests: forks of one process that has imported it once.

Importing takes a runner two thirds of a CPU second, and more than a thousand are started. A fork is
a process like any other: a pid, an environment, a folder and a death of its own. `make soak` starts
each one as Kubernetes and a shell do, and so does whoever needs `exec` (`unshare`, a pipe).

`python -m tests.forked FD` is the process that forks: each message on the socket FD holds a
request, and the descriptors of stdin, stdout, stderr and of a wire. On the wire come the pid and,
when the fork has ended, its exit code.
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[1]
COMMANDS = ("approve", "gc", "history", "plan", "resolve", "retry", "rollback", "run")
IMPORTED = (
    "whimbrel.runner.__main__",
    "whimbrel.runner.probes.__main__",
    "whimbrel.cli.__main__",
    *(f"whimbrel.cli.commands.{name}" for name in COMMANDS),
)
MESSAGE = 2**20  # bytes of a request at most


def start_module(
    module: str, words: list[str], env: dict[str, str], cwd: Path | None = None, *, err: int
) -> "Process":
    """Start `python -m module words`; `err` is subprocess.PIPE or subprocess.STDOUT."""
    if os.environ.get("WHIMBREL_SOAK"):
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            cwd=cwd, env=env, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=err,
        )  # fmt: skip
    return _fork(module, words, env, str(cwd or Path.cwd()), err)


def _fork(module: str, words: list[str], env: dict[str, str], cwd: str, err: int) -> "Forked":
    request = json.dumps({"module": module, "words": words, "env": env, "cwd": cwd})
    ours, theirs = socket.socketpair()
    out, out_there = os.pipe()
    errors, err_there = os.pipe() if err == subprocess.PIPE else (None, os.dup(out_there))
    there = [os.open(os.devnull, os.O_RDONLY), out_there, err_there, theirs.detach()]
    try:
        socket.send_fds(_forking(), [request.encode()], there)
    finally:
        for each in there:
            os.close(each)
    lines = ours.makefile("r")
    return Forked(
        int(lines.readline()),
        os.fdopen(out),
        None if errors is None else os.fdopen(errors),
        ours,
        lines,
    )


@functools.cache
def _forking() -> socket.socket:
    """Start the process that forks; it ends when our end of the socket is closed."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
        ours.setsockopt(socket.SOL_SOCKET, option, MESSAGE)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.forked", str(theirs.fileno())],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT / "operator")},
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


@dataclass
class Forked:
    """What tests use of `subprocess.Popen`, for a process whose parent is another one."""

    pid: int
    stdout: IO[str]
    stderr: IO[str] | None
    wire: socket.socket
    lines: IO[str]
    returncode: int | None = field(default=None, init=False)

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; minus a number is the signal that killed it."""
        if self.returncode is None:
            if not select.select([self.wire], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
            self.returncode = int(self.lines.readline())
            self.lines.close()
            self.wire.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def communicate(self, timeout: float | None = None) -> tuple[str, str | None]:
        """Read all that it says and wait for its end."""
        end = None if timeout is None else time.monotonic() + timeout
        said: dict[int, str] = {}
        files = [each for each in (self.stdout, self.stderr) if each is not None]

        def read(number: int, file: IO[str]) -> None:
            said[number] = file.read()
            file.close()

        readers = [
            threading.Thread(target=read, args=each, daemon=True) for each in enumerate(files)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(None if end is None else max(0.0, end - time.monotonic()))
            if reader.is_alive():
                raise subprocess.TimeoutExpired(f"fork {self.pid}", timeout or 0)
        self.wait(None if end is None else max(0.0, end - time.monotonic()))
        return said[0], said.get(1)


Process = Forked | subprocess.Popen[str]


def serve(listening: int) -> dict[str, object]:
    """Fork as told until the other end is closed; return, in each fork, its request."""
    for name in IMPORTED:
        importlib.import_module(name)
    if threading.active_count() != 1:
        raise RuntimeError(f"a fork would lose these: {threading.enumerate()}")
    gc.collect()
    gc.freeze()  # what is never looked at again is never copied
    kept = socket.socket(fileno=listening)
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MESSAGE)
    while True:
        text, descriptors, _, _ = socket.recv_fds(kept, MESSAGE, 4)
        if not text:
            sys.exit(0)
        if os.fork() == 0:
            kept.close()
            _keep(descriptors)
            return json.loads(text)
        for each in descriptors:
            os.close(each)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _keep(descriptors: list[int]) -> None:
    """Fork once more and tell of the fork; return in it alone."""
    *standard, wire = descriptors
    if child := os.fork():
        for each in standard:
            os.close(each)
        os.write(wire, f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(BrokenPipeError):  # nobody asks any more
            os.write(wire, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)
    os.close(wire)
    for number, each in enumerate(standard):
        os.dup2(each, number)
        os.close(each)


def become(request: dict) -> None:
    """Be `python -m module words` with the environment and the folder of the request."""
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.path[0] = request["cwd"]
    sys.argv = [request["module"], *request["words"]]
    module = request["module"]
    for name in (f"{module}.__main__", "tests.forked", "tests"):
        sys.modules.pop(name, None)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    become(serve(int(sys.argv[1])))
