"""What is shown while a release is watched: live values, and by what a switch is known."""

import logging
from dataclasses import replace

import pytest

from tests.blue_green import blue_green
from tests.fake_cluster import PATH, FakeCluster
from tests.unit.controller.test_release import _working, released, segment, told
from whimbrel.controller.client import ApiError
from whimbrel.model.release.checked import CheckStatus, checks_line


@pytest.mark.parametrize("identity", [{}, {"identity": {"header": "X-Track"}}], ids=str)
async def test_a_switch_without_identity_says_that_endpoints_alone_are_evidence(identity: dict):
    cluster = await released(**blue_green(**identity))
    await cluster.run()
    shown = {(each["phase"], "EndpointSlices alone" in each["message"]) for each in cluster.shown}
    for phase in ("Switching", "Soaking"):
        assert ((phase, True) in shown) is not bool(identity)
    assert ("Completed", True) not in shown


async def soaking() -> FakeCluster:
    """A release in its soak, whose probe works and whose log may be read."""
    cluster = await released()
    cluster.world.settings = replace(cluster.world.settings, pod_logs=True)
    await _working(cluster, "Soak")
    for _ in range(3):  # its Pod is made, and works
        await cluster.node.step()
    return cluster


async def test_live_values_come_from_the_last_line_of_the_log():
    cluster = await soaking()
    pod = next(path for path in cluster.api.objects if "/pods/" in path and "-soak-" in path)
    live = CheckStatus(name="soak", moment="Soak", failures=2)
    cluster.api.logs[f"{pod}/log"] = f"x\n{checks_line([live])}\n"
    await cluster.turn()
    (check,) = cluster.status()["checks"]
    assert (check["name"], check["moment"], check["failures"]) == ("soak", "Soak", 2)
    assert "pods/log" not in cluster.status()["message"]


async def test_without_pod_logs_status_says_that_values_come_at_the_end():
    cluster = await released()
    await _working(cluster, "Soak")
    for _ in range(3):
        await cluster.node.step()
    await cluster.turn()
    told = "the values appear at its end, since pods/log is not allowed"
    assert told in cluster.status()["message"]
    assert all(check["moment"] != "Soak" for check in cluster.status()["checks"])


# As the client gives them: of a torn connection test_torn_connections tells what it makes.
TORN = ApiError(0, "ClientPayloadError", "cut off")
LOST = [ApiError(502, "", "kubelet"), TimeoutError(), TORN]


@pytest.mark.parametrize("trouble", LOST, ids=["kubelet", "timeout", "torn"])
@pytest.mark.parametrize("asked", ["rollback", "deletion"])
async def test_a_log_that_cannot_be_read_stops_nothing_and_is_said(
    asked: str, trouble: Exception, caplog: pytest.LogCaptureFixture
):
    cluster = await soaking()
    cluster.api.log_trouble = trouble
    with caplog.at_level(logging.WARNING):
        await cluster.turn()
    assert "cannot be read" in caplog.text
    counted = ("whimbrel_reconcile_errors_total", {"error": "PodLog"})
    assert cluster.world.metrics.registry.get_sample_value(*counted) == 1
    if asked == "rollback":
        await cluster.annotate(rollback_requested_at="now")
        await cluster.turn()
        assert segment(cluster) == "SwitchBack"
        cluster.node.hold = False
        await cluster.run()
        assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue"])
    else:
        await cluster.api.delete(PATH)
        cluster.node.hold = False
        await cluster.run()
        assert PATH not in cluster.api.objects
