"""Raw objects of an application become what decisions are made of."""

from typing import Any

import pytest

from whimbrel.controller.release.raw import ends_seen, selector_text, workload_seen
from whimbrel.model.release.traffic import Ends

Body = dict[str, Any]


@pytest.mark.parametrize(
    ("selector", "text"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        (
            {"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]},
            "a in (1,2)",
        ),
        (
            {
                "matchLabels": {"app": "shop"},
                "matchExpressions": [
                    {"key": "b", "operator": "NotIn", "values": ["x"]},
                    {"key": "c", "operator": "Exists"},
                    {"key": "d", "operator": "DoesNotExist"},
                ],
            },
            "app=shop,b notin (x),c,!d",
        ),
    ],
)
def test_a_selector_as_a_query_has_it(selector: Body, text: str):
    assert selector_text(selector) == text


def end(uid: str, ready: bool | None = True) -> Body:
    return {"addresses": [uid], "conditions": {"ready": ready}, "targetRef": {"uid": uid}}


def test_endpoints_are_counted_by_pod_and_side():
    blue, green = frozenset({"b1", "both"}), frozenset({"g1", "g2", "both"})
    slices = [
        {"endpoints": [end("b1"), end("g1"), end("g2", ready=False), end("both"), end("other")]},
        {"endpoints": [end("g1"), end("g2", ready=None)]},
        {"endpoints": None},
    ]
    assert ends_seen(slices, blue=blue, green=green) == Ends(blue=1, green=2, strangers=2)


def deployment(**status: Any) -> Body:
    return {
        "metadata": {"name": "shop", "generation": 2},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": "shop:2"}]}}},
        "status": {
            "observedGeneration": 2,
            "replicas": 2,
            "updatedReplicas": 2,
            "availableReplicas": 2,
        }
        | status,
    }


@pytest.mark.parametrize(
    ("status", "settled", "ready"),
    [
        pytest.param({}, True, 2, id="all of the newest version, available"),
        pytest.param({"observedGeneration": 1}, False, 0, id="not seen by its controller yet"),
        pytest.param({"replicas": 3}, False, 2, id="an old Pod is still there"),
        pytest.param({"updatedReplicas": 1}, False, 1, id="half of the newest version"),
        pytest.param({"availableReplicas": 1}, False, 1, id="one is not available"),
    ],
)
def test_when_a_rollout_is_settled(status: Body, settled: bool, ready: int):
    found = workload_seen(deployment(**status), [], (), {})
    assert (found.settled, found.ready, found.failing) == (settled, ready, "")


def test_a_rollout_that_is_given_up_says_why_and_evicted_pods_do_not_live():
    given_up = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    pods = [
        {"metadata": {"uid": "a"}, "status": {"containerStatuses": [{"restartCount": 3}]}},
        {"metadata": {"uid": "b"}, "status": {"phase": "Failed"}},
    ]
    found = workload_seen(deployment(conditions=[given_up]), pods, (), {})
    assert found.failing.startswith("ProgressDeadlineExceeded")
    assert (found.pods, found.restarts) == (1, 3)


def pod(ready: str = "True", **changes: Any) -> Body:
    meta = {"uid": "p", "labels": {"app": "shop", "track": "green"}} | changes
    return {"metadata": meta, "status": {"conditions": [{"type": "Ready", "status": ready}]}}


@pytest.mark.parametrize(
    ("seen", "found"),
    [
        pytest.param(pod(), 1, id="ready"),
        pytest.param(pod("False"), 0, id="not ready"),
        pytest.param(pod(deletionTimestamp="2026-11-26T08:00:00Z"), 0, id="ends"),
        pytest.param(pod(labels={"app": "shop"}), 0, id="without the label"),
        pytest.param({"metadata": {"uid": "p"}}, 0, id="not started"),
    ],
)
def test_what_a_selector_finds_of_a_workload_is_ready_and_has_all_its_labels(
    seen: Body, found: int
):
    selector = {"track": "green", "app": "shop"}
    assert workload_seen(deployment(), [seen], (), selector).found == found
