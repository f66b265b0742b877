"""Argo CD's and Flux's waves around a release: nobody waits for what waits for it."""

from typing import Any

import pytest

from tests.blue_green import BLUE, blue_green, check
from tests.fake_cluster import PATH, FakeCluster
from tests.gitops import argo_health, flux_complaints, kstatus

Body = dict[str, Any]
ENGINES = pytest.mark.parametrize(
    ("judge", "good"), [(argo_health, "Healthy"), (kstatus, "Current")], ids=["Argo CD", "Flux"]
)


class Wave:
    """Wave 0 is the DatabaseMigration; wave 1, the new version, comes when that is well."""

    def __init__(self, judge: Any, good: str) -> None:
        self.cluster = FakeCluster()
        self.judge, self.good = judge, good
        self.deployed_in = ""
        self.answered_by_green = ""  # the moment whose checks only the new version can answer
        self.objects: list[Body] = []

    async def begin(self, **changes: Any) -> None:
        await self.cluster.application.deploy("blue")
        await self.cluster.application.serve(BLUE)
        await self.cluster.apply(**(blue_green() | changes))

    async def sync(self, *, turns: int = 400) -> None:
        """Turn until the run is over; the engine looks after every write."""
        cluster = self.cluster
        for _ in range(turns):
            again = await cluster.turn()
            await self.engine_looks()
            moved = await cluster.application.step() or await cluster.node.step()
            if again is None and not moved:
                return
            if not moved:
                cluster.now += again or 0.0
        raise AssertionError(f"deadlock: {cluster.status()}")

    async def engine_looks(self) -> None:
        found = self.cluster.api.objects[PATH]
        if self.objects and self.objects[-1]["status"] == found["status"]:
            return
        self.objects.append(found)
        if not self.deployed_in and self.judge(found) == self.good:
            self.deployed_in = found["status"]["phase"]
            await self.cluster.application.deploy("green")
            self.cluster.ledger.health.pop(self.answered_by_green, None)

    def seen(self) -> list[tuple[str, str, str]]:
        """Return (phase, Argo CD's word, kstatus' word) in order, each change once."""
        words = [(o["status"].get("phase", ""), argo_health(o), kstatus(o)) for o in self.objects]
        return [each for each, before in zip(words, ["", *words], strict=False) if each != before]


@ENGINES
async def test_the_wave_of_the_new_version_begins_as_soon_as_the_schema_is_there(judge, good):
    wave = Wave(judge, good)
    await wave.begin()
    await wave.sync()
    assert wave.deployed_in == "Verifying"
    assert wave.cluster.status()["phase"] == "Completed"
    assert wave.cluster.application.sides == ["blue", "green"]


@ENGINES
async def test_checks_without_an_answer_before_the_new_version_is_there_hold_no_wave(judge, good):
    """A metric of the new version cannot be there before it is: the pause is no deadlock."""
    wave = Wave(judge, good)
    wave.answered_by_green = "PostMigrate"
    wave.cluster.ledger.health = {"PostMigrate": ["unknown"] * 400}
    await wave.begin()
    await wave.sync()
    assert wave.deployed_in == "Verifying"
    assert wave.cluster.status()["phase"] == "Completed"


@ENGINES
async def test_a_suspension_in_the_release_holds_no_wave(judge, good):
    wave = Wave(judge, good)
    await wave.begin()
    await wave.cluster.run(lambda: wave.cluster.status()["run"]["segment"] == "Prepare")
    await wave.cluster.apply(**(blue_green() | {"suspend": True}))
    for _ in range(10):
        await wave.cluster.turn()
        await wave.engine_looks()
    assert wave.cluster.status()["phase"] == "Suspended"
    assert wave.deployed_in == "Suspended"


ENDS = pytest.mark.parametrize(
    ("health", "changes", "last"),
    [
        pytest.param({}, {}, ("Completed", "Healthy", "Current"), id="good"),
        pytest.param(
            {"PostMigrate": ["red"]}, {}, ("RolledBack", "Degraded", "Failed"), id="red at once"
        ),
        pytest.param(
            {"PostSwitch": ["red"]}, {}, ("RolledBack", "Degraded", "Failed"), id="red switched"
        ),
        pytest.param(
            {"Soak": ["unknown", "green", "red"]},
            {},
            ("RolledBack", "Degraded", "Failed"),
            id="paused, then red",
        ),
        pytest.param(
            {"Soak": ["red"]},
            {"rollback": {"onFailure": "Manual"}},
            ("Held", "Degraded", "Failed"),
            id="red, and a person decides",
        ),
        pytest.param(
            {},
            {"healthChecks": [check("Soak")], "soak": "10s"},
            ("Completed", "Healthy", "Current"),
            id="only a soak",
        ),
    ],
)


@ENDS
async def test_every_status_of_a_release_says_the_same_to_all_engines(health, changes, last):
    wave = Wave(argo_health, "Healthy")
    wave.cluster.ledger.health = {moment: list(told) for moment, told in health.items()}
    await wave.begin(**changes)
    await wave.sync()
    for each in wave.objects:
        assert flux_complaints(each) == [], each["status"]
        assert (argo_health(each) == "Healthy") == (kstatus(each) == "Current"), each["status"]
        assert (argo_health(each) == "Degraded") == (kstatus(each) == "Failed"), each["status"]
    assert wave.seen()[-1] == last
    assert flux_complaints(wave.objects[-1], final=True) == []


@ENDS
async def test_ready_is_taken_away_only_by_a_way_back_and_completed_comes_last(
    health, changes, last
):
    wave = Wave(argo_health, "Healthy")
    wave.cluster.ledger.health = {moment: list(told) for moment, told in health.items()}
    await wave.begin(**changes)
    await wave.sync()
    phases = [phase for phase, _, _ in wave.seen()]
    well = [argo == "Healthy" for _, argo, _ in wave.seen()]
    first = well.index(True)
    for phase, is_well in zip(phases[first:], well[first:], strict=True):
        assert is_well or phase in ("RollingBack", "RolledBack", "Held"), wave.seen()
    for each in wave.objects:
        found = {one["type"] for one in each["status"]["conditions"]}
        assert ("Completed" in found) == (each["status"]["phase"] == "Completed")
