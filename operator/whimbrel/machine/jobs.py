"""The Job of one attempt, as the API server wants it."""

from typing import Any

from whimbrel.machine import names
from whimbrel.machine.decisions import CreateJob
from whimbrel.machine.pods import pod_spec
from whimbrel.model.order import Order

Body = dict[str, Any]


def job_body(wanted: CreateJob) -> Body:
    """Return the Job: one Pod, never restarted, never collected by anybody but us."""
    order = wanted.order
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": wanted.name,
            "namespace": order.namespace,
            "labels": labels(order),
            "annotations": identity(order),
            "ownerReferences": [owner_reference(order.name, order.uid)],
        },
        "spec": {
            # The operator is the only one that retries. No TTL: a Job that vanished could be
            # created again by a leader with an old view.
            "backoffLimit": 0,
            "completions": 1,
            "parallelism": 1,
            # The default starts a second Pod while the first one still terminates
            # (Kubernetes: Jobs, "Pod replacement policy").
            "podReplacementPolicy": "Failed",
            "template": _template(wanted),
        },
    }


def _template(wanted: CreateJob) -> Body:
    order = wanted.order
    order_text = order.model_dump_json(by_alias=True, exclude_none=True)
    # A mesh sidecar never ends and keeps the Job running (istio/istio#11659); podLabels may differ.
    pod_labels = {"sidecar.istio.io/inject": "false"} | order.spec.job.pod_labels | labels(order)
    stays = {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }
    annotations = stays | identity(order) | {names.ORDER: order_text}
    return {
        "metadata": {"labels": pod_labels, "annotations": annotations},
        "spec": pod_spec(wanted),
    }


def labels(order: Order) -> dict[str, str]:
    """Return our fixed labels; never those of the object (they would select and prune)."""
    mine = (names.OBJECT_LABEL, names.object_label(order.name, order.uid))
    shared = (names.DATABASE_LABEL, names.database_label(order.spec.database))
    return dict([names.MANAGED_BY, mine, shared])


def identity(order: Order) -> dict[str, str]:
    """Return the annotations that say which attempt this is."""
    return {
        names.NAME: order.name,
        names.RUN: order.run,
        names.SEGMENT: str(order.segment),
        names.ATTEMPT: str(order.attempt),
    }


def owner_reference(name: str, uid: str) -> Body:
    """Return the controller reference to a DatabaseMigration."""
    return {
        "apiVersion": f"{names.GROUP}/{names.VERSION}",
        "kind": names.KIND,
        "name": name,
        "uid": uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def plan_body(order_owner: tuple[str, str, str], name: str, text: str) -> Body:
    """Return the immutable ConfigMap that shows a plan; the owner is namespace, name and uid."""
    namespace, owner, uid = order_owner
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": dict([names.MANAGED_BY]),
            "ownerReferences": [owner_reference(owner, uid)],
        },
        "immutable": True,
        "data": {"plan.txt": text},
    }
