"""The components' configuration files."""

import json
from typing import Final

from .credentials import kubeconfig_of
from .places import DNS_SERVICE, NODE_ADDRESS, PAUSE_IMAGE, POD_RANGE, Cluster

# Every path that has a machine-wide default is moved. restrict_oom_score_adj: without
# CAP_SYS_RESOURCE every sandbox dies otherwise, with "can't get final child's PID from pipe: EOF".
_CONTAINERD: Final = """\
version = 2
root = "{state}/containerd/root"
state = "{state}/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  tolerate_missing_hugetlb_controller = true

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "{state}/containerd/runc"
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/etc/cni"
"""


def write_configuration(cluster: Cluster) -> None:
    """Write every configuration file into the state folder."""
    folder = cluster.state / "etc"
    (folder / "cni").mkdir(parents=True)
    (folder / "containerd.toml").write_text(_containerd(cluster))
    (folder / "cni" / "10-pods.conflist").write_text(_cni(cluster))
    (folder / "kubelet.json").write_text(_kubelet(cluster))
    (folder / "Corefile").write_text(_corefile(cluster))


def _containerd(cluster: Cluster) -> str:
    return _CONTAINERD.format(
        state=cluster.state, socket=cluster.containerd_socket, pause=PAUSE_IMAGE
    )


def _cni(cluster: Cluster) -> str:
    # libcni keeps results in one machine-wide folder under this name: clusters must not share it.
    bridge = {
        "type": "bridge",
        "bridge": "pods0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
            "dataDir": f"{cluster.state}/cni",
        },
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps(
        {"cniVersion": "0.4.0", "name": cluster.netns, "plugins": [bridge, portmap]}, indent=2
    )


def _kubelet(cluster: Cluster) -> str:
    state = cluster.state
    never = dict.fromkeys(
        ("memory.available", "nodefs.available", "nodefs.inodesFree", "imagefs.available"), "0%"
    )
    content = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": f"{state}/secrets/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "address": NODE_ADDRESS,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cluster.cgroup}",
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{cluster.containerd_socket}",
        "failSwapOn": False,
        "resolvConf": "",
        # Images cannot be pulled again, so nothing may be deleted for lack of disk.
        "evictionHard": never,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        # Paths with a machine-wide default, which down would have to know about.
        "podLogsDir": f"{state}/pod-logs",
        "volumePluginDir": f"{state}/kubelet/volume-plugins",
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "eventRecordQPS": 0,
        "serializeImagePulls": False,
        "oomScoreAdj": 0,
    }
    return json.dumps(content, indent=2)


def _corefile(cluster: Cluster) -> str:
    # No forward plugin: a name outside the cluster is refused at once instead of timing out.
    return f"""\
.:53 {{
    errors
    ready 127.0.0.1:8181
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig_of(cluster, "coredns")}
        ttl 5
    }}
}}
"""
