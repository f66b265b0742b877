"""Long-lived processes, known by pid and start time so that a recycled pid is never touched."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import NodeError
from .places import Cluster

_GONE_AFTER_KILL: Final = 10.0  # seconds; a killed process that stays longer hangs in the kernel


@dataclass(frozen=True)
class Process:
    """One process of this machine's present boot.

    Attributes:
        started: Start time in clock ticks since boot (proc(5), field 22 of stat).
    """

    pid: int
    started: int

    def is_alive(self) -> bool:
        """Tell whether this very process runs; a zombie does not."""
        return find_process(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended already."""
        if self.is_alive():
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def command(self) -> str:
        """Return its command line, empty once it has ended."""
        try:
            return (
                Path(f"/proc/{self.pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
                .strip()
            )
        except OSError:
            return ""


def find_process(pid: int) -> Process | None:
    """Return the process that has the pid now."""
    try:
        # The name in parentheses may hold anything, so the fields are counted from its end.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    if fields[0] in "ZX":
        return None
    return Process(pid, int(fields[19]))


def all_processes() -> Iterator[Process]:
    """Yield every process of this machine."""
    for entry in Path("/proc").iterdir():
        found = find_process(int(entry.name)) if entry.name.isdigit() else None
        if found is not None:
            yield found


def inside_netns(cluster: Cluster, command: Sequence[str]) -> list[str]:
    """Return the command, moved into the cluster's network namespace.

    Not ``ip netns exec``: that makes a new mount namespace too, and containerd would not see
    the volumes that kubelet mounts.
    """
    return ["nsenter", f"--net={cluster.netns_file}", *command]


def _record(cluster: Cluster, component: str) -> Path:
    return cluster.state / "pids" / f"{component}.json"


def recorded(cluster: Cluster, component: str) -> Process | None:
    """Return the process that was last started as this component, alive or not."""
    try:
        content = json.loads(_record(cluster, component).read_text())
    except FileNotFoundError:
        return None
    return Process(content["pid"], content["started"])


def is_running(cluster: Cluster, component: str) -> bool:
    """Tell whether the component's recorded process lives."""
    process = recorded(cluster, component)
    return process is not None and process.is_alive()


def start(cluster: Cluster, component: str, command: Sequence[str]) -> Process:
    """Start a component so that it outlives this process and its terminal, and record its pid.

    nsenter execs, so the recorded pid is the component's own.
    """
    log = cluster.log_dir / f"{component}.log"
    with log.open("ab") as output:
        started = subprocess.Popen(
            inside_netns(cluster, command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cluster.state,
            env={
                "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "HOME": str(cluster.state),
            },
            start_new_session=True,
        )
    process = find_process(started.pid)
    # Else Python warns that the child still runs; outliving us is its purpose.
    started.returncode = 0
    if process is None:
        raise NodeError(f"{component} ended at once; see {log}")
    record = _record(cluster, component)
    record.parent.mkdir(exist_ok=True)
    record.write_text(json.dumps({"pid": process.pid, "started": process.started}))
    return process


def wait_gone(processes: Iterable[Process], seconds: float) -> list[Process]:
    """Return those that still live after at most that many seconds."""
    deadline = time.monotonic() + seconds
    living = [process for process in processes if process.is_alive()]
    while living and time.monotonic() < deadline:
        time.sleep(0.02)
        living = [process for process in living if process.is_alive()]
    return living


def stop(processes: Iterable[Process], *, grace: float) -> list[Process]:
    """Ask the processes to end, kill those that have not after the grace, return those that remain.

    Args:
        grace: Seconds between SIGTERM and SIGKILL; 0 kills at once.
    """
    asked = list(processes)
    if grace > 0:
        for process in asked:
            process.send(signal.SIGTERM)
    for process in wait_gone(asked, grace):
        process.send(signal.SIGKILL)
    return wait_gone(asked, _GONE_AFTER_KILL)
