"""A network namespace with no way out: both ends of its only cable are inside."""

import ctypes
import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from .errors import NodeError
from .places import NODE_ADDRESS, NODE_PREFIX, Cluster
from .processes import inside_netns
from .shell import run

_CLONE_NEWNET: Final = 0x40000000
T = TypeVar("T")


def netns_exists(cluster: Cluster) -> bool:
    """Tell whether the cluster's network namespace is there."""
    return cluster.netns_file.exists()


def create_netns(cluster: Cluster) -> None:
    """Make the namespace, the node's address and a default route that leads nowhere.

    The route has to exist: API server and kube-proxy refuse a node without one.
    """
    run(["ip", "netns", "add", cluster.netns])
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", "name", "node0", "type", "veth", "peer", "name", "node1"],
        ["ip", "address", "add", f"{NODE_ADDRESS}/{NODE_PREFIX}", "dev", "node0"],
        ["ip", "link", "set", "node0", "up"],
        ["ip", "link", "set", "node1", "up"],
        [
            "ip",
            "route",
            "add",
            "default",
            "via",
            NODE_ADDRESS.rpartition(".")[0] + ".254",
            "dev",
            "node0",
        ],
        ["sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1"],
    ):
        run(inside_netns(cluster, command))


def delete_netns(cluster: Cluster) -> None:
    """Remove the namespace, and with it its addresses and iptables rules."""
    if netns_exists(cluster):
        run(["ip", "netns", "delete", cluster.netns])


def call_inside(cluster: Cluster, function: Callable[[], T]) -> T:
    """Return the function's result, called in the cluster's network namespace.

    A namespace belongs to a thread, so a thread of its own leaves the caller's alone.
    ``os.setns`` came with Python 3.12 only; libc's is always there.
    """

    def join_and_call() -> T:
        _join_netns(cluster)
        return function()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(join_and_call).result()


def _join_netns(cluster: Cluster) -> None:
    descriptor = os.open(cluster.netns_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET) != 0:
            raise NodeError(f"cannot enter {cluster.netns_file}: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(descriptor)


def enter(cluster: Cluster, command: list[str]) -> None:
    """Become the command, inside the network namespace, with KUBECONFIG set; never returns."""
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig)
    argv = inside_netns(cluster, command)
    os.execvp(argv[0], argv)


def run_inside(cluster: Cluster, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as ``enter`` does, and return its exit code and what it printed."""
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig)}
    return subprocess.run(
        inside_netns(cluster, command),
        check=False,
        env=environment,
        text=True,
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
