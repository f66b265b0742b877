"""Paths of the REST interface."""

from whimbrel.machine import names


def group() -> str:
    """Return the path of our API group's version, which lists what it knows."""
    return f"/apis/{names.GROUP}/{names.VERSION}"


def migration(namespace: str, name: str) -> str:
    """Return the path of a DatabaseMigration."""
    return f"/apis/{names.GROUP}/{names.VERSION}/namespaces/{namespace}/{names.PLURAL}/{name}"


def migrations(namespace: str = "") -> str:
    """Return the path of all DatabaseMigrations, of one namespace or of all."""
    scope = f"/namespaces/{namespace}" if namespace else ""
    return f"/apis/{names.GROUP}/{names.VERSION}{scope}/{names.PLURAL}"


def jobs(namespace: str) -> str:
    """Return the path of a namespace's Jobs."""
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def pods(namespace: str) -> str:
    """Return the path of a namespace's Pods."""
    return f"/api/v1/namespaces/{namespace}/pods"


def services(namespace: str) -> str:
    """Return the path of a namespace's Services."""
    return f"/api/v1/namespaces/{namespace}/services"


def endpoint_slices(namespace: str) -> str:
    """Return the path of a namespace's EndpointSlices."""
    return f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"


def workloads(namespace: str, kind: str) -> str:
    """Return the path of a namespace's Deployments or StatefulSets."""
    return f"/apis/apps/v1/namespaces/{namespace}/{kind.lower()}s"


def autoscalers(namespace: str) -> str:
    """Return the path of a namespace's HorizontalPodAutoscalers."""
    return f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"


def config_maps(namespace: str) -> str:
    """Return the path of a namespace's ConfigMaps; we only create there."""
    return f"/api/v1/namespaces/{namespace}/configmaps"


def events(namespace: str) -> str:
    """Return the path of a namespace's Events."""
    return f"/api/v1/namespaces/{namespace}/events"


def namespace(name: str) -> str:
    """Return the path of a namespace."""
    return f"/api/v1/namespaces/{name}"


def leases(namespace: str) -> str:
    """Return the path of a namespace's Leases."""
    return f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
