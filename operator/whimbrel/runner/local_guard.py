"""Parent of a tool at a terminal: kills all of it as soon as the process that asked is gone.

A program of its own, started by `local_tool` with nothing but the standard library, because a
process that gets SIGKILL can clean up nothing. It reads its standard input: each byte is a signal
for the tool's group, the end means "kill". It writes one line about the end to `RESULT_FD`.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
from pathlib import Path
from typing import NoReturn

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def main(result: int, cwd: str, argv: list[str]) -> None:
    """Start the tool, pass signals on, and leave nothing of it behind."""
    process_control(PR_SET_CHILD_SUBREAPER, 1)
    wake, wake_end = os.pipe()
    os.set_blocking(wake_end, False)
    signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    tool = start(result, cwd, argv)
    status = follow(tool, wake)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(tool, signal.SIGKILL)
    kill_descendants()
    if status is not None:
        os.write(result, describe(status).encode())


def process_control(option: int, value: int) -> None:
    """Call prctl(2) where the system has it."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def start(result: int, cwd: str, argv: list[str]) -> int:
    """Fork and become the tool in a process group of its own; return its pid."""
    tool = os.fork()
    if tool == 0:
        become(result, cwd, argv)
    with contextlib.suppress(OSError):
        os.setpgid(tool, tool)
    return tool


def become(result: int, cwd: str, argv: list[str]) -> NoReturn:
    """Turn this process into the tool, or say why not."""
    os.setpgid(0, 0)
    process_control(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.set_inheritable(result, False)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    stage = "directory"
    try:
        if cwd:
            os.chdir(cwd)
        stage = "program"
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except OSError as error:
        os.write(result, f"{stage} {error.errno}\n".encode())
    os._exit(127)


def follow(tool: int, wake: int) -> int | None:
    """Return the tool's wait status when it ends, None when the asking process went first."""
    while True:
        ready, _, _ = select.select([0, wake], [], [])
        if wake in ready:
            os.read(wake, 4096)
        ended = reaped(tool)
        if ended is not None:
            return ended
        if 0 in ready:
            numbers = os.read(0, 64)
            if not numbers:
                return None
            for number in numbers:
                with contextlib.suppress(OSError):
                    os.killpg(tool, number)


def reaped(tool: int) -> int | None:
    """Reap every child that ended; return the tool's wait status if it was among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == tool:
                found = status
    return found


def kill_descendants() -> None:
    """Kill children until none is left; orphans become our children (subreaper)."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                for child in children():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
                select.select([], [], [], 0.005)


def children() -> list[int]:
    """Return the pids whose parent is this process (Linux; elsewhere none are found)."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = status.read_text(errors="replace").rpartition(")")[2].split()[1]
            if int(parent) == os.getpid():
                found.append(int(status.parent.name))
    return found


def describe(status: int) -> str:
    """Return the line about a wait status."""
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}\n"
    return f"exit {os.WEXITSTATUS(status)}\n"


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
