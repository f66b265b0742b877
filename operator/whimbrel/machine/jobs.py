"""The Job of one attempt, or of one measurement, as the API server wants it."""

import math
from typing import Any, Final

from whimbrel.machine import names
from whimbrel.machine.decisions import CreateCheckJob, CreateJob
from whimbrel.machine.pods import TMP, pod_spec, restricted_container, restricted_pod
from whimbrel.model.job_options import JobOptions
from whimbrel.model.observed import Observed
from whimbrel.model.order import Order
from whimbrel.model.probed import longest
from whimbrel.model.spec import Spec

Body = dict[str, Any]
SLACK: Final = 5  # seconds after which a measurement ends by itself that nobody has ended in time


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
        "spec": one_pod(_template(wanted)),
    }


def one_pod(template: Body) -> Body:
    """Return a Job's spec that makes one Pod, once."""
    return {
        # The operator is the only one that retries. No TTL: a Job that vanished could be
        # created again by a leader with an old view.
        "backoffLimit": 0,
        "completions": 1,
        "parallelism": 1,
        # The default starts a second Pod while the first one still terminates
        # (Kubernetes: Jobs, "Pod replacement policy").
        "podReplacementPolicy": "Failed",
        "template": template,
    }


def _template(wanted: CreateJob) -> Body:
    order = wanted.order
    order_text = order.model_dump_json(by_alias=True, exclude_none=True)
    annotations = identity(order) | {names.ORDER: order_text}
    meta = template_meta(order.spec.job, labels(order), annotations)
    return {"metadata": meta, "spec": pod_spec(wanted)}


def template_meta(options: JobOptions, ours: Body, annotations: Body) -> Body:
    """Return labels and annotations of a Pod; those of the author stand behind ours."""
    # A mesh sidecar never ends and keeps the Job running (istio/istio#11659); podLabels may differ.
    pod_labels = {"sidecar.istio.io/inject": "false"} | options.pod_labels | ours
    stays = {
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }
    return {"labels": pod_labels, "annotations": stays | annotations}


def check_job_body(seen: Observed, spec: Spec, wanted: CreateCheckJob) -> Body:
    """Return the Job: as restricted as the others, and never taken for an attempt of the run."""
    asked = wanted.check.job
    assert asked is not None  # noqa: S101  # CEL and parse_spec want it for type Job
    labels = dict([names.MANAGED_BY])
    labels[names.OBJECT_LABEL] = names.object_label(seen.name, seen.uid)
    marks = {names.NAME: seen.name, names.CHECK: wanted.check.name}
    container = restricted_container(spec, "check", asked.image, list(asked.command))
    pod = restricted_pod(spec) | {"containers": [container], "volumes": [TMP]}
    template = {"metadata": template_meta(spec.job, labels, marks), "spec": pod}
    ends = {"activeDeadlineSeconds": math.ceil(longest(wanted.check)) + SLACK}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": wanted.name,
            "namespace": seen.namespace,
            "labels": labels,
            "annotations": marks,
            "ownerReferences": [owner_reference(seen.name, seen.uid)],
        },
        "spec": one_pod(template) | ends,
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
