"""Raw Services, EndpointSlices and workloads become what decisions are made of."""

from typing import Any

from whimbrel.machine.names import MANAGED_ANNOTATION
from whimbrel.model.release.traffic import Ends, ServiceSeen, WorkloadSeen

Body = dict[str, Any]


def service_seen(raw: Body, owners: tuple[str, ...]) -> ServiceSeen:
    """Return a Service."""
    meta = raw["metadata"]
    return ServiceSeen(
        name=meta["name"],
        version=meta["resourceVersion"],
        selector=dict(raw["spec"].get("selector") or {}),
        managed_by=(meta.get("annotations") or {}).get(MANAGED_ANNOTATION, ""),
        owners=owners,
    )


def ends_seen(slices: list[Body], *, blue: frozenset[str], green: frozenset[str]) -> Ends:
    """Return the ready endpoints of all slices of a Service, each Pod once."""
    uids = {
        str((each.get("targetRef") or {}).get("uid") or each["addresses"])
        for raw in slices
        for each in raw.get("endpoints") or ()
        # A missing value is "unknown", which consumers read as ready (discovery/v1).
        if (each.get("conditions") or {}).get("ready") is not False
    }
    # A Pod that both selectors find belongs to neither side.
    only_blue, only_green = blue - green, green - blue
    return Ends(
        blue=len(uids & only_blue),
        green=len(uids & only_green),
        strangers=len(uids - only_blue - only_green),
    )


def workload_seen(raw: Body, pods: list[Body], owners: tuple[str, ...]) -> WorkloadSeen:
    """Return a Deployment or StatefulSet with its Pods."""
    meta, spec, status = raw["metadata"], raw["spec"], raw.get("status") or {}
    wanted = spec.get("replicas", 1)
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
    newest = status.get("observedGeneration", 0) >= meta["generation"]
    return WorkloadSeen(
        name=meta["name"],
        replicas=wanted,
        ready=min(counts[1], counts[2]) if newest else 0,
        settled=newest and counts == [wanted] * 3,
        failing=_failing(status) if newest else "",
        images=frozenset(
            str(each.get("image", "")) for each in spec["template"]["spec"]["containers"]
        ),
        owners=owners,
        pods=len(living(pods)),
        restarts=sum(_restarts(each) for each in pods),
        version=meta.get("resourceVersion", ""),
    )


def living(pods: list[Body]) -> frozenset[str]:
    """Return the uids of Pods that may still run: an evicted one stays, but never does again."""
    over = ("Failed", "Succeeded")
    running = (each for each in pods if (each.get("status") or {}).get("phase") not in over)
    return frozenset(str(each["metadata"]["uid"]) for each in running)


def _failing(status: Body) -> str:
    for each in status.get("conditions") or ():
        if each["type"] == "Progressing" and each["status"] == "False":
            return f"{each.get('reason', '')}: {each.get('message', '')}"[:500]
    return ""


def _restarts(pod: Body) -> int:
    states = (pod.get("status") or {}).get("containerStatuses") or ()
    return sum(each.get("restartCount", 0) for each in states)
