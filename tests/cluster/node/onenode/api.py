"""The few questions that a start asks of the components, over plain HTTP."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final

from .credentials import admin_token
from .errors import NodeError
from .network import call_inside
from .places import API_SERVER, DNS_SERVICE, NODE_ADDRESS, NODE_NAME, Cluster

_TIMEOUT: Final = 5.0  # seconds for one request; every caller asks again


def is_answering(cluster: Cluster, url: str) -> bool:
    """Tell whether the address, inside the cluster's network namespace, answers with success."""
    try:
        return call_inside(cluster, lambda: _request(cluster, "GET", url, None)) is not None
    except (OSError, urllib.error.URLError):
        return False


def get(cluster: Cluster, path: str) -> Any:
    """Return the object at a path of the API server, or None while it cannot be had."""
    try:
        return json.loads(
            call_inside(cluster, lambda: _request(cluster, "GET", API_SERVER + path, None))
        )
    except (OSError, urllib.error.URLError, json.JSONDecodeError):
        return None


def node_is_ready(cluster: Cluster) -> bool:
    """Tell whether the only node takes Pods."""
    node = get(cluster, f"/api/v1/nodes/{NODE_NAME}") or {}
    conditions = node.get("status", {}).get("conditions", [])
    return any(
        condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions
    )


def default_service_account_exists(cluster: Cluster) -> bool:
    """Tell whether Pods can be made in the default namespace and know the API server."""
    prefix = "/api/v1/namespaces/default"
    account = get(cluster, f"{prefix}/serviceaccounts/default")
    return account is not None and get(cluster, f"{prefix}/configmaps/kube-root-ca.crt") is not None


def publish_dns(cluster: Cluster) -> None:
    """Give CoreDNS, which runs outside any Pod, its usual Service address."""
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
    ]
    metadata = {"name": "kube-dns", "labels": {"kubernetes.io/service-name": "kube-dns"}}
    service = {"metadata": metadata, "spec": {"clusterIP": DNS_SERVICE, "ports": ports}}
    endpoints = {
        "metadata": metadata,
        "addressType": "IPv4",
        "endpoints": [{"addresses": [NODE_ADDRESS], "conditions": {"ready": True}}],
        "ports": ports,
    }
    _create(cluster, "/api/v1/namespaces/kube-system/services", service)
    _create(cluster, "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices", endpoints)


def _create(cluster: Cluster, path: str, content: Mapping[str, Any]) -> None:
    body = json.dumps(content).encode()
    try:
        call_inside(cluster, lambda: _request(cluster, "POST", API_SERVER + path, body))
    except urllib.error.HTTPError as error:
        if error.code != 409:  # it is there already
            raise NodeError(
                f"creating {path}: {error}: {error.read().decode(errors='replace')[:500]}"
            ) from error


def _request(cluster: Cluster, method: str, url: str, body: bytes | None) -> bytes:
    request = urllib.request.Request(
        url, data=body, method=method, headers={"Content-Type": "application/json"}
    )
    handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
    if url.startswith(API_SERVER):
        request.add_header("Authorization", f"Bearer {admin_token(cluster)}")
        context = ssl.create_default_context(cafile=str(cluster.state / "secrets" / "ca.crt"))
        handlers.append(urllib.request.HTTPSHandler(context=context))
    elif url.startswith("https:"):
        # Scheduler and controller manager sign their health port themselves; no secret goes there.
        handlers.append(urllib.request.HTTPSHandler(context=ssl._create_unverified_context()))
    with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT) as answer:
        return bytes(answer.read())
