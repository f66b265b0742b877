"""The judge of health checks: tables of what is said, and what is true of any measurements."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from whimbrel.machine.release.judge import (
    FLAPPING,
    Tally,
    counted,
    may_turn_red,
    patience,
    shown,
    state_of,
    together,
    why,
)
from whimbrel.model.release.checked import KEPT, State, Verdict, measured
from whimbrel.model.release.health import HealthCheck, Moment, OnFail

WORDS = {"P": Verdict.PASSED, "F": Verdict.FAILED, "U": Verdict.UNKNOWN}
HISTORIES = st.text("PFU", max_size=40)
THRESHOLDS = st.fixed_dictionaries(
    {
        "success_threshold": st.integers(1, 12),
        "failure_threshold": st.integers(1, 12),
        "unknown_threshold": st.integers(1, 12),
    }
)


def check(name: str = "api", **more: Any) -> HealthCheck:
    known = {"name": name, "type": "TCP", "when": ["Soak"], "tcp": {"service": "shop", "port": 80}}
    return HealthCheck.model_validate(known | more)


def tally(history: Iterable[str]) -> Tally:
    found = Tally()
    for number, letter in enumerate(history):
        at = f"2026-11-26T08:00:{number % 60:02}Z"
        found = counted(found, measured(at, WORDS[letter], message=f"said {letter}"))
    return found


@pytest.mark.parametrize(
    ("history", "during", "over"),
    [
        pytest.param("", "Open", "Open", id="nothing was measured: no time-out promotes"),
        pytest.param("P", "Open", "Green", id="a pass counts once the window is over"),
        pytest.param("F", "Open", "Open", id="one failure is none"),
        pytest.param("FF", "Open", "Open", id="two are none"),
        pytest.param("FFF", "Red", "Red", id="three in a row are red"),
        pytest.param("FFPF", "Open", "Open", id="a pass breaks the row"),
        pytest.param("FFUF", "Red", "Red", id="no answer breaks no row of failures"),
        pytest.param("FUUUUF", "Open", "Open", id="and adds nothing to it"),
        pytest.param("UUUUU", "Inconclusive", "Inconclusive", id="five without an answer"),
        pytest.param("UUUUFU", "Open", "Open", id="a failure is an answer"),
        pytest.param("PU", "Open", "Open", id="no answer is no pass"),
        pytest.param("PUP", "Open", "Green", id="a pass after it is one"),
        pytest.param("FUUUUUF", "Open", "Open", id="an answer in time"),
        pytest.param("PFPFPFPFPF", "Red", "Red", id="it flaps"),
        pytest.param("FPFPFPFPFP", "Red", "Red", id="it flaps, and passed just now"),
        pytest.param("PFPPFPPFPP", "Open", "Green", id="three of ten are no flapping"),
        pytest.param("FUFUPUFUFF", "Red", "Red", id="failures count, whatever lies between"),
    ],
)
def test_one_check(history: str, during: str, over: str):
    found = tally(history)
    assert state_of(check(), found, over=False).value == during
    assert state_of(check(), found, over=True).value == over


@pytest.mark.parametrize(
    ("history", "more", "may"),
    [
        pytest.param("", {}, True, id="nothing was measured"),
        pytest.param("P", {}, True, id="one pass is no answer yet"),
        pytest.param("P" * 10, {}, False, id="ten passes are one"),
        pytest.param("P" * 10 + "F", {}, True, id="it fails just now"),
        pytest.param("P" * 10 + "U", {}, True, id="it may stay without an answer"),
        pytest.param("FPPFPPFPPP", {}, False, id="it did not flap"),
        pytest.param("FFF", {}, False, id="it is red already"),
        pytest.param("F", {"on_fail": "Pause"}, False, id="red asks for no way back"),
        pytest.param(
            "F", {"on_fail": "Ignore", "on_unknown": "Rollback"}, True, id="no answer asks for it"
        ),
    ],
)
def test_what_may_yet_turn_red(history: str, more: dict[str, Any], may: bool):
    wanted, found = check(**more), tally(history)
    assert may_turn_red(wanted, found, state_of(wanted, found, over=False)) is may


@given(HISTORIES, THRESHOLDS)
def test_green_is_what_passed_just_now_and_only_when_the_window_is_over(history, thresholds):
    wanted = check(**thresholds)
    assert state_of(wanted, tally(history), over=False) is not State.GREEN
    if state_of(wanted, tally(history), over=True) is State.GREEN:
        assert history.endswith("P" * wanted.success_threshold)


@given(st.text("PU", max_size=40), THRESHOLDS, st.booleans())
def test_without_a_failure_nothing_is_red(history, thresholds, over):
    """HC-1: `Unknown` alone never triggers a rollback, unless somebody asks for it."""
    wanted = check(**thresholds)
    state = state_of(wanted, tally(history), over=over)
    assert state is not State.RED
    assert together([(wanted, state)]) is not State.RED
    asked = check(**thresholds, on_unknown=OnFail.ROLLBACK)
    assert (together([(asked, state)]) is State.RED) == (state is State.INCONCLUSIVE)


@given(HISTORIES, THRESHOLDS, st.booleans())
def test_no_verdict_before_its_threshold(history, thresholds, over):
    wanted = check(**thresholds)
    match state_of(wanted, tally(history), over=over):
        case State.RED:
            row = history.rpartition("P")[2].count("F")
            half = history[-KEPT:].count("F") >= max(FLAPPING, wanted.failure_threshold)
            assert row >= wanted.failure_threshold or (len(history) >= KEPT and half)
        case State.INCONCLUSIVE:
            assert history.endswith("U" * wanted.unknown_threshold)
        case _:
            assert history.rpartition("P")[2].count("F") < wanted.failure_threshold
            assert not history.endswith("U" * wanted.unknown_threshold)


@given(st.integers(KEPT, 60), st.booleans(), st.integers(1, FLAPPING), st.integers(1, 10))
def test_flapping_of_one_half_never_ends_a_soak_as_green(count, first, failures, passes):
    """R8: whether the last measurement was a pass is chance."""
    history = ("PF" if first else "FP") * count
    wanted = check(failure_threshold=failures, success_threshold=passes)
    assert state_of(wanted, tally(history[:count]), over=True) is State.RED


@given(HISTORIES)
def test_red_stays_red_until_an_answer_says_otherwise(history):
    """Silence after the third failure takes nothing back."""
    for more in ("U", "UUUU"):
        assert state_of(check(), tally(history + "FFF" + more), over=True) is State.RED


@given(HISTORIES)
def test_the_last_ten_are_kept_oldest_first(history):
    found = tally(history)
    assert [each.verdict for each in found.last] == [WORDS[each] for each in history[-KEPT:]]


ASKED = [
    pytest.param("Red", "Rollback", "Pause", "Red", id="red"),
    pytest.param("Red", "Pause", "Rollback", "Inconclusive", id="red pauses"),
    pytest.param("Red", "Ignore", "Rollback", "Green", id="red is ignored"),
    pytest.param("Inconclusive", "Rollback", "Pause", "Inconclusive", id="no answer pauses"),
    pytest.param("Inconclusive", "Ignore", "Rollback", "Red", id="no answer is red"),
    pytest.param("Inconclusive", "Rollback", "Ignore", "Green", id="no answer is ignored"),
    pytest.param("Open", "Ignore", "Ignore", "Open", id="what is not known yet is not ignored"),
]


@pytest.mark.parametrize(("state", "on_fail", "on_unknown", "together_"), ASKED)
def test_what_an_author_asks_for(state: str, on_fail: str, on_unknown: str, together_: str):
    wanted = check(on_fail=on_fail, on_unknown=on_unknown)
    assert together([(wanted, State(state))]).value == together_


@given(st.lists(st.sampled_from(State), max_size=12), st.randoms())
def test_together_the_worst_decides_in_any_order(states, chance):
    order = [State.GREEN, State.OPEN, State.INCONCLUSIVE, State.RED]
    expected = max(states, key=order.index, default=State.GREEN)
    shuffled = chance.sample(states, len(states))
    assert together([(check(), state) for state in shuffled]) is expected


def test_what_decided_is_told_with_its_last_measurements():
    red = shown(check("errors"), Moment.SOAK, tally("FPFFF"), State.RED)
    green = shown(check("api"), Moment.SOAK, tally("P"), State.GREEN)
    silent = shown(check("gone"), Moment.SOAK, tally(""), State.RED)
    assert why([green, red, silent], State.RED) == (
        "errors (said F at 2026-11-26T08:00:02Z, said F at 2026-11-26T08:00:03Z, "
        "said F at 2026-11-26T08:00:04Z); gone (no measurement)"
    )
    assert red.failures == 3


def test_patience_is_longer_than_any_verdict_needs():
    wanted = check(initial_delay="1m", interval="10s", failure_threshold=4)
    longest = 60 + (4 + 5 + 1) * 10
    assert patience(wanted) > longest
