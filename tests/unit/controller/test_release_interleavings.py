"""Whatever happens to a release in whatever order: one side has the traffic, and it ends."""

import asyncio
import contextlib
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.blue_green import BLUE, GREEN, check, deploy
from tests.fake_application import APPS, CORE, SERVICE
from tests.fake_cluster import KEY, PATH, FakeCluster
from tests.gitops import flux_complaints
from whimbrel.controller.act import carry_out
from whimbrel.controller.client import ApiError, ConflictError
from whimbrel.controller.observe import Snapshot, observe
from whimbrel.controller.release.raw import workload_seen
from whimbrel.machine.decide import decide
from whimbrel.machine.decisions import Decision, Hold, Wait
from whimbrel.machine.segments import AFTER_MIGRATE
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.status import Status

Body = dict[str, Any]
SCALERS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
FILES = [
    {"tool": "sql", "inline": {"files": {f"00{number}_x.up.sql": "SELECT 1"}}}
    for number in range(2)
]
MOMENTS = ["Baseline", "PostMigrate", "PreSwitch", "PostSwitch", "Soak"]
NOT_READY = {"RollingBack", "RolledBack", "Failed", "RollbackFailed", "Held"}
SETTLING = 120.0  # seconds after a deadline until somebody has been named
MOVES = [
    *["turn"] * 10,
    *["node"] * 6,
    *["application"] * 6,
    *["time:13"] * 3,
    *["probe:red", "probe:unknown", "probe:red", "script:vanish before", "script:vanish after"],
    *["script:busy", "kill", "time:100", "lose:/jobs/", "lose:job's pod", "time:4000"],
    *[
        "ask:retry",
        "ask:rollback",
        "ask:rollback",
        "checks:none",
        "checks:all",
        "checks:controller",
    ],
    *["soak:5s", "soak:90s", "manual", "automatic", "files:0", "files:1", "suspend", "resume"],
    *["service:blue", "service:green", "service:half", "service:none", "service:touched"],
    *["blue:0", "blue:2", "green:0", "green:3", "break:blue", "break:green", "heal", "heal"],
    *["scaler:blue", "scaler:green", "no scaler", "stop leader", "stop leader", "wake leader"],
]


class Recorder:
    """The API as one operator writes to it: each write is judged at the moment it is made."""

    def __init__(self, chaos: "Chaos") -> None:
        self.chaos, self.api = chaos, chaos.cluster.api
        self.get, self.list, self.text = self.api.get, self.api.list, self.api.text
        self.replace, self.delete = self.api.replace, self.api.delete

    async def change(self, path: str, operations: Sequence[Body]) -> Body:
        before = self.chaos.cluster.application.selector()
        after = await self.api.change(path, operations)
        if path == SERVICE:
            self.chaos.judge_switch(before, after["spec"]["selector"])
        return after

    async def create(self, path: str, body: Body) -> Body:
        made = await self.api.create(path, body)
        if "-rollback-" in body["metadata"]["name"]:
            self.chaos.judge_way_back()
        return made

    async def patch(self, path: str, body: Body) -> Body:
        if path.endswith("/scale"):
            self.chaos.judge_scale(path, body["spec"]["replicas"])
        return await self.api.patch(path, body)


class Chaos:
    """A release that anything may happen to."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.numbers = itertools.count(1)
        self.asked_back = 0
        self.disturbed = 1  # what allows one more write of the Service
        self.switches = 0
        self.ready = ""  # the run whose schema was said to be there
        self.stopped: list[tuple[Snapshot, Decision]] = []
        self.recorder: Any = Recorder(self)
        self.cluster.client = self.recorder
        self.cluster.world = self.cluster.new_operator()

    async def begin(self, selector: Body | None, **changes: Any) -> None:
        await deploy(self.cluster, selector, **changes)
        await self.cluster.application.step()

    async def come_to(self, segment: str) -> None:
        """Go on to a segment; those of the way back are reached by a red soak."""
        if segment and segment not in FORTH:
            self.cluster.ledger.health["Soak"] = ["red"]
        await self.cluster.run(lambda: self.run().get("segment") == segment)

    # What must hold at each write.

    def judge_switch(self, before: Body, after: Body) -> None:
        if before == after:
            return  # only the version changes, so that a late write of another leader is refused
        self.switches += 1
        assert after in (BLUE, GREEN), after
        if before:
            track = after["track"]
            assert self.ready_pods(track), f"the traffic was moved to {track} without ready Pods"
        if after == GREEN:
            assert self.run()["goal"] == "Migrate", "green gets the traffic on the way back"

    def judge_way_back(self) -> None:
        if self.is_late():
            return  # a leader that was stopped: the ledger refuses it
        assert self.cluster.application.selector() != GREEN, "the schema goes, green has traffic"
        assert not self.pods("green"), "the schema goes, green has Pods"

    def judge_scale(self, path: str, replicas: int) -> None:
        run, track = self.run(), path.split("shop-")[1].split("/", maxsplit=1)[0]
        assert run["goal"] == "Rollback", f"{track} scaled to {replicas} by {run}"
        names = [each["name"] for each in run["release"]["scaled"]]
        assert f"shop-{track}" in names, "nobody knows what it was before"
        assert not any(track in path for path in self.cluster.api.objects if SCALERS in path)

    def is_late(self) -> bool:
        return self.waking

    waking = False

    def run(self) -> Body:
        run: Body = self.cluster.status().get("run") or {}
        return run

    def pods(self, track: str) -> list[str]:
        return [path for path in self.cluster.api.objects if f"{CORE}/pods/shop-{track}-" in path]

    def ready_pods(self, track: str) -> int:
        raw = self.cluster.api.objects[f"{APPS}/deployments/shop-{track}"]
        return workload_seen(raw, [], (), {}).ready

    # What may happen.

    async def move(self, what: str) -> None:
        word, _, how = what.partition(":")
        cluster = self.cluster
        match word:
            case "turn":
                await self.turn()
            case "node":
                await cluster.node.step()
            case "application":
                await cluster.application.step()
            case "time":
                cluster.now += float(how)
            case "lose":
                await self.lose(how)
            case "leader":
                await self.leader(how)
            case "kill" | "script" | "probe":
                self.fault(word, how)
            case _:
                await self.person(word, how)

    def fault(self, word: str, how: str) -> None:
        cluster = self.cluster
        match word:
            case "kill":
                cluster.world = cluster.new_operator()
            case "script":
                cluster.node.script.append(how)
            case "probe":
                for moment in MOMENTS:
                    cluster.ledger.health.setdefault(moment, []).append(how)

    async def lose(self, what: str) -> None:
        wanted = what if what != "job's pod" else "/pods/shop-schema-"
        for path in [path for path in self.cluster.api.objects if wanted in path]:
            await self.cluster.api.delete(path)

    async def leader(self, what: str) -> None:
        """A leader stops between its decision and the write, and goes on much later."""
        if what == "stop":
            look = await observe(self.cluster.new_operator(), KEY)
            self.stopped += [(look, decide(look.seen))] if look else []
        elif self.stopped:
            look, decision = self.stopped.pop(0)
            self.waking = True
            with contextlib.suppress(ConflictError, ApiError):
                await carry_out(self.cluster.new_operator(), look, decision)
            self.waking = False

    async def person(self, word: str, how: str) -> None:
        cluster = self.cluster
        self.disturbed += 2
        match word:
            case "ask":
                self.asked_back += how == "rollback"
                await cluster.annotate(**{f"{how}_requested_at": str(next(self.numbers))})
            case "checks":
                await cluster.apply(healthChecks=checks(how))
            case "soak":
                await cluster.apply(soak=how)
            case "manual" | "automatic":
                await cluster.apply(rollback={"onFailure": word.capitalize()})
            case "files":
                await cluster.apply(migrations=FILES[int(how)])
            case "suspend" | "resume":
                await cluster.apply(suspend=word == "suspend")
            case "delete":
                await cluster.api.delete(PATH)
            case _:
                await self.neighbour(word, how)

    async def neighbour(self, word: str, how: str) -> None:
        application, api = self.cluster.application, self.cluster.api
        selectors = {"blue": BLUE, "green": GREEN, "half": {"app": "shop", "track": None}}
        match word:
            case "service" if how == "touched":
                mark = {"annotations": {"example.com/seen": str(next(self.numbers))}}
                await api.patch(SERVICE, {"metadata": mark})
            case "service":
                await api.patch(SERVICE, {"spec": {"selector": selectors.get(how)}})
            case "blue" | "green":
                path = f"{APPS}/deployments/shop-{word}"
                await api.patch(path, {"spec": {"replicas": int(how)}})
            case "break":
                application.broken.add(f"shop-{how}")
            case "heal":
                application.broken.clear()
            case "scaler":
                await self.scaler(how)
            case "no scaler":
                await self.lose(SCALERS)

    async def scaler(self, track: str) -> None:
        aim = {"kind": "Deployment", "name": f"shop-{track}"}
        body = {"metadata": {"name": track}, "spec": {"scaleTargetRef": aim}}
        if f"{SCALERS}/{track}" not in self.cluster.api.objects:
            await self.cluster.api.create(SCALERS, body)

    async def turn(self) -> None:
        look = await observe(self.cluster.world, KEY)
        if look is None:
            return
        check_decision(look.seen, decide(look.seen))
        await self.cluster.turn()
        self.check_status()

    def check_status(self) -> None:
        body = self.cluster.api.objects.get(PATH)
        if body is None or body["status"]["observedGeneration"] == -1:
            return
        # An effect comes without a status; of a generation nobody looked at, nobody reads Ready.
        known = body["status"]["observedGeneration"] == body["metadata"]["generation"]
        assert flux_complaints(body) in ([], [] if known else ["FAIL0007", "FAIL0008"])
        run = body["status"].get("run")
        newest = run and run["generation"] == body["metadata"]["generation"]
        if newest and run["state"] == "Open" and run["segment"] in AFTER_MIGRATE:
            ready = self.cluster.condition("Ready") == "True"
            assert ready or body["status"]["phase"] in NOT_READY, body["status"]
        assert self.switches <= 4 * self.disturbed, "a tug-of-war"

    async def calm_down(self) -> None:
        """Everything works from now on, and a person asks once more for what he wants."""
        cluster, application = self.cluster, self.cluster.application
        await self.go_on()
        cluster.node.script.clear()
        cluster.ledger.health.clear()
        application.broken.clear()
        await self.lose(SCALERS)
        await cluster.apply(suspend=False, rollback={"onFailure": "Automatic"})
        await self.go_on()
        self.check_rest()
        for _ in range(3):
            for track in ("blue", "green"):
                await self.neighbour(track, "2")
            await cluster.annotate(retry_requested_at=f"at last {next(self.numbers)}")
            await self.go_on()
            self.check_rest()

    async def go_on(self) -> None:
        """Go on until nothing moves, or only a person can end it."""
        for _ in range(500):
            again = await self.cluster.turn()
            self.check_status()
            moved = await self.cluster.application.step() or await self.cluster.node.step()
            if moved or again == 0.0:
                continue
            if again is None:
                return
            self.cluster.now += again
            look = await observe(self.cluster.world, KEY)
            decision = decide(look.seen) if look else None
            if isinstance(decision, Wait) and (decision.human or decision.stalled):
                return
        raise AssertionError(f"does not come to rest: {self.cluster.status()}")

    def check_rest(self) -> None:
        """At rest the database is free, or status says who decides."""
        status, ledger = self.cluster.status(), self.cluster.ledger
        if not status:
            assert ledger.open_run == ""
            return
        said = status["message"]
        assert ledger.open_run in ("", status["run"]["id"]), status
        if status["run"]["state"] == "Closed":
            assert flux_complaints(self.cluster.api.objects[PATH], final=True) == []
            assert ledger.open_run == "" or status["run"]["last"]["outcome"] == "Held", status
        elif ledger.open_run:
            assert "whimbrel " in said or "waits for" in said or "kubectl" in said or "Pod" in said


def checks(how: str) -> list[Body]:
    if how == "none":
        return []
    made = [check(moment) for moment in MOMENTS]
    if how == "controller":
        workload = {"type": "Workload", "workload": {"ref": {"name": "shop-green"}}}
        made.append({"name": "w", "when": ["PostSwitch", "Soak"], "interval": "5s"} | workload)
    return made


def check_decision(seen: Observed, decision: Decision) -> None:
    if isinstance(decision, Wait):
        assert decision.until is not None or decision.human, decision
        run = seen.status.run
        begun = max(unix(run.deadline), unix(run.release.since)) if run is not None else 0.0
        late = run is not None and seen.now > begun + SETTLING
        named = decision.human or decision.stalled or "whimbrel " in decision.message
        named = named or run.release.stable_since  # over after propagationDelay
        assert not late or named or seen.leaving_since, (decision, run)
    if isinstance(decision, Hold):
        assert decision.message, decision


def check_ledger(chaos: Chaos) -> None:
    """Up and down alternate for each version."""
    done = chaos.cluster.ledger.done
    for version in chaos.cluster.ledger.pending:
        own = [each for each in done if each.lstrip("-") == version]
        assert all(one != other for one, other in itertools.pairwise(own)), done


async def live(moves: list[str], at: str, how: str, selector: Body | None) -> None:
    chaos = Chaos()
    await chaos.begin(selector, healthChecks=checks(how), limits={"progressDeadline": "30m"})
    await chaos.come_to(at)
    for what in moves:
        await chaos.move(what)
    check_ledger(chaos)
    await chaos.calm_down()
    check_ledger(chaos)
    status = Status.model_validate(chaos.cluster.status())
    assert status.phase in ("Completed", "RolledBack", "Held", "Verifying", "RollingBack"), status


FORTH = ["", "Prepare", "Switch", "PostSwitch", "Soak", "Finish"]
SEGMENTS = [*FORTH, "SwitchBack", "Drain", "Rollback"]
LIVES = {
    "at": st.sampled_from(SEGMENTS),
    "how": st.sampled_from(["none", "all", "all", "controller"]),
    "selector": st.sampled_from([BLUE, BLUE, None]),
}
SETTINGS: dict[str, Any] = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@given(moves=st.lists(st.sampled_from(MOVES), max_size=60), **LIVES)
@settings(max_examples=12, **SETTINGS)
def test_every_interleaving_keeps_one_side(
    moves: list[str], at: str, how: str, selector: Body | None
):
    asyncio.run(live(moves, at, how, selector))


@pytest.mark.soak
@pytest.mark.timeout(1800)  # 600 long lives; they took more than 300 s beside other work
@given(moves=st.lists(st.sampled_from(MOVES), min_size=30, max_size=300), **LIVES)
@settings(max_examples=600, **SETTINGS)
def test_long_releases(moves: list[str], at: str, how: str, selector: Body | None):
    asyncio.run(live(moves, at, how, selector))
