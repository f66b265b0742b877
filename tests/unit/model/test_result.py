"""The termination message: always short enough, whatever it has to say."""

from whimbrel.model.result import MESSAGE_LIMIT, Outcome, Result, decode_result, encode_result


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
