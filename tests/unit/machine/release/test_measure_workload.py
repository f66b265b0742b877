"""What a workload says about a release, from what the controller sees of it."""

from typing import Any

import pytest

from whimbrel.machine.release.measure import measure_workload
from whimbrel.machine.timestamps import rfc3339
from whimbrel.model.release.health import WorkloadCheck
from whimbrel.model.release.traffic import WorkloadSeen

NOW = 1_800_000_000.0
RESTARTS = 2  # when the moment began
WELL = {"replicas": 2, "ready": 2, "settled": True, "images": frozenset({"shop:2", "proxy:1"})}
BROKEN = "ProgressDeadlineExceeded: said"


def check(image: str = "shop:2", max_restarts: int = 0) -> WorkloadCheck:
    ref = {"name": "shop", "image": image}
    return WorkloadCheck.model_validate({"ref": ref, "maxRestarts": max_restarts})


@pytest.mark.parametrize(
    ("wanted", "changes", "told"),
    [
        pytest.param(check(), {}, ("Pass", "2/2", ""), id="its rollout is complete"),
        pytest.param(check(""), {"images": frozenset()}, ("Pass", "2/2", ""), id="any image"),
        pytest.param(
            check("shop:3"), {}, ("Fail", "2/2", "does not run shop:3"), id="another image"
        ),
        pytest.param(
            check(),
            {"ready": 1, "settled": False},
            ("Fail", "1/2", "1/2 Pods of the newest version are ready"),
            id="not all are ready",
        ),
        pytest.param(
            check(),
            {"settled": False},
            ("Fail", "2/2", "2/2 Pods of the newest version are ready"),
            id="Pods of the version before still run",
        ),
        pytest.param(
            check(), {"failing": BROKEN}, ("Fail", "2/2", BROKEN), id="its rollout has failed"
        ),
        pytest.param(check(), {"restarts": 2}, ("Pass", "2/2", ""), id="restarts of before"),
        pytest.param(
            check(),
            {"restarts": 3},
            ("Fail", "2/2", "1 restarts since the moment began"),
            id="a restart",
        ),
        pytest.param(check(max_restarts=1), {"restarts": 3}, ("Pass", "2/2", ""), id="allowed"),
        pytest.param(
            check(), {"restarts": 0}, ("Pass", "2/2", ""), id="restarted Pods were replaced"
        ),
    ],
)
def test_workload(wanted: WorkloadCheck, changes: dict[str, Any], told: tuple[str, str, str]):
    found = WorkloadSeen("shop", **(WELL | {"restarts": RESTARTS} | changes))
    news = measure_workload(wanted, found, RESTARTS, NOW)
    assert (news.verdict, news.value, news.message, news.at) == (*told, rfc3339(NOW))


def test_one_that_is_missing_says_nothing_about_the_application():
    news = measure_workload(check(), None, 0, NOW)
    told = (news.verdict, news.value, news.message)
    assert told == ("Unknown", "", "Deployment/shop does not exist")
