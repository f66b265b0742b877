"""Bringing a cluster up and taking it down."""

import fcntl
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from . import api, cleanup, processes
from .components import COMPONENTS, log_file, start, wait_ready
from .configuration import write_configuration
from .credentials import write_credentials
from .errors import NodeError
from .network import create_netns, netns_exists
from .places import Cluster
from .preparing import binary, missing_packages
from .standard_images import load_standard_images, require_standard_images
from .waiting import wait_until

_NEEDS_API: Final = (
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)


def require_root() -> None:
    """Raise unless this process may make namespaces and mounts.

    Raises:
        NodeError: it may not.
    """
    if os.geteuid() != 0:
        raise NodeError("namespaces, mounts and control groups need root: run this with sudo")


@contextmanager
def locked(cluster: Cluster) -> Iterator[None]:
    """Let one process at a time change the cluster."""
    cluster.lock_file.parent.mkdir(parents=True, exist_ok=True)
    with cluster.lock_file.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_up(cluster: Cluster) -> bool:
    """Tell whether every component runs and the API server answers."""
    alive = all(processes.is_running(cluster, name) for name in COMPONENTS)
    return alive and COMPONENTS["kube-apiserver"].ready(cluster) and api.node_is_ready(cluster)


def up(cluster: Cluster) -> Path:
    """Make the cluster usable and return its kubeconfig; at once if it is already.

    Components that died are started again. What an earlier boot or a killed start left is removed
    first.

    Raises:
        NotPreparedError: ``prepare`` has not been run.
        NodeError: something was not ready in time; the text names the component and quotes its log.
    """
    require_root()
    binary()
    require_standard_images()
    if missing := missing_packages():
        raise NodeError(f"Debian packages are missing: {' '.join(missing)}; run 'node.py prepare'")
    with locked(cluster):
        if not is_up(cluster):
            _make_up(cluster)
    return cluster.kubeconfig


def _make_up(cluster: Cluster) -> None:
    if not any(processes.is_running(cluster, name) for name in COMPONENTS):
        _remove(cluster)
        _create(cluster)
    start(cluster, "containerd", "etcd")
    wait_ready(cluster, "containerd", "etcd")
    with ThreadPoolExecutor(max_workers=1) as background:
        loading = background.submit(load_standard_images, cluster)
        start(cluster, "kube-apiserver")
        wait_ready(cluster, "kube-apiserver")
        api.publish_dns(cluster)
        start(cluster, *_NEEDS_API)
        wait_ready(cluster, *_NEEDS_API)
        loading.result()
    _wait_usable(cluster)


def _create(cluster: Cluster) -> None:
    cluster.state.mkdir(parents=True, mode=0o755)
    cluster.log_dir.mkdir()
    write_credentials(cluster)
    write_configuration(cluster)
    create_netns(cluster)
    cleanup.create_cgroups(cluster)


def _wait_usable(cluster: Cluster) -> None:
    wait_until(
        lambda: api.node_is_ready(cluster),
        seconds=180,
        what="the node is Ready",
        log=log_file(cluster, "kubelet"),
        still_possible=lambda: processes.is_running(cluster, "kubelet"),
    )
    wait_until(
        lambda: api.default_service_account_exists(cluster),
        seconds=180,
        what="the default service account exists",
        log=log_file(cluster, "kube-controller-manager"),
        still_possible=lambda: processes.is_running(cluster, "kube-controller-manager"),
    )


def down(cluster: Cluster) -> None:
    """Stop the cluster and remove every trace of it; fine if there is none.

    Raises:
        NodeError: a process or a mount cannot be removed.
    """
    require_root()
    with locked(cluster):
        _remove(cluster)


def _remove(cluster: Cluster) -> None:
    """Stop who gives orders first, then the containers, their runtime, and the store last."""
    _stop(cluster, *(name for name in COMPONENTS if name not in ("containerd", "etcd")), grace=0.0)
    cleanup.kill_pods(cluster)
    _stop(cluster, "containerd", grace=5.0)
    _stop(cluster, "etcd", grace=0.0)
    cleanup.kill_netns_processes(cluster)
    if cluster.state.exists() or netns_exists(cluster) or leftovers(cluster):
        cleanup.remove_files(cluster)


def _stop(cluster: Cluster, *names: str, grace: float) -> None:
    recorded = [
        process for name in names if (process := processes.recorded(cluster, name)) is not None
    ]
    if remaining := processes.stop(recorded, grace=grace):
        raise NodeError(
            f"cannot be killed: {', '.join(process.command()[:80] for process in remaining)}"
        )


def leftovers(cluster: Cluster) -> list[str]:
    """Return one line for everything of the cluster that is on the machine."""
    return cleanup.leftovers(cluster, list(COMPONENTS))
