"""Keys, tokens and kubeconfigs: made anew for every cluster, readable by root only."""

import base64
import json
import secrets
from pathlib import Path
from typing import Final

from .places import API_SERVER, KUBERNETES_SERVICE, NODE_ADDRESS, NODE_NAME, Cluster
from .shell import run

ADMIN: Final = "admin"
# Token user -> (user name that Kubernetes' built-in roles are bound to, groups).
_USERS: Final = {
    ADMIN: ("admin", "system:masters"),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kubelet": (f"system:node:{NODE_NAME}", "system:nodes"),
    "kube-proxy": ("system:kube-proxy", ""),
    "coredns": ("coredns", "system:masters"),
}
_NAMES: Final = (
    f"IP:127.0.0.1,IP:{NODE_ADDRESS},IP:{KUBERNETES_SERVICE},DNS:localhost,DNS:kubernetes,"
    "DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local"
)


def write_secret(path: Path, content: str) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    path.touch(mode=0o600)
    path.write_text(content)


def kubeconfig_of(cluster: Cluster, component: str) -> Path:
    """Return the component's kubeconfig."""
    return (
        cluster.kubeconfig
        if component == ADMIN
        else cluster.state / "secrets" / f"{component}.kubeconfig"
    )


def admin_token(cluster: Cluster) -> str:
    """Return the administrator's bearer token."""
    return str(json.loads(cluster.kubeconfig.read_text())["users"][0]["user"]["token"])


def write_credentials(cluster: Cluster) -> None:
    """Write the authority, the API server's keys and one kubeconfig for each component."""
    folder = cluster.state / "secrets"
    folder.mkdir(mode=0o700)
    _write_certificates(folder)
    rows = []
    for component, (user, groups) in _USERS.items():
        token = secrets.token_hex(24)
        rows.append(f'{token},{user},{component},"{groups}"')
        write_secret(
            kubeconfig_of(cluster, component), _kubeconfig(component, token, folder / "ca.crt")
        )
    write_secret(folder / "tokens.csv", "\n".join(rows) + "\n")


def _write_certificates(folder: Path) -> None:
    """Make an authority and one certificate: the API server's face to clients and to kubelet."""
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    new += ["-nodes", "-days", "3650"]
    run(
        [
            *new,
            "-subj",
            "/CN=whimbrel-node",
            "-keyout",
            folder / "ca.key",
            "-out",
            folder / "ca.crt",
        ]
    )
    run([
        *new, "-CA", folder / "ca.crt", "-CAkey", folder / "ca.key",
        "-subj", "/O=system:masters/CN=kube-apiserver",
        "-addext", "basicConstraints=critical,CA:false", "-addext", f"subjectAltName={_NAMES}",
        "-addext", "extendedKeyUsage=serverAuth,clientAuth",
        "-keyout", folder / "apiserver.key", "-out", folder / "apiserver.crt",
    ])  # fmt: skip
    key = folder / "service-account.key"
    run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key])


def _kubeconfig(user: str, token: str, authority: Path) -> str:
    """Return a kubeconfig; JSON is YAML, and the standard library writes only the former."""
    data = base64.b64encode(authority.read_bytes()).decode()
    cluster = {"server": API_SERVER, "certificate-authority-data": data}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "whimbrel-node", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [
                {"name": "whimbrel-node", "context": {"cluster": "whimbrel-node", "user": user}}
            ],
            "current-context": "whimbrel-node",
        },
        indent=2,
    )
