"""The writes of a release: a Service's selector, a number of replicas, and Jobs of checks."""

from typing import Any

from whimbrel.controller import paths
from whimbrel.controller.client import Client, ConflictError, RejectedError
from whimbrel.machine.decisions import CreateCheckJob, ScaleWorkload, SwitchService
from whimbrel.machine.jobs import check_job_body
from whimbrel.machine.names import CHECK, SWITCHED_BY
from whimbrel.model.observed import Observed
from whimbrel.model.spec import Spec

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


async def create_check_job(
    client: Client, seen: Observed, spec: Spec, wanted: CreateCheckJob
) -> str:
    """Create the Job of a measurement, or find the one that was created before a crash.

    Returns:
        Why there is none and will be none, or "".
    """
    path = paths.jobs(seen.namespace)
    try:
        await client.create(path, check_job_body(seen, spec, wanted))
    except RejectedError as error:
        return f"the API server refuses the Job: {error.message}"
    except ConflictError:
        raw = await client.get(f"{path}/{wanted.name}")
        if raw is not None and not _is_ours(raw["metadata"], seen):
            return f"a Job {wanted.name} exists that does not belong to this object"
    return ""


def _is_ours(meta: dict[str, Any], seen: Observed) -> bool:
    owners = {each["uid"] for each in meta.get("ownerReferences") or ()}
    return seen.uid in owners and CHECK in (meta.get("annotations") or {})
