"""Finding and removing everything that a cluster leaves on a machine."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import processes
from .errors import NodeError
from .mounts import mounts_under, unmount_under
from .network import delete_netns, netns_exists
from .places import Cluster
from .processes import Process, all_processes, find_process

_CGROUPS: Final = Path("/sys/fs/cgroup")
_CNI_RESULTS: Final = Path(
    "/var/lib/cni/results"
)  # libcni's cache folder cannot be configured in containerd 1.6
_LOG_LINKS: Final = Path("/var/log/containers")  # nor can this one of kubelet
# Of the processor, where a process has 1024. With 1024 for all Pods together, eight busy processes
# beside the cluster left them a ninth: 200 requests/s took 260 ms each, and 3 ms with this.
_WEIGHT_OF_PODS: Final = "8192"
_SHIMS_GONE: Final = 5.0  # seconds for containerd to end its shims once their containers are dead
_POD_PROCESSES_GONE: Final = 10.0


def create_cgroups(cluster: Cluster) -> None:
    """Make the control group that kubelet puts all Pods under; it demands that it exists.

    Raises:
        NodeError: the machine has the unified hierarchy only, which this was never run on.
    """
    if (_CGROUPS / "cgroup.controllers").exists():
        raise NodeError(
            "this machine has cgroup v2 only: use your own cluster, WHIMBREL_TEST_KUBECONFIG"
        )
    for controller in _CGROUPS.iterdir():
        if controller.is_dir() and not controller.is_symlink() and controller.name != "unified":
            (controller / cluster.cgroup).mkdir(exist_ok=True)
    (_CGROUPS / "cpu" / cluster.cgroup / "cpu.shares").write_text(_WEIGHT_OF_PODS)


def cgroup_folders(cluster: Cluster) -> list[Path]:
    """Return the cluster's control groups, one for each controller."""
    return sorted(_CGROUPS.glob(f"*/{cluster.cgroup}"))


def pod_processes(cluster: Cluster) -> set[Process]:
    """Return every process that runs in a Pod."""
    pids: set[int] = set()
    for folder in cgroup_folders(cluster):
        for inside, _, _ in os.walk(folder):
            try:
                pids.update(map(int, (Path(inside) / "cgroup.procs").read_text().split()))
            except OSError:  # the group vanished between listing and reading
                continue
    return {found for pid in pids if (found := find_process(pid)) is not None}


def shims(cluster: Cluster) -> set[Process]:
    """Return the containerd shims of this cluster's containerd."""
    address = f"-address {cluster.containerd_socket}"
    return {
        found
        for found in all_processes()
        if "containerd-shim" in (line := found.command()) and address in line
    }


def _own_line() -> set[int]:
    """Return this process and its ancestors: down may have been called through enter."""
    pids = set()
    pid = os.getpid()
    while pid > 0:
        pids.add(pid)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(fields[1])
    return pids


def netns_processes(cluster: Cluster) -> set[Process]:
    """Return every process in the cluster's network namespace, this one and its ancestors aside."""
    if not netns_exists(cluster):
        return set()
    wanted = cluster.netns_file.stat().st_ino
    found = set()
    for process in all_processes():
        try:
            if Path(f"/proc/{process.pid}/ns/net").stat().st_ino == wanted:
                found.add(process)
        except OSError:  # it ended meanwhile, or it is the kernel's
            continue
    own = _own_line()
    return {process for process in found if process.pid not in own}


def kill_pods(cluster: Cluster) -> None:
    """Kill every process of every Pod, and then the shims, which containerd ends if it can."""
    killed: set[Process] = set()
    while living := pod_processes(cluster):
        killed |= living
        for process in living:
            process.send(signal.SIGKILL)
        if processes.wait_gone(living, _POD_PROCESSES_GONE):
            raise NodeError(
                f"Pod processes cannot be killed: {sorted(process.pid for process in living)}"
            )
    processes.wait_gone(
        shims(cluster), _SHIMS_GONE if processes.is_running(cluster, "containerd") else 0
    )
    processes.stop(shims(cluster), grace=0)


def kill_netns_processes(cluster: Cluster) -> None:
    """End what still runs in the namespace, such as a forgotten ``kubectl port-forward``."""
    processes.stop(netns_processes(cluster), grace=2.0)


def _traces(cluster: Cluster) -> Iterator[Path]:
    """Yield the files outside the state folder that belong to the cluster."""
    yield from _CNI_RESULTS.glob(f"{cluster.netns}-*")
    for link in _LOG_LINKS.glob("*.log"):
        if link.is_symlink() and link.readlink().is_relative_to(cluster.state):
            yield link


def remove_files(cluster: Cluster) -> None:
    """Unmount everything, then remove namespace, control groups, traces and the state folder.

    Raises:
        NodeError: something is still mounted; nothing was removed, it would reach into it.
    """
    unmount_under(cluster.state)
    delete_netns(cluster)
    for folder in cgroup_folders(cluster):
        for inside, _, _ in os.walk(folder, topdown=False):
            Path(inside).rmdir()
    for trace in _traces(cluster):
        trace.unlink()
    if cluster.state.exists():
        shutil.rmtree(cluster.state)


def leftovers(cluster: Cluster, components: list[str]) -> list[str]:
    """Return one line for everything of the cluster that is on the machine."""
    recorded = {
        process for name in components if (process := processes.recorded(cluster, name)) is not None
    }
    living = {process for process in recorded if process.is_alive()}
    living |= pod_processes(cluster) | shims(cluster) | netns_processes(cluster)
    lines = [
        f"process {process.pid}: {process.command()[:120]}"
        for process in sorted(living, key=lambda p: p.pid)
    ]
    lines += [f"mount {path}" for path in mounts_under(cluster.state)]
    lines += [f"network namespace {cluster.netns}"] if netns_exists(cluster) else []
    lines += [f"control group {path}" for path in cgroup_folders(cluster)]
    lines += [f"file {path}" for path in _traces(cluster)]
    lines += [f"folder {cluster.state}"] if cluster.state.exists() else []
    return lines
