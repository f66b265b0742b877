import pytest

from whimbrel.cli.gate import approved, token_of, waiting
from whimbrel.cli.record import Record
from whimbrel.model.errors import RefusedError
from whimbrel.model.packed import pack_text
from whimbrel.model.result import Outcome, Result

DIGEST = "0123456789abcdef" * 4
RECORD = Record(namespace="team", name="shop", uid="u")
LOOKED = Result(
    outcome=Outcome.DONE,
    run="r",
    segment="Look",
    attempt=1,
    reason="Planned",
    message="1 migration",
    plan_digest=DIGEST,
    plan=pack_text("the plan"),
)


def test_a_plan_waits_until_exactly_that_plan_is_approved():
    held = waiting(RECORD, LOOKED)
    assert held is not None
    assert held.plan == "the plan"
    token = "Start:0123456789ab"
    assert held.error.command == f"whimbrel approve shop {token} -n team"
    agreed = approved(held.record, token)
    assert waiting(agreed, LOOKED) is None
    other = LOOKED.model_copy(update={"plan_digest": "f" * 64})
    assert waiting(agreed, other) is not None


def test_only_the_plan_that_waits_is_approved():
    with pytest.raises(RefusedError, match="no plan of shop waits"):
        approved(RECORD, "")
    with pytest.raises(RefusedError, match=f"{token_of(DIGEST)}, not Start:f"):
        approved(RECORD.model_copy(update={"gate": DIGEST}), "Start:f")


def test_where_nothing_is_to_be_done_nothing_waits():
    assert waiting(RECORD, LOOKED.model_copy(update={"plan_digest": ""})) is None
