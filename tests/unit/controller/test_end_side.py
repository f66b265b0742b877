"""A Service that was made again from Git has no selector: it gets the side back where it was."""

from typing import Any

import pytest

from tests.blue_green import blue_green, check, deploy
from tests.fake_application import SERVICE
from tests.fake_cluster import PATH, FakeCluster
from tests.fake_runner import Ledger
from tests.unit.controller.test_release import released, told
from whimbrel.model.order import Order
from whimbrel.model.result import Outcome, Result

Body = dict[str, Any]
HELD = {"rollback": {"onFailure": "Manual"}}
SCALER = {
    "metadata": {"name": "shop", "namespace": "shop"},
    "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "shop-green"}},
}


async def make_service_again(cluster: FakeCluster) -> None:
    await cluster.api.patch(SERVICE, {"spec": {"selector": None}})
    await cluster.application.step()
    await cluster.run()


@pytest.mark.parametrize("moment", ["PostMigrate", "PostSwitch", "Soak"])
async def test_a_release_that_turned_red_gives_its_service_blue(moment: str):
    cluster = await released()
    cluster.ledger.health = {moment: ["red"]}
    await cluster.run()
    before = list(cluster.application.sides)
    await make_service_again(cluster)
    assert told(cluster) == ("RolledBack", "False", [*before, "", "blue"])


async def test_a_release_that_a_person_took_back_gives_its_service_blue():
    cluster = await released()
    await cluster.run()
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    await make_service_again(cluster)
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue", "", "blue"])


async def test_a_release_that_went_back_without_its_schema_gives_its_service_blue():
    cluster = await released()
    path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
    await cluster.api.create(path, SCALER)
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run()
    assert cluster.ledger.applied == ["001", "002"]
    await make_service_again(cluster)
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue", "", "blue"])


async def test_a_way_back_that_waits_for_a_person_gives_its_service_blue():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run(lambda: cluster.status().get("run", {}).get("segment") == "Rollback")
    cluster.node.script = ["loses data"]
    await cluster.run()
    assert cluster.status()["phase"] == "Held"
    await make_service_again(cluster)
    assert told(cluster) == ("Held", "False", ["blue", "green", "blue", "", "blue"])


async def test_a_drain_that_nobody_ends_gives_the_service_blue_meanwhile():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run(lambda: cluster.status().get("run", {}).get("segment") == "Drain")
    await cluster.api.patch(SERVICE, {"spec": {"selector": None}})
    await cluster.application.step()
    await cluster.turn()
    assert cluster.application.selector()["track"] == "blue"


@pytest.mark.parametrize(
    ("moment", "side"), [("PostMigrate", "blue"), ("PostSwitch", "green"), ("Soak", "green")]
)
async def test_red_and_manual_gives_the_side_back_and_still_waits(moment: str, side: str):
    cluster = await released(**HELD)
    cluster.ledger.health = {moment: ["red"]}
    await cluster.run()
    before = list(cluster.application.sides)
    await make_service_again(cluster)
    assert told(cluster) == ("Held", "False", [*before, "", side])
    await cluster.annotate(rollback_requested_at="now")
    await cluster.run()
    assert told(cluster)[0] == "RolledBack"
    assert cluster.application.sides[-1] == "blue"


async def test_a_service_that_is_no_longer_ours_gets_no_side():
    cluster = await released()
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run()
    other = {"whimbrel.dev/managed-by": "shop-3"}
    await cluster.api.patch(SERVICE, {"metadata": {"annotations": other}})
    await make_service_again(cluster)
    assert told(cluster) == ("RolledBack", "False", ["blue", "green", "blue", ""])


class Kept(Ledger):
    """What the ledger of a release that has ended answers in a rebuilt cluster.

    As the real runner does: tests/scenarios/test_runner_release.py.
    """

    end: tuple[Outcome, str]

    def _migrate(self, order: Order, script: str) -> Result | None:
        return self._end(order, *self.end)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param(
            (Outcome.NOTHING_TO_DO, "NoChange"), ("Completed", "True", ["", "green"]), id="good"
        ),
        pytest.param(
            (Outcome.HELD, "WasRolledBack"), ("Held", "False", ["", "blue"]), id="went back"
        ),
    ],
)
async def test_a_rebuilt_cluster_has_the_traffic_where_it_was(
    end: tuple[Outcome, str], expected: tuple[str, str, list[str]]
):
    """The object is made again with the Service: it has another uid, and no status."""
    first = await released()
    first.ledger.health = {"Soak": ["red"]} if end[0] is Outcome.HELD else {}
    await first.run()
    rebuilt = FakeCluster()
    rebuilt.now = first.now + 1000
    rebuilt.ledger = rebuilt.node.ledger = Kept(applied=first.ledger.applied)
    rebuilt.ledger.end = end
    await deploy(rebuilt, None, **blue_green())
    await rebuilt.run()
    assert told(rebuilt) == expected
    assert rebuilt.ledger.done == []


async def test_a_migration_that_failed_says_nothing_of_the_side():
    """Nobody has looked at either side yet: only a release that came so far knows one."""
    cluster = await released(None)
    cluster.node.script = ["fail"]
    await cluster.run()
    assert told(cluster) == ("Failed", "False", [""])


@pytest.mark.parametrize("moment", ["PreSwitch", "SwitchGate"])
async def test_a_service_that_is_made_again_before_the_switch_gets_blue(moment: str):
    """An approval may take days."""
    checks = [check("PreSwitch")]
    cluster = await released(healthChecks=checks, approval={"before": ["Switch"]}, soak="0s")
    await cluster.run(lambda: cluster.status().get("run", {}).get("segment") == moment)
    await cluster.api.patch(SERVICE, {"spec": {"selector": None}})
    await cluster.application.step()
    await cluster.turn()
    assert cluster.application.selector()["track"] == "blue"


class Orders(Ledger):
    """Keeps the orders that end a run."""

    def _abort(self, order: Order, script: str) -> Result:
        self.answers.append(order.back)
        return super()._abort(order, script)

    def _roll_back(self, order: Order, script: str) -> Result | None:
        self.answers.append(order.back)
        return super()._roll_back(order, script)


@pytest.mark.parametrize(
    ("stays", "deleted"), [(True, False), (False, False), (False, True)], ids=str
)
async def test_the_ledger_is_told_which_work_goes_back(stays: bool, deleted: bool):
    """A deleted object takes nothing back: another one may go on with the same spec."""
    cluster = await released()
    cluster.ledger = cluster.node.ledger = Orders()
    if stays:
        path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
        await cluster.api.create(path, SCALER)
    cluster.ledger.health = {"Soak": ["red"]}
    await cluster.run(lambda: cluster.status().get("run", {}).get("segment") == "Prepare")
    work = cluster.status()["run"]["work"]
    if deleted:
        await cluster.api.delete(PATH)
    await cluster.run()
    assert cluster.ledger.answers == [("" if deleted else work)]
