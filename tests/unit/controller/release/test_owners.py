"""Who would set a field back right after we have changed it."""

import json
from typing import Any

import pytest

from whimbrel.controller.release.owners import replica_owners, selector_owners

Body = dict[str, Any]
SELECTOR = {"f:spec": {"f:selector": {}}}


def managed(manager: str, operation: str, fields: Body) -> Body:
    entry = {"manager": manager, "operation": operation, "fieldsV1": fields}
    return {"metadata": {"name": "shop", "managedFields": [entry]}}


def remembered(text: str) -> Body:
    notes = {"kubectl.kubernetes.io/last-applied-configuration": text}
    return {"metadata": {"name": "shop", "annotations": notes}}


@pytest.mark.parametrize(
    ("raw", "owners"),
    [
        pytest.param(managed("argocd", "Apply", SELECTOR), ("argocd",), id="an Apply manager"),
        pytest.param(managed("kubectl-patch", "Update", SELECTOR), (), id="by hand: none"),
        pytest.param(managed("whimbrel", "Apply", SELECTOR), (), id="ourselves: none"),
        pytest.param(managed("argocd", "Apply", {"f:spec": {"f:ports": {}}}), (), id="other field"),
        pytest.param(managed("argocd", "Apply", {"f:metadata": {}}), (), id="no spec at all"),
        pytest.param(
            remembered(json.dumps({"spec": {"selector": {}}})), ("kubectl apply",), id="kubectl"
        ),
        pytest.param(remembered(json.dumps({"spec": {"ports": []}})), (), id="kubectl without it"),
        pytest.param(remembered("no JSON"), (), id="nonsense"),
        pytest.param(remembered("[]"), (), id="another document"),
        pytest.param({"metadata": {"name": "shop"}}, (), id="nobody"),
    ],
)
def test_owners_of_a_selector(raw: Body, owners: tuple[str, ...]):
    assert selector_owners(raw) == owners


@pytest.mark.parametrize(
    ("kind", "name", "owners"),
    [
        pytest.param("Deployment", "shop", ("HorizontalPodAutoscaler/it",), id="its own"),
        pytest.param("StatefulSet", "shop", (), id="of another kind"),
        pytest.param("Deployment", "other", (), id="of another name"),
    ],
)
def test_an_autoscaler_owns_replicas(kind: str, name: str, owners: tuple[str, ...]):
    scaler = {
        "metadata": {"name": "it"},
        "spec": {"scaleTargetRef": {"kind": kind, "name": name}},
    }
    raw = {"kind": "Deployment", "metadata": {"name": "shop"}}
    assert replica_owners(raw, [scaler]) == owners
