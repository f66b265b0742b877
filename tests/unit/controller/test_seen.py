"""What a Pod's status means: it works, it has ended, it never started."""

from typing import Any

import pytest

from whimbrel.controller.seen import pod_seen
from whimbrel.machine import names

RUNNING: dict[str, Any] = {"running": {"startedAt": "2026-11-26T10:00:00Z"}}
ENDED = {"terminated": {"exitCode": 0, "reason": "Completed", "message": "{}"}}
GONE = {"terminated": {"exitCode": 137, "reason": "ContainerStatusUnknown"}}
NO_EXEC = {"terminated": {"exitCode": 128, "reason": "StartError", "message": "noexec"}}
NO_IMAGE = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
CREATING = {"waiting": {"reason": "ContainerCreating"}}


def a_pod(runner: dict[str, Any], tool: dict[str, Any]) -> dict[str, Any]:
    states = [("runner", runner), ("tool", tool)]
    return {
        "metadata": {"name": "p", "uid": "u", "annotations": {names.RUN: "r"}},
        "spec": {"containers": [{"name": name} for name, _ in states]},
        "status": {
            "containerStatuses": [
                {"name": name, "image": "shop:1", "state": state} for name, state in states
            ]
        },
    }


@pytest.mark.parametrize(
    ("runner", "tool", "working", "ended", "trouble"),
    [
        pytest.param(RUNNING, RUNNING, True, False, "", id="both run: it works"),
        pytest.param(RUNNING, ENDED, True, False, "", id="the runner verifies: it works"),
        pytest.param(ENDED, RUNNING, False, False, "", id="the runner has answered"),
        pytest.param(ENDED, ENDED, False, True, "", id="both have ended"),
        pytest.param(ENDED, GONE, False, False, "", id="nobody saw the end: no proof"),
        pytest.param(RUNNING, CREATING, False, False, "", id="the tool's image is pulled"),
        pytest.param(
            RUNNING, NO_IMAGE, False, False, "ImagePullBackOff: the image shop:1", id="no image"
        ),
        pytest.param(
            RUNNING, NO_EXEC, False, False, "StartError: noexec", id="the tool cannot be started"
        ),
    ],
)
def test_what_two_containers_say(runner, tool, working, ended, trouble):
    seen = pod_seen(a_pod(runner, tool))
    assert seen is not None
    assert (seen.working, seen.ended) == (working, ended)
    assert seen.trouble.startswith(trouble)
    assert bool(seen.trouble) == bool(trouble)
