"""When measuring ends: by scripted measurements, quick enough for each rule."""

import asyncio
import itertools
import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest

from whimbrel.machine.release.judge import patience
from whimbrel.model.release.checked import CheckStatus, State, Verdict
from whimbrel.model.release.health import HealthCheck, Moment
from whimbrel.runner.probes.found import Found, Probe
from whimbrel.runner.probes.watch import Ending, Window, watch

PASS, FAIL, UNKNOWN = Verdict.PASSED, Verdict.FAILED, Verdict.UNKNOWN
TCP = {"service": "shop", "port": 80}


def a_check(name: str = "api", **more: Any) -> HealthCheck:
    known = {"name": name, "type": "TCP", "when": ["Soak"], "tcp": TCP}
    return HealthCheck.model_validate(known | {"interval": 0.02, "timeout": 0.02} | more)


def scripted(check: HealthCheck, verdicts: Iterable[Verdict]) -> Probe:
    script = iter(verdicts)

    async def measure() -> Found:
        return Found(next(script), "1", "as scripted")

    return Probe(check, measure)


def watched(*probes: Probe, seconds: float = 0.0) -> Ending:
    until = time.time() + seconds if seconds else 0.0
    return watch(probes, Window(Moment.SOAK, until), threading.Event(), lambda _: None)


@pytest.mark.parametrize(
    ("verdicts", "more", "state", "count"),
    [
        pytest.param([PASS], {}, State.GREEN, 1, id="one pass"),
        pytest.param(
            [FAIL, PASS, PASS], {"success_threshold": 2}, State.GREEN, 3, id="two in a row"
        ),
        pytest.param([FAIL] * 3, {}, State.RED, 3, id="three failures"),
        pytest.param([FAIL, UNKNOWN, FAIL, FAIL], {}, State.RED, 4, id="unknown does not break"),
        pytest.param([UNKNOWN] * 5, {}, State.INCONCLUSIVE, 5, id="unknown for too long"),
        pytest.param([UNKNOWN] * 5, {"on_unknown": "Rollback"}, State.RED, 5, id="unknown is red"),
        pytest.param([FAIL] * 3, {"on_fail": "Pause"}, State.INCONCLUSIVE, 3, id="red pauses"),
        pytest.param([FAIL] * 3, {"on_fail": "Ignore"}, State.GREEN, 3, id="red is ignored"),
    ],
)
def test_ends_at_the_threshold(verdicts, more, state, count):
    ending = watched(scripted(a_check(**more), verdicts))
    assert ending.state is state
    assert len(ending.checks[0].last) == count


def test_patience_never_promotes():
    """Two passes, one failure, for ever: no threshold is reached, in neither direction."""
    check = a_check(success_threshold=3)
    begun = time.monotonic()
    ending = watched(scripted(check, itertools.cycle([PASS, PASS, FAIL])))
    assert ending.state is State.INCONCLUSIVE
    assert time.monotonic() - begun > patience(check)
    assert [each.name for each in ending.decisive] == ["api"]


def test_patience_begins_again_with_each_green():
    """Who was green for long and fails once is not out of patience."""
    other = a_check("other", initial_delay=1.0)
    long_green = [*[PASS] * 40, FAIL, *[PASS] * 400]
    quick = a_check(success_threshold=1, failure_threshold=2, unknown_threshold=1)
    assert patience(quick) < 1.0
    assert watched(scripted(quick, long_green), scripted(other, [PASS])).state is State.GREEN


def test_patience_of_a_soak_begins_with_its_end():
    """A soak that is longer than the patience, and without an answer just when it ends."""
    check, begun = a_check(), time.monotonic()
    assert patience(check) < 0.9

    async def measure() -> Found:
        return Found(UNKNOWN if 0.95 < time.monotonic() - begun < 1.03 else PASS)

    ending = watched(Probe(check, measure), seconds=1.0)
    assert ending.state is State.GREEN
    assert time.monotonic() - begun >= 1.0
    assert ending.checks[0].last[-1].verdict is PASS


def test_a_check_that_fell_ill_again_is_not_green():
    """All must be green at the same time."""
    ill = scripted(a_check("ill"), [PASS, *[FAIL] * 3])
    late = scripted(a_check("late", initial_delay=0.5), [PASS] * 100)
    ending = watched(ill, late)
    assert ending.state is State.RED
    assert [each.name for each in ending.decisive] == ["ill"]


def test_one_without_an_answer_does_not_end_what_still_turns_red():
    """It would be measured from the beginning each time, and never to its threshold."""
    nobody = scripted(a_check("nobody"), itertools.repeat(UNKNOWN))
    slow = scripted(a_check("slow", interval=0.1, timeout=0.1), itertools.repeat(FAIL))
    ending = watched(nobody, slow, seconds=600)
    assert ending.state is State.RED
    assert [each.name for each in ending.decisive] == ["slow"]


def test_one_that_was_well_at_first_is_measured_until_it_cannot_be_flapping():
    nobody = scripted(a_check("nobody"), itertools.repeat(UNKNOWN))
    flapping = a_check("flapping", interval=0.05, timeout=0.05)
    script = itertools.cycle([PASS, FAIL])
    ending = watched(nobody, scripted(flapping, script), seconds=600)
    assert (ending.state, ending.checks[1].state) == (State.RED, State.RED)


@pytest.mark.parametrize(
    ("verdicts", "more"),
    [
        pytest.param(itertools.repeat(PASS), {}, id="well"),
        pytest.param(itertools.repeat(FAIL), {"on_fail": "Pause"}, id="asks for a pause as well"),
        pytest.param(
            itertools.cycle([PASS, FAIL, FAIL]), {"failure_threshold": 100}, id="never judged"
        ),
    ],
)
def test_a_pause_is_held_back_no_longer_than_another_may_turn_red(verdicts, more):
    nobody = scripted(a_check("nobody"), itertools.repeat(UNKNOWN))
    other, begun = a_check("other", unknown_threshold=1, **more), time.monotonic()
    ending = watched(nobody, scripted(other, verdicts), seconds=600)
    assert ending.state is State.INCONCLUSIVE
    assert time.monotonic() - begun < patience(other) + 1


def test_what_ignores_its_cancellation_is_left_behind():
    """HC-5: a measurement that does not let itself be ended costs its time-out and no more."""

    async def stubborn() -> Found:
        for _ in range(40):
            try:
                await asyncio.sleep(0.5)
            except asyncio.CancelledError:
                continue
        return Found(PASS)

    check = a_check(interval=0.2, timeout=0.1)
    begun = time.monotonic()
    ending = watched(Probe(check, stubborn), scripted(a_check("other"), [PASS] * 500))
    assert ending.state is State.RED
    assert time.monotonic() - begun < 0.2 * 3 + 0.1 + 0.5
    assert {each.message for each in ending.checks[0].last} == {"no answer within 100ms"}


def test_a_blocked_thread_delays_nothing():
    release = threading.Event()

    async def blocked() -> Found:
        await asyncio.get_running_loop().run_in_executor(None, release.wait, 20)
        return Found(PASS)

    begun = time.monotonic()
    try:
        check = a_check(interval=0.1, timeout=0.1)
        ending = watched(Probe(check, blocked, late=UNKNOWN))
        assert time.monotonic() - begun < 2
    finally:
        release.set()
    assert ending.state is State.INCONCLUSIVE


def test_a_mistake_of_ours_is_not_hidden():
    async def broken() -> Found:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        watched(Probe(a_check(), broken))


def stand_still() -> None:
    """Let nothing of the process go on, as while it is stopped."""
    time.sleep(0.5)


def test_after_a_pause_measurements_keep_their_distance():
    """The whole process was stopped for a while: what was missed is not made up for at once."""
    times: list[float] = []

    async def measure() -> Found:
        times.append(time.monotonic())
        if len(times) == 1:
            stand_still()
        return Found(FAIL)

    watched(Probe(a_check(interval=0.1, timeout=0.1), measure))
    assert len(times) == 3
    assert times[2] - times[1] > 0.05


def test_every_news_is_reported():
    told: list[tuple[CheckStatus, ...]] = []
    probe = scripted(a_check(success_threshold=5), [PASS] * 5)
    watch([probe], Window(Moment.SOAK), threading.Event(), lambda each: told.append(tuple(each)))
    assert [len(checks[0].last) for checks in told] == [1, 2, 3, 4, 5]
