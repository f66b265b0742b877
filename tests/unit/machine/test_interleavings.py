"""Whatever happens in whatever order: nothing runs twice or is skipped, and it comes to rest."""

import asyncio
import itertools
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.fake_cluster import KEY, PATH, FakeCluster
from tests.gitops import argo_health, flux_complaints, kstatus
from whimbrel.controller.observe import observe
from whimbrel.machine.attempts import STOPPING
from whimbrel.machine.decide import decide
from whimbrel.machine.decisions import Decision, Hold, Wait
from whimbrel.machine.segments import segments
from whimbrel.machine.timestamps import unix
from whimbrel.model.observed import Observed
from whimbrel.model.plan import Segment
from whimbrel.model.spec import parse_spec

FILES = {
    number: {"tool": "sql", "inline": {"files": {f"00{number}_x.up.sql": "SELECT 1"}}}
    for number in range(3)
}
SCRIPTS = ["ok", "busy", "fail", "held", "vanish before", "vanish after"]
MOVES = [
    *["turn"] * 8,
    *["node"] * 6,
    *["time", "kill operator", "lose job", "lose pod", "edit", "suspend", "resume"],
    *["retry", "roll back", "approve", "resolve", "image away", "image back", "hold", "go on"],
]


class Chaos:
    """A cluster that anything may happen to."""

    def __init__(self, script: list[str]) -> None:
        self.cluster = FakeCluster(script)
        self.asked_back = 0
        self.numbers = iter(range(10_000))

    async def move(self, what: str) -> None:
        cluster = self.cluster
        match what:
            case "turn":
                await self.turn()
            case "node":
                await cluster.node.step()
            case "time":
                cluster.now += 20
            case "kill operator":
                cluster.world = cluster.new_operator()
            case "image away" | "image back":
                cluster.node.image_is_there = what == "image back"
            case "hold" | "go on":
                cluster.node.hold = what == "hold"
            case "lose job" | "lose pod":
                await self._lose(what.removeprefix("lose "))
            case _:
                await self._person(what)

    async def _person(self, what: str) -> None:
        cluster = self.cluster
        match what:
            case "edit":
                await cluster.apply(migrations=FILES[next(self.numbers) % 3])
            case "suspend" | "resume":
                await cluster.apply(suspend=what == "suspend")
            case "retry":
                await cluster.annotate(retry_requested_at=str(next(self.numbers)))
            case "roll back":
                self.asked_back += 1
                await cluster.annotate(rollback_requested_at=str(next(self.numbers)))
            case "approve":
                token = (cluster.status().get("gate") or {}).get("token", "")
                await cluster.annotate(approve=token)
            case "resolve":
                run = (cluster.status().get("run") or {}).get("id", "none")
                await cluster.annotate(resolve=f"FenceProven:{run}")

    async def _lose(self, kind: str) -> None:
        place = {"job": "/jobs/", "pod": "/pods/"}[kind]
        for path in [path for path in self.cluster.api.objects if place in path]:
            await self.cluster.api.delete(path)

    async def turn(self) -> None:
        look = await observe(self.cluster.world, KEY)
        assert look is not None
        check_decision(look.seen, decide(look.seen))
        await self.cluster.turn()
        check_status(self.cluster.api.objects[PATH])

    async def calm_down(self) -> None:
        """Everything works from now on, and people answer what they are asked."""
        cluster = self.cluster
        cluster.node.script.clear()
        cluster.node.image_is_there, cluster.node.hold = True, False
        await cluster.apply(suspend=False)
        for _ in range(3):
            await cluster.run(limit=600)
            await self._person("approve")
        await cluster.annotate(retry_requested_at="at last")
        for _ in range(3):
            await cluster.run(limit=600)
            await self._person("approve")


def check_decision(seen: Observed, decision: Decision) -> None:
    if isinstance(decision, Wait):
        assert decision.until is not None or decision.human, decision
        run = seen.status.run
        late = run is not None and seen.now > unix(run.deadline)
        # No wait without a deadline: after it somebody is told, or the wait itself is over soon.
        soon = decision.until is not None and decision.until < seen.now + STOPPING
        assert not late or decision.stalled or decision.human or soon, decision
    if isinstance(decision, Hold):
        assert decision.message, decision


def check_status(body: dict[str, Any]) -> None:
    if body["status"]["observedGeneration"] == -1:
        return
    assert flux_complaints(body) == []
    verdict = kstatus(body)
    health = argo_health(body) if random.random() < 0.02 else None
    if health is not None:
        assert (health == "Degraded") == (verdict == "Failed")
        assert (health == "Healthy") <= (verdict == "Current")


def check_ledger(chaos: Chaos) -> None:
    """Up and down alternate for each version; no more downs than were asked for."""
    done = chaos.cluster.ledger.done
    for version in chaos.cluster.ledger.pending:
        own = [each for each in done if each.lstrip("-") == version]
        assert all(one != other for one, other in itertools.pairwise(own)), done
        assert own.count(f"-{version}") <= chaos.asked_back, done
    assert chaos.cluster.node.most_at_once <= 1


async def live(script: list[str], moves: list[str], *, gated: bool) -> None:
    chaos = Chaos(script)
    await chaos.cluster.apply(**({"approval": {"before": ["Start"]}} if gated else {}))
    for what in moves:
        await chaos.move(what)
    check_ledger(chaos)
    await chaos.calm_down()
    check_ledger(chaos)
    status = chaos.cluster.status()
    assert status["phase"] in ("Completed", "RolledBack"), status
    if status["phase"] == "Completed":
        assert chaos.cluster.ledger.applied == list(chaos.cluster.ledger.pending)
    else:
        assert chaos.cluster.ledger.applied == []


@given(
    script=st.lists(st.sampled_from(SCRIPTS), max_size=6),
    moves=st.lists(st.sampled_from(MOVES), max_size=60),
    gated=st.booleans(),
)
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_every_interleaving_comes_to_a_true_end(script: list[str], moves: list[str], gated: bool):
    asyncio.run(live(script, moves, gated=gated))


@pytest.mark.soak
@given(
    script=st.lists(st.sampled_from(SCRIPTS), max_size=12),
    moves=st.lists(st.sampled_from(MOVES), max_size=300),
    gated=st.booleans(),
)
@settings(max_examples=600, suppress_health_check=list(HealthCheck))
def test_long_lives(script: list[str], moves: list[str], gated: bool):
    asyncio.run(live(script, moves, gated=gated))


@pytest.mark.parametrize(
    ("before", "goal", "expected"),
    [
        pytest.param([], Segment.MIGRATE, (Segment.MIGRATE,), id="plain: one Job"),
        pytest.param(
            ["Start"],
            Segment.MIGRATE,
            (Segment.LOOK, Segment.APPROVE, Segment.MIGRATE),
            id="gate: look, approve, migrate",
        ),
        pytest.param(["Start"], Segment.ROLLBACK, (Segment.ROLLBACK,), id="rollback asks nobody"),
        pytest.param([], Segment.ABORT, (Segment.ABORT,), id="abort"),
    ],
)
def test_segments(before: list[str], goal: Segment, expected: tuple[Segment, ...]):
    raw = {
        "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
        "migrations": FILES[1],
        "approval": {"before": before},
    }
    assert segments(parse_spec(raw), goal) == expected
