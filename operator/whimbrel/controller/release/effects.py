"""The two writes of a release: the selector of a Service, and a number of replicas."""

from whimbrel.controller import paths
from whimbrel.controller.client import Client, ConflictError, RejectedError
from whimbrel.machine.decisions import ScaleWorkload, SwitchService
from whimbrel.machine.names import SWITCHED_BY

# There are annotations: without `managed-by` nothing is switched.
_MARK = f"/metadata/annotations/{SWITCHED_BY.replace('/', '~1')}"
INVALID = 422  # what the API server answers where a `test` of a JSON patch does not hold


async def switch_service(client: Client, namespace: str, wanted: SwitchService) -> None:
    """Replace the whole selector, unless somebody has written the Service meanwhile.

    A merge would leave stale keys (argo-rollouts#83); two writes at once would hide one.

    Raises:
        ConflictError: Somebody has; look again.
        RejectedError: We may not.
    """
    test = {"op": "test", "path": "/metadata/resourceVersion", "value": wanted.version}
    change = {"op": "add", "path": "/spec/selector", "value": dict(wanted.selector)}
    mark = {"op": "add", "path": _MARK, "value": wanted.mark}
    try:
        await client.change(f"{paths.services(namespace)}/{wanted.name}", [test, change, mark])
    except RejectedError as error:
        if error.status != INVALID:
            raise
        raise ConflictError(error.status, error.reason, error.message) from error


async def scale_workload(client: Client, namespace: str, wanted: ScaleWorkload) -> None:
    """Set the number of replicas, by the subresource that autoscalers use too.

    Raises:
        ConflictError: Somebody has written the workload meanwhile; look again.
        RejectedError: We may not.
    """
    path = f"{paths.workloads(namespace, wanted.kind)}/{wanted.name}/scale"
    guard = {"resourceVersion": wanted.version}
    await client.patch(path, {"metadata": guard, "spec": {"replicas": wanted.replicas}})
