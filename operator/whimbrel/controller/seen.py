"""Raw objects of the API server become the frozen types that decisions are made of."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError

from whimbrel.machine import names
from whimbrel.model.errors import SpecError, WhimbrelError
from whimbrel.model.observed import JobSeen, Observed, PodSeen
from whimbrel.model.spec import Spec, parse_spec
from whimbrel.model.status import Status

Body = dict[str, Any]
NOT_STARTING = frozenset({"ContainerCreating", "PodInitializing"})
# The runtime could not even start it; the runner beside it would wait for its hello.
NEVER_STARTED = frozenset({"StartError", "ContainerCannotRun"})


def object_seen(raw: Body, now: float) -> Observed:
    """Return a DatabaseMigration as seen in its own body, without Jobs and Pods.

    Raises:
        WhimbrelError: Its status was written by a newer operator.
    """
    meta = raw["metadata"]
    spec, problem = _spec(raw)
    return Observed(
        namespace=meta["namespace"],
        name=meta["name"],
        uid=meta["uid"],
        generation=meta["generation"],
        spec=spec,
        problem=problem,
        status=_status(raw),
        now=now,
        annotations=dict(meta.get("annotations") or {}),
        finalizers=frozenset(meta.get("finalizers") or ()),
        leaving_since=seconds(meta.get("deletionTimestamp")),
    )


def _spec(raw: Body) -> tuple[Spec | None, str]:
    try:
        return parse_spec(raw.get("spec") or {}), ""
    except SpecError as error:
        return None, error.message


def _status(raw: Body) -> Status:
    try:
        return Status.model_validate(raw.get("status") or {})
    except ValidationError as error:
        where = error.errors(include_url=False, include_input=False)[0]["loc"]
        raise WhimbrelError(
            "OperatorTooOld",
            f"status.{'.'.join(map(str, where))} is none that this version writes; "
            "a newer operator works on this object",
        ) from error


def job_seen(raw: Body, pods: list[PodSeen]) -> JobSeen | None:
    """Return a Job with its newest Pod, or None where it does not say which attempt it is."""
    meta = raw["metadata"]
    marks = meta.get("annotations") or {}
    if names.RUN not in marks:
        return None
    own = [pod for pod in pods if pod.job_uid == meta["uid"]]
    return JobSeen(
        name=meta["name"],
        uid=meta["uid"],
        owner=controller_of(meta),
        run=marks[names.RUN],
        segment=marks.get(names.SEGMENT, ""),
        attempt=int(marks.get(names.ATTEMPT, "0")),
        of=marks.get(names.NAME, ""),
        created=seconds(meta.get("creationTimestamp")) or 0.0,
        finished=_is_finished(raw),
        leaving=bool(meta.get("deletionTimestamp")),
        pod=own[-1] if own else None,
    )


def controller_of(meta: Body) -> str:
    """Return the uid of the object that owns another one, or ""."""
    owners = meta.get("ownerReferences") or ()
    return next((each["uid"] for each in owners if each.get("controller")), "")


def _is_finished(raw: Body) -> bool:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return any(
        each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions
    )


def pod_seen(raw: Body) -> PodSeen | None:
    """Return a Pod, or None where it does not say which attempt it is."""
    meta, status = raw["metadata"], raw.get("status") or {}
    marks = meta.get("annotations") or {}
    if names.RUN not in marks:
        return None
    expected = len(raw["spec"]["containers"])
    states = {each["name"]: each.get("state") or {} for each in status.get("containerStatuses", ())}
    ended = len(states) == expected and all(_has_ended(state) for state in states.values())
    started = len(states) == expected and not any("waiting" in state for state in states.values())
    runner = states.get("runner", {}).get("terminated")
    trouble = trouble_of(status)
    return PodSeen(
        name=meta["name"],
        job_uid=controller_of(meta),
        run=marks[names.RUN],
        segment=marks.get(names.SEGMENT, ""),
        attempt=int(marks.get(names.ATTEMPT, "0")),
        working=started and not ended and runner is None and not trouble,
        ended=ended,
        message=None if runner is None else runner.get("message") or "",
        started=max((_started(state) for state in states.values()), default=0.0),
        trouble=trouble,
        leaving_since=seconds(meta.get("deletionTimestamp")),
    )


def _has_ended(state: Body) -> bool:
    # ContainerStatusUnknown: the kubelet could not find the container; that proves nothing.
    ended = state.get("terminated")
    return ended is not None and ended.get("reason") != "ContainerStatusUnknown"


def _started(state: Body) -> float:
    return seconds((state.get("running") or {}).get("startedAt")) or 0.0


def trouble_of(status: Body) -> str:
    """Return why a container of a Pod does not start ("ImagePullBackOff: ..."), or ""."""
    for each in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        state = each.get("state") or {}
        stuck = state.get("waiting") or state.get("terminated") or {}
        reason = stuck.get("reason")
        if reason in NEVER_STARTED or (
            reason and "waiting" in state and reason not in NOT_STARTING
        ):
            return _sentence(reason, stuck.get("message"), each.get("image", ""))
    for each in status.get("conditions", ()):
        if each["type"] == "PodScheduled" and each["status"] == "False":
            return _sentence(each.get("reason") or "Unschedulable", each.get("message"))
    return ""


def _sentence(reason: str, message: str | None, image: str = "") -> str:
    # The kubelet alternates between the two, with changing texts; one word, one status.
    if reason in ("ErrImagePull", "ImagePullBackOff"):
        return f"ImagePullBackOff: the image {image} cannot be pulled"
    return f"{reason}: {message[:500]}" if message else reason


def seconds(text: str | None) -> float | None:
    """Return the Unix seconds of a Kubernetes time, or None."""
    return datetime.fromisoformat(text).timestamp() if text else None
