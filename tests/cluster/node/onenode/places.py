"""Where things are: folders, names and addresses, all derived from a cluster's name."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .errors import NodeError

SOURCE: Final = Path(__file__).resolve().parent.parent

# RFC 2544's benchmark range: no real network uses it, so nothing here can be mistaken for one.
NODE_ADDRESS: Final = "198.18.0.1"
NODE_PREFIX: Final = 24
POD_RANGE: Final = "198.18.1.0/24"
SERVICE_RANGE: Final = "198.19.0.0/24"
KUBERNETES_SERVICE: Final = "198.19.0.1"
DNS_SERVICE: Final = "198.19.0.10"
NODE_NAME: Final = "node"
API_SERVER: Final = "https://127.0.0.1:6443"

BASE_IMAGE: Final = "docker.io/library/python:3.11-slim-bookworm"
PAUSE_IMAGE: Final = "docker.io/library/whimbrel-pause:1"
NODE_IMAGE: Final = "docker.io/library/whimbrel-node:22"  # built where a test wants it
POSTGRESQL_IMAGE: Final = "docker.io/library/whimbrel-postgresql:15"

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?")
_LONGEST_UNIX_SOCKET: Final = 107  # bytes, sun_path in unix(7) less its closing zero


def cache_dir() -> Path:
    """Return the folder of everything that is built once: the binary and the images."""
    configured = os.environ.get("WHIMBREL_CACHE_DIR")
    return Path(configured) if configured else Path.home() / ".cache" / "whimbrel"


def nodes_dir() -> Path:
    """Return the folder that holds one state folder for each cluster."""
    return Path(os.environ.get("WHIMBREL_NODE_DIR") or "/var/tmp/whimbrel-node")


@dataclass(frozen=True)
class Cluster:
    """One cluster's names and paths; two clusters share none of them."""

    name: str
    state: Path

    @property
    def netns(self) -> str:
        """Return the name of the network namespace that everything runs in."""
        return f"whimbrel-{self.name}"

    @property
    def netns_file(self) -> Path:
        """Return the file that nsenter opens."""
        return Path("/run/netns") / self.netns

    @property
    def cgroup(self) -> str:
        """Return the name of the control group that all Pods are under."""
        return f"whimbrel-{self.name}"

    @property
    def containerd_socket(self) -> Path:
        """Return containerd's socket; it can be reached from outside the network namespace."""
        return self.state / "containerd.sock"

    @property
    def kubeconfig(self) -> Path:
        """Return the administrator's kubeconfig."""
        return self.state / "kubeconfig"

    @property
    def log_dir(self) -> Path:
        """Return the folder with one log file for each component."""
        return self.state / "log"

    @property
    def lock_file(self) -> Path:
        """Return the lock that up and down hold; it lies outside the state that down removes."""
        return self.state.with_name(f".{self.name}.lock")


def cluster(name: str) -> Cluster:
    """Return the cluster of that name, running or not.

    Raises:
        NodeError: the name cannot be part of a path, a network namespace and a socket address.
    """
    if not _NAME.fullmatch(name):
        raise NodeError(f"cluster name {name!r}: use 1 to 20 of a-z, 0-9 and '-'")
    found = Cluster(name, nodes_dir().absolute() / name)
    longest = found.state / "kubelet" / "pod-resources" / "kubelet.sock"
    if len(os.fsencode(longest)) > _LONGEST_UNIX_SOCKET:
        raise NodeError(
            f"{found.state}: too long for a Unix socket; set WHIMBREL_NODE_DIR to a shorter path"
        )
    return found
