"""Raw Services, EndpointSlices and workloads become what decisions are made of."""

from collections.abc import Mapping
from typing import Any

from whimbrel.controller.seen import controller_of, seconds, trouble_of
from whimbrel.machine.names import CHECK, MANAGED_ANNOTATION, SWITCHED_BY
from whimbrel.model.observed import CheckJobSeen
from whimbrel.model.release.traffic import Ends, ServiceSeen, WorkloadSeen

Body = dict[str, Any]


def service_seen(raw: Body, owners: tuple[str, ...]) -> ServiceSeen:
    """Return a Service."""
    meta = raw["metadata"]
    marks = meta.get("annotations") or {}
    return ServiceSeen(
        name=meta["name"],
        version=meta["resourceVersion"],
        selector=dict(raw["spec"].get("selector") or {}),
        mark=marks.get(SWITCHED_BY, ""),
        managed_by=marks.get(MANAGED_ANNOTATION, ""),
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


def workload_seen(
    raw: Body, pods: list[Body], owners: tuple[str, ...], selector: Mapping[str, str]
) -> WorkloadSeen:
    """Return a Deployment or StatefulSet with its Pods, and what the selector of a side finds."""
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
        found=sum(_is_found(each, selector) for each in pods),
        restarts=sum(_restarts(each) for each in pods),
        version=meta.get("resourceVersion", ""),
    )


def selector_text(selector: Body) -> str:
    """Return a LabelSelector as a query has it.

    Without its expressions one that has nothing else would find every Pod of the namespace.
    """
    labels = sorted((selector.get("matchLabels") or {}).items())
    asked = [_expression(each) for each in selector.get("matchExpressions") or ()]
    return ",".join([*(f"{key}={value}" for key, value in labels), *asked])


def _expression(asked: Body) -> str:
    key, values = asked["key"], ",".join(asked.get("values") or ())
    told: dict[str, str] = {
        "In": f"{key} in ({values})",
        "NotIn": f"{key} notin ({values})",
        "Exists": key,
        "DoesNotExist": f"!{key}",
    }
    return told[asked["operator"]]


def living(pods: list[Body]) -> frozenset[str]:
    """Return the uids of Pods that may still run: an evicted one stays, but never does again."""
    over = ("Failed", "Succeeded")
    running = (each for each in pods if (each.get("status") or {}).get("phase") not in over)
    return frozenset(str(each["metadata"]["uid"]) for each in running)


def _is_found(pod: Body, selector: Mapping[str, str]) -> bool:
    """Tell whether a selector finds a Pod that is ready; one that ends gets no traffic any more."""
    meta, conditions = pod["metadata"], (pod.get("status") or {}).get("conditions") or ()
    ready = any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)
    found = selector.items() <= (meta.get("labels") or {}).items()
    return ready and found and not meta.get("deletionTimestamp")


def _failing(status: Body) -> str:
    for each in status.get("conditions") or ():
        if each["type"] == "Progressing" and each["status"] == "False":
            return f"{each.get('reason', '')}: {each.get('message', '')}"[:500]
    return ""


def _restarts(pod: Body) -> int:
    states = (pod.get("status") or {}).get("containerStatuses") or ()
    return sum(each.get("restartCount", 0) for each in states)


def check_job_seen(raw: Body, pods: list[Body]) -> CheckJobSeen | None:
    """Return the Job of a check's measurement with its Pod, or None for any other Job."""
    meta, status = raw["metadata"], raw.get("status") or {}
    if CHECK not in (meta.get("annotations") or {}):
        return None
    own = [each for each in pods if controller_of(each["metadata"]) == meta["uid"]]
    conditions = [each for each in status.get("conditions") or () if each["status"] == "True"]
    # SuccessCriteriaMet and FailureTarget come first, while the Pod still ends.
    ended: Body = next((each for each in conditions if each["type"] in ("Complete", "Failed")), {})
    return CheckJobSeen(
        name=meta["name"],
        uid=meta["uid"],
        owner=controller_of(meta),
        created=seconds(meta.get("creationTimestamp")) or 0.0,
        leaving=bool(meta.get("deletionTimestamp")),
        end=ended.get("type", ""),
        reason=ended.get("reason", ""),
        **(_measuring(own[-1]) if own else {}),
    )


def _measuring(pod: Body) -> Body:
    status = pod.get("status") or {}
    states = {each["name"]: each.get("state") or {} for each in status.get("containerStatuses", ())}
    ended, trouble = states.get("check", {}).get("terminated") or {}, trouble_of(status)
    return {
        "exit_code": None if trouble else ended.get("exitCode"),
        "exit_told": ended.get("message") or ended.get("reason", ""),
        "trouble": trouble,
        "taken": _taken(pod["metadata"], status),
    }


def _taken(meta: Body, status: Body) -> str:
    """Return why a Pod was ended from outside: its exit code then says nothing."""
    for each in status.get("conditions") or ():
        if each["type"] == "DisruptionTarget" and each["status"] == "True":
            return f"{each.get('reason', '')}: {each.get('message', '')}"
    if status.get("reason"):
        return f"{status['reason']}: {status.get('message', '')}"
    return "its Pod was deleted" if meta.get("deletionTimestamp") else ""
