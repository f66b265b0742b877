"""The components: how each is started, and how one sees that it works."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from . import processes
from .api import is_answering
from .credentials import kubeconfig_of
from .errors import NodeError
from .places import NODE_ADDRESS, NODE_NAME, POD_RANGE, SERVICE_RANGE, Cluster
from .preparing import binary
from .waiting import wait_until


@dataclass(frozen=True)
class Component:
    """One long-lived process of a cluster.

    Attributes:
        arguments: Its flags; for containerd, which is its own program, the whole command line.
        ready: Tells whether it does its work; it is asked inside the network namespace.
        grace: Seconds that it gets to end after SIGTERM.
    """

    name: str
    arguments: Callable[[Cluster], list[str]]
    ready: Callable[[Cluster], bool]
    grace: float = 10.0

    def command(self, cluster: Cluster) -> list[str]:
        """Return the whole command line."""
        arguments = self.arguments(cluster)
        return arguments if self.name == "containerd" else [str(binary()), self.name, *arguments]


def _etcd(cluster: Cluster) -> list[str]:
    return [
        f"--data-dir={cluster.state}/etcd",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--unsafe-no-fsync",  # the data is gone with the cluster anyway
        "--log-level=warn",
    ]


def _containerd(cluster: Cluster) -> list[str]:
    return ["containerd", f"--config={cluster.state}/etc/containerd.toml"]


def _apiserver(cluster: Cluster) -> list[str]:
    secrets = cluster.state / "secrets"
    return [
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={NODE_ADDRESS}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        f"--token-auth-file={secrets}/tokens.csv",
        "--authorization-mode=Node,RBAC",
        f"--tls-cert-file={secrets}/apiserver.crt",
        f"--tls-private-key-file={secrets}/apiserver.key",
        f"--kubelet-client-certificate={secrets}/apiserver.crt",
        f"--kubelet-client-key={secrets}/apiserver.key",
        # Else logs and exec look up the node's host name, which no DNS knows.
        "--kubelet-preferred-address-types=InternalIP",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={secrets}/service-account.key",
        f"--service-account-signing-key-file={secrets}/service-account.key",
        "--allow-privileged=true",
    ]


def _controller_manager(cluster: Cluster) -> list[str]:
    secrets = cluster.state / "secrets"
    return [
        f"--kubeconfig={kubeconfig_of(cluster, 'kube-controller-manager')}",
        f"--root-ca-file={secrets}/ca.crt",
        f"--service-account-private-key-file={secrets}/service-account.key",
        "--use-service-account-credentials=true",
        # A test that stops the API server must not find the node tainted; the default is 50 s.
        "--node-monitor-grace-period=10m",
        f"--flex-volume-plugin-dir={cluster.state}/flex-volume",  # else /usr/libexec/kubernetes
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    ]


def _scheduler(cluster: Cluster) -> list[str]:
    config = kubeconfig_of(cluster, "kube-scheduler")
    return [f"--kubeconfig={config}", "--leader-elect=false", "--bind-address=127.0.0.1"]


def _kubelet(cluster: Cluster) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig_of(cluster, 'kubelet')}",
        f"--config={cluster.state}/etc/kubelet.json",
        f"--root-dir={cluster.state}/kubelet",
        f"--cert-dir={cluster.state}/kubelet/pki",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={NODE_ADDRESS}",
    ]


def _proxy(cluster: Cluster) -> list[str]:
    return [
        f"--kubeconfig={kubeconfig_of(cluster, 'kube-proxy')}",
        f"--hostname-override={NODE_NAME}",
        f"--cluster-cidr={POD_RANGE}",
        "--proxy-mode=iptables",
        # 0 leaves the kernel's values: a namespace may not set them, and kube-proxy would die.
        "--conntrack-max-per-core=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
        "--oom-score-adj=0",
    ]


def _coredns(cluster: Cluster) -> list[str]:
    return ["-conf", f"{cluster.state}/etc/Corefile"]


def _containerd_answers(cluster: Cluster) -> bool:
    return cluster.containerd_socket.exists()


COMPONENTS: Final = {
    component.name: component
    for component in (
        Component(
            "etcd", _etcd, lambda cluster: is_answering(cluster, "http://127.0.0.1:2379/health")
        ),
        Component("containerd", _containerd, _containerd_answers),
        # No grace: it would wait half reachable for its watchers to leave; etcd keeps the data.
        Component(
            "kube-apiserver",
            _apiserver,
            lambda cluster: is_answering(cluster, "https://127.0.0.1:6443/readyz"),
            grace=0.0,
        ),
        Component(
            "kube-controller-manager",
            _controller_manager,
            lambda cluster: is_answering(cluster, "https://127.0.0.1:10257/healthz"),
        ),
        Component(
            "kube-scheduler",
            _scheduler,
            lambda cluster: is_answering(cluster, "https://127.0.0.1:10259/healthz"),
        ),
        Component(
            "kubelet",
            _kubelet,
            lambda cluster: is_answering(cluster, "http://127.0.0.1:10248/healthz"),
        ),
        Component(
            "kube-proxy",
            _proxy,
            lambda cluster: is_answering(cluster, f"http://{NODE_ADDRESS}:10256/healthz"),
        ),
        Component(
            "coredns",
            _coredns,
            lambda cluster: is_answering(cluster, "http://127.0.0.1:8181/ready"),
        ),
    )
}


def component(name: str) -> Component:
    """Return the component of that name.

    Raises:
        NodeError: there is none.
    """
    if name not in COMPONENTS:
        raise NodeError(f"no component {name!r}; there are {', '.join(COMPONENTS)}")
    return COMPONENTS[name]


def log_file(cluster: Cluster, name: str) -> Path:
    """Return the component's log."""
    return cluster.log_dir / f"{name}.log"


def start(cluster: Cluster, *names: str) -> None:
    """Start those of the components that do not run."""
    for name in names:
        if not processes.is_running(cluster, name):
            processes.start(cluster, name, component(name).command(cluster))


def wait_ready(cluster: Cluster, *names: str, seconds: float = 180.0) -> None:
    """Wait until each component works.

    Raises:
        NodeError: one ended or was not ready in time; the text quotes its log.
    """
    for name in names:
        wait_until(
            partial(component(name).ready, cluster),
            seconds=seconds,
            what=f"{name} is ready",
            log=log_file(cluster, name),
            still_possible=partial(processes.is_running, cluster, name),
        )


def start_component(cluster: Cluster, name: str) -> None:
    """Start one component and return when it works; at once if it does already."""
    start(cluster, name)
    wait_ready(cluster, name)


def stop_component(cluster: Cluster, name: str) -> None:
    """Stop one component by its recorded pid; at once if it does not run."""
    found = component(name)
    process = processes.recorded(cluster, name)
    remaining = processes.stop([process], grace=found.grace) if process else []
    if remaining:
        raise NodeError(
            f"{name} (pid {remaining[0].pid}) cannot be killed; see {log_file(cluster, name)}"
        )
