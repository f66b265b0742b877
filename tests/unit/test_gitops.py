"""The port of Flux's checker complains about what breaks each of its rules."""

from typing import Any

import pytest

from tests.gitops import flux_complaints

GOOD = {"Ready": "True"}


def body(conditions: dict[str, str], observed: int = 2, of: int = 2) -> dict[str, Any]:
    shown = [
        {"type": kind, "status": status, "observedGeneration": of}
        for kind, status in conditions.items()
    ]
    status = {"observedGeneration": observed, "conditions": shown}
    return {"metadata": {"generation": 2}, "status": status}


@pytest.mark.parametrize(
    ("found", "final", "rules"),
    [
        pytest.param(body(GOOD), True, [], id="ready"),
        pytest.param(body({}), False, ["FAIL0002"], id="no Ready"),
        pytest.param(body(GOOD | {"Reconciling": "True"}), False, ["FAIL0001"], id="ready, busy"),
        pytest.param(
            body({"Ready": "Unknown", "Reconciling": "True"}), False, [], id="not known yet"
        ),
        pytest.param(
            body({"Ready": "Unknown", "Reconciling": "True"}), True, ["FAIL0003"], id="never known"
        ),
        pytest.param(
            body({"Ready": "Unknown", "Stalled": "True"}),
            False,
            ["FAIL0004", "FAIL0011"],
            id="stalled, not known",
        ),
        pytest.param(
            body({"Ready": "False", "Reconciling": "True", "Stalled": "True"}),
            False,
            ["FAIL0005"],
            id="both",
        ),
        pytest.param(body({"Ready": "False"}, observed=3), False, ["FAIL0006"], id="of later"),
        pytest.param(
            body(GOOD, observed=1), False, ["FAIL0007", "FAIL0009"], id="status of before"
        ),
        pytest.param(body(GOOD, of=1), False, ["FAIL0008", "FAIL0009"], id="condition of before"),
    ],
)
def test_each_rule(found: dict[str, Any], final: bool, rules: list[str]):
    assert flux_complaints(found, final=final) == rules
