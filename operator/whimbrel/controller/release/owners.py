"""Who states a field again and again: it would be set back right after we have changed it.

Managers with the operation Apply, and what `kubectl apply` remembers; an update by hand is none.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

Body = dict[str, Any]
OURS: Final = "whimbrel"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def selector_owners(raw: Body) -> tuple[str, ...]:
    """Return who states the selector of a Service."""
    return _stating(raw, "selector")


def replica_owners(raw: Body, scalers: list[Body]) -> tuple[str, ...]:
    """Return who states the number of replicas of a workload."""
    aim = (raw.get("kind"), raw["metadata"]["name"])
    named = [
        f"HorizontalPodAutoscaler/{each['metadata']['name']}"
        for each in scalers
        if aim == (each["spec"]["scaleTargetRef"]["kind"], each["spec"]["scaleTargetRef"]["name"])
    ]
    return (*named, *_stating(raw, "replicas"))


def _stating(raw: Body, field: str) -> tuple[str, ...]:
    return tuple(sorted({*_applying(raw, field), *_remembered(raw, field)}))


def _applying(raw: Body, field: str) -> Iterator[str]:
    for each in raw["metadata"].get("managedFields") or ():
        fields = (each.get("fieldsV1") or {}).get("f:spec") or {}
        applies = each.get("operation") == "Apply" and each.get("manager") != OURS
        if applies and f"f:{field}" in fields:
            yield str(each["manager"])


def _remembered(raw: Body, field: str) -> Iterator[str]:
    text = (raw["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    if not text:
        return
    try:
        applied = json.loads(text)
    except ValueError:
        return
    if isinstance(applied, dict) and field in (applied.get("spec") or {}):
        yield "kubectl apply"
