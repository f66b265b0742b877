"""The termination message: always short enough, whatever it has to say."""

import pytest

from whimbrel.model.checkpoint import SHOWN, CheckpointStatus
from whimbrel.model.packed import pack_text
from whimbrel.model.result import (
    MESSAGE_LIMIT,
    Holder,
    Outcome,
    Result,
    decode_result,
    encode_result,
    message_bytes,
)

KUBELET = 12 * 1024  # bytes of all messages of a Pod (kubelet, MaxPodTerminationMessageLogLength)
LIMITS = [message_bytes(own) for own in range(1, 5)]
PLAN = "".join(f"{n * 7919 % 10007:x}" for n in range(700))


def test_two_injected_sidecars_cut_nothing():
    assert LIMITS == [4096, 3072, 2457, 2048]
    for own, limit in enumerate(LIMITS, start=1):
        assert limit <= KUBELET // (own + 2)


def fattest(letter: str) -> Result:
    """Every text as long as the one who writes it lets it be, or longer."""
    return Result(
        outcome=Outcome.HELD,
        run="r" * 40,
        segment="Rollback",
        attempt=10_000,
        reason="R" * 40,
        message=letter * 9000,
        command=letter * 3000,
        retry_after=86_400.125,
        revision=letter * 3000,
        plan_digest="d" * 64,
        plan=PLAN,
        plan_sha256="e" * 64,
        image="i" * 1024,
        database=letter * 64,
        database_uuid="u" * 36,
        epoch=10**12,
        fence="Kubelet",
        salvage=tuple(f"salvage_{'r' * 40}_{n}" for n in range(200)),
        warnings=(letter * 4000,) * 16,
        holder=Holder(
            **dict.fromkeys(("namespace", "name", "uid", "cluster", "run"), letter * 253)
        ),
        applied=10**6,
        target=letter * 3000,
        direction="down",
        attempt_open=True,
        goes_on=True,
        checkpoint=CheckpointStatus(
            id="r" * 40,
            state="Restoring",
            tables=(letter * 253,) * SHOWN,
            rows=10**12,
            bytes=10**15,
            kept_until="2026-11-26T12:00:00Z",
            restorable=True,
            reason=letter * 1024,
            dump="f" * 253,
            not_before="2026-11-26T12:00:00Z",
        ),
    )


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("letter", ["x", '"', "\x01", "ä", "\U0001f40c"])
def test_the_fattest_result_fits_and_says_what_decides(letter: str, limit: int):
    result = fattest(letter)
    text = encode_result(result, limit)
    assert len(text.encode()) <= limit
    told = decode_result(text)
    assert told is not None
    decides = {"outcome", "run", "segment", "attempt", "reason", "retry_after", "attempt_open"}
    decides |= {"goes_on", "direction", "applied", "database_uuid", "epoch", "fence"}
    decides |= {"plan_digest", "plan_sha256"}
    assert told.model_dump(include=decides) == result.model_dump(include=decides)
    assert len(told.message) >= 250
    assert told.checkpoint is not None
    kept = {"id", "state", "kept_until", "restorable", "not_before", "rows", "bytes"}
    assert told.checkpoint.model_dump(include=kept) == result.checkpoint.model_dump(include=kept)


def ordinary(**more: object) -> Result:
    told = {"outcome": Outcome.DONE, "run": "r" * 16, "segment": "Look", "attempt": 1}
    return Result.model_validate(told | {"reason": "Planned", "message": "m" * 400} | more)


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        pytest.param(ordinary(plan=PLAN[:900]), {"plan", "message"}, id="all of it fits"),
        pytest.param(
            ordinary(plan=PLAN[:900], warnings=("w" * 500,) * 4),
            {"plan", "message"},
            id="warnings are cut first",
        ),
        pytest.param(
            ordinary(plan=PLAN, warnings=("w" * 200,) * 2),
            {"warnings", "message"},
            id="then the plan goes, which the log has too",
        ),
        pytest.param(
            ordinary(plan=PLAN, warnings=("w" * 500,) * 4, message="m" * 4000),
            set(),
            id="then the message is cut",
        ),
    ],
)
def test_what_is_cut_first(result: Result, kept: set[str]):
    told = decode_result(encode_result(result, 2048))
    assert told is not None
    whole = {name for name in ("plan", "warnings", "message") if getattr(result, name)}
    assert {n for n in whole if getattr(told, n) == getattr(result, n)} == kept
    assert told.message.startswith("mmm")


def test_a_plan_that_is_a_quarter_of_a_megabyte_can_be_shown_beside_a_tool():
    plan = "ALTER TABLE users ADD COLUMN email text;\n" * 6000
    told = decode_result(encode_result(ordinary(plan=pack_text(plan)), message_bytes(4)))
    assert told is not None
    assert told.plan == pack_text(plan)


def test_a_long_target_is_left_to_the_ledger():
    """Django's names one migration for each of many apps."""
    target = ",".join(f"application{n}:0012_alter_something_options_and_more" for n in range(70))
    result = Result(
        outcome=Outcome.NOT_FINISHED,
        run="r" * 20,
        segment="Rollback",
        attempt=1,
        reason="Blocked",
        message="m" * 2000,
        target=target,
    )
    text = encode_result(result)
    assert len(text.encode()) <= MESSAGE_LIMIT
    assert decode_result(text).target == ""
    short = result.model_copy(update={"target": target[:200]})
    assert decode_result(encode_result(short)).target == target[:200]
