"""Health checks on their way: packed into a termination message, and as a line of a log."""

import random
import string

import pytest
from hypothesis import given, strategies as st

from whimbrel.machine.release.judge import why
from whimbrel.model.probed import IDENTITY
from whimbrel.model.release.checked import (
    KEPT,
    PACKED_LIMIT,
    CheckStatus,
    State,
    Verdict,
    checks_line,
    measured,
    pack_checks,
    read_checks_line,
    unpack_checks,
)
from whimbrel.model.release.health import MOST_CHECKS
from whimbrel.model.result import MESSAGE_LIMIT, Outcome, Result, decode_result, encode_result

NOISE = random.Random(7)
ALPHABETS = {
    "base64": string.ascii_letters + string.digits + "+/",
    "quotes and controls": "\"\\\x01\x02\x7f\n\t'",
    "everything": "".join(chr(each) for each in range(0x10000, 0x1F000)),
}


def text(alphabet: str, length: int) -> str:
    return "".join(NOISE.choices(alphabet, k=length))


def full(alphabet: str) -> list[CheckStatus]:
    """The most checks that the CRD allows, and the identity, each full of what nothing shortens."""
    names = [*(f"{n}{text(alphabet, 39)}" for n in range(MOST_CHECKS)), IDENTITY]
    return [
        CheckStatus(
            name=name,
            moment="PostSwitch",
            state=State.RED,
            failures=100,
            last=[
                measured(
                    f"2026-11-{NOISE.randrange(10, 30)}T{NOISE.randrange(10, 24)}:12:13Z",
                    Verdict.FAILED,
                    text(alphabet, 64),
                    text(alphabet, 120),
                )
                for _ in range(KEPT)
            ],
        )
        for name in names
    ]


@pytest.mark.parametrize("alphabet", ALPHABETS.values(), ids=ALPHABETS)
def test_the_most_that_can_be_measured_fits_a_termination_message(alphabet: str):
    """HC-4: every check survives with its name, its state and its failures, whatever was said."""
    checks = full(alphabet)
    result = Result(
        outcome=Outcome.FAILED,
        run="r" * 20,
        segment="PostSwitch",
        attempt=10_000,
        reason="HealthCheckFailed",
        message=why(checks, State.RED) * 3,
        command=text(alphabet, 3000),
        warnings=tuple(text(alphabet, 4000) for _ in range(16)),
        checks=pack_checks(checks),
    )
    encoded = encode_result(result)
    assert len(encoded.encode()) <= MESSAGE_LIMIT
    decoded = decode_result(encoded)
    assert decoded.message.startswith("0")
    assert len(decoded.message) >= 500
    seen = unpack_checks(decoded.checks)
    assert [(each.name, each.state, each.failures) for each in seen] == [
        (each.name, each.state, each.failures) for each in checks
    ]


def test_ten_measurements_of_ten_ordinary_checks_are_all_kept():
    checks = [
        CheckStatus(
            name=f"checkout-latency-{number}",
            moment="Soak",
            state=State.RED,
            failures=3,
            last=[
                measured(
                    f"2026-11-26T08:{number:02}:{second:02}Z",
                    Verdict.FAILED,
                    f"0.{NOISE.randrange(10**6)}",
                    f"0.{NOISE.randrange(10**6)} is not at most 0.01",
                )
                for second in range(KEPT)
            ],
        )
        for number in range(MOST_CHECKS)
    ]
    kept = unpack_checks(pack_checks(checks))
    assert sum(len(each.last) for each in kept) >= 50
    few = [each.model_copy(update={"last": each.last}) for each in checks[:4]]
    assert unpack_checks(pack_checks(few)) == tuple(few)


def test_the_newest_measurement_goes_last():
    alphabet = ALPHABETS["base64"]
    checks = full(alphabet)
    kept = unpack_checks(pack_checks(checks))
    for before, after in zip(checks, kept, strict=True):
        assert [each.at for each in after.last] == [before.last[-1].at]


MEASUREMENTS = st.builds(
    measured, st.just("2026-11-26T08:00:00Z"), st.sampled_from(Verdict), st.text(), st.text()
)
CHECKS = st.lists(
    st.builds(
        CheckStatus,
        name=st.text(min_size=1, max_size=40),
        moment=st.just("Soak"),
        state=st.sampled_from(State),
        failures=st.integers(0, 100),
        last=st.lists(MEASUREMENTS, max_size=KEPT).map(tuple),
    ),
    max_size=MOST_CHECKS + 1,
)


@given(CHECKS)
def test_packed_is_bounded_and_a_line_is_one_line(checks: list[CheckStatus]):
    line = checks_line(checks)
    assert len(pack_checks(checks)) <= PACKED_LIMIT
    assert len(line.splitlines()) == 1
    assert read_checks_line(line + "\n") == unpack_checks(pack_checks(checks))
    assert [each.name for each in read_checks_line(line)] == [each.name for each in checks]


@given(st.text() | st.text().map(lambda text: checks_line(()) + text))
def test_any_other_line_shows_nothing(line: str):
    assert read_checks_line(line) == ()


def test_a_piece_of_a_line_shows_nothing():
    line = checks_line([CheckStatus(name="api", moment="Soak")])
    assert {read_checks_line(line[:length]) for length in range(len(line) - 1)} == {()}
    assert read_checks_line("2026-11-26T08:00:00Z " + line) == ()
