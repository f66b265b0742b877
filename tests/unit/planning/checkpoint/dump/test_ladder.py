"""A dump in a plan: what it is for is said, and is a part of what is approved."""

import pytest

from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.errors import RefusedError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import Direction, RunTool
from whimbrel.planning.checkpoint.dump import ladder

DUMP = {"image": "postgres:17", "claimName": "dumps"}
ASKED = CheckpointOptions.model_validate({"dump": DUMP})
DUMPER = ladder.Dumper(ASKED.dump, 17, 1_600_000_000)
STEP = RunTool("up:1", Direction.UP, ("alembic", "upgrade", "1"), (), ("1",), "way")
PLAN = RunnerPlan(Direction.UP, "1", (STEP,))


def test_each_use_of_a_dump_is_another_plan():
    plans = (
        PLAN,
        ladder.with_backup(PLAN, ASKED, DUMPER),
        ladder.with_freeze(PLAN, ASKED, DUMPER),
        ladder.instead_of_copy(PLAN, ASKED, DUMPER, "no key"),
    )
    assert len({plan.digest() for plan in plans}) == 4
    other = ASKED.dump.model_copy(update={"claim_name": "elsewhere"})
    moved = ladder.with_backup(PLAN, ASKED, ladder.Dumper(other, 17, 1))
    assert moved.digest() != plans[1].digest()


def test_costs_and_losses_are_said_and_a_tool_has_no_rollback_of_a_transaction():
    notes = ladder.instead_of_copy(PLAN, ASKED, DUMPER, "the tool shows no SQL").notes
    assert not any("rung 0" in note for note in notes)
    assert "because a copy of tables (rung 3) cannot be: the tool shows no SQL" in notes[0]
    assert "about 10 s before the first step; a restore takes about 19 s" in notes[1]
    assert "loses every write of the application" in notes[-1]


@pytest.mark.parametrize(
    ("version", "server", "restores", "reason"),
    [
        pytest.param(17, 17, True, "", id="the same"),
        pytest.param(18, 17, False, "", id="newer, a backup"),
        pytest.param(18, 17, True, "DumperTooNew", id="newer, to be restored"),
        pytest.param(16, 17, False, "DumperTooOld", id="older"),
    ],
)
def test_the_programs_fit_the_server(version: int, server: int, restores: bool, reason: str):
    if not reason:
        ladder.expect_fitting(version, server, restores=restores)
        return
    with pytest.raises(RefusedError) as refused:
        ladder.expect_fitting(version, server, restores=restores)
    assert refused.value.reason == reason
    assert "name an image of PostgreSQL 17" in refused.value.message
