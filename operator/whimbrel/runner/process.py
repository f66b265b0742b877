"""Which process this is, and whether another one of this machine is gone (Linux)."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_AFTER_NAME: Final = 3  # field 3 (state) is the first after the name in /proc/PID/stat (proc(5))
_START: Final = 22 - _AFTER_NAME


@dataclass(frozen=True)
class Process:
    """A process, so that nothing else is ever taken for it.

    Attributes:
        host: Host name and pid name space: containers of one host may share the former.
        boot_id: Changes with every start of the kernel; "" where there is none.
        start: Start time in clock ticks since boot; 0 for unknown.
    """

    host: str
    boot_id: str
    pid: int
    start: int


def this_process() -> Process:
    """Return this process."""
    pid = os.getpid()
    return Process(_host(), _read(_PROC / "sys/kernel/random/boot_id"), pid, _start_of(pid))


def process_is_gone(process: Process, *, mark: str = "") -> bool:
    """Return whether a process of this machine is proven to be gone, and all that it started.

    False also means "not known": another machine, another boot, no /proc.

    Args:
        process: The process.
        mark: The PGAPPNAME that whatever it started has in its environment, or "".
    """
    here = this_process()
    if not here.boot_id or not here.start or process.start == 0:
        return False
    if (process.host, process.boot_id) != (here.host, here.boot_id):
        return False
    if _start_of(process.pid) == process.start:
        return False
    return not (mark and _marked_lives(mark))


def _host() -> str:
    try:
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - text of the link, not a path
    except OSError:
        space = ""
    return f"{socket.gethostname()} {space}".strip()


def _start_of(pid: int) -> int:
    fields = _fields(_PROC / str(pid) / "stat")
    # A zombie has ended; only its parent has not looked yet.
    return int(fields[_START]) if fields and fields[0] not in "ZX" else 0


def _marked_lives(mark: str) -> bool:
    """Tell whether a process inherited the mark, however far it went from its parents."""
    wanted = f"PGAPPNAME={mark}"
    return any(wanted in _read(path).split("\0") for path in _PROC.glob("[0-9]*/environ"))


def _fields(path: Path) -> list[str]:
    # The name is in parentheses and may hold anything, parentheses too.
    return _read(path).rpartition(")")[2].split()


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
