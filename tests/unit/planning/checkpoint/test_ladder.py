"""Which rung, why, at what cost: said before anything starts."""

from dataclasses import replace
from typing import Any

import pytest

from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.errors import RefusedError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import (
    CatalogObject,
    Direction,
    FileRun,
    IndexIsValid,
    MigrationFile,
    RunAlone,
    RunFiles,
    RunTool,
    Statement,
    Step,
    StepId,
)
from whimbrel.planning.checkpoint.ladder import (
    Cost,
    Wanted,
    expect_way_back,
    laid,
    wanted,
    wants_checkpoint,
)
from whimbrel.planning.checkpoint.touches import Known
from whimbrel.planning.describe import describe

USERS, ORDERS = ("public", "users"), ("public", "orders")
BOOKS = ("public", "alembic_version")
KNOWN = Known(frozenset({USERS, ORDERS, BOOKS}), home="public")
FILE = MigrationFile("1", "1.up.sql", "", None, "")


def asked(**words: Any) -> CheckpointOptions:
    return CheckpointOptions.model_validate(words)


def tables(*names: str) -> CheckpointOptions:
    return asked(scope="Tables", tables=[{"name": name} for name in names])


def files(*texts: str) -> RunFiles:
    statements = tuple(Statement("1.sql", line, text) for line, text in enumerate(texts, 1))
    return RunFiles(StepId("up"), Direction.UP, (FileRun(FILE, statements),))


def up(*steps: Step) -> RunnerPlan:
    return RunnerPlan(Direction.UP, "1", steps)


ALONE = RunAlone(
    StepId("alone"), Direction.UP, FILE,
    Statement("2.sql", 1, "CREATE INDEX CONCURRENTLY i ON orders (a)"), IndexIsValid("", "i"),
)  # fmt: skip
TOOL = RunTool(StepId("tool"), Direction.UP, ("alembic", "upgrade"), (), ("1",))
CHANGE = "UPDATE users SET a = 1"


AGAIN = "CREATE TABLE users (id int)"


@pytest.mark.parametrize(
    ("texts", "where"),
    [
        (("DROP TABLE users", AGAIN), "line 2"),
        (("DROP TABLE public.users CASCADE", "CREATE TABLE IF NOT EXISTS users ()"), "line 2"),
        ((CHANGE, "ALTER TABLE users RENAME TO old", AGAIN), "line 3"),
        (("DROP TABLE users", "CREATE VIEW users AS SELECT 1"), "line 2"),
        (("DROP TABLE users", "CREATE TABLE new ()", "ALTER TABLE new RENAME TO users"), "line 3"),
        (("DROP TABLE users", "SELECT 1 AS id INTO users"), "line 2"),
        (("ALTER TABLE users SET SCHEMA old", "ALTER TABLE new.users SET SCHEMA public"), "line 2"),
        (("ALTER TABLE users RENAME TO old", "ALTER TABLE old RENAME TO users"), ""),
        (("DROP TABLE users", "CREATE TEMP TABLE users ()"), ""),
        (("DROP TABLE users", "CREATE TABLE other.users ()"), ""),
        (("DROP TABLE users", "CREATE INDEX users ON orders (a)"), ""),
        (("CREATE TABLE IF NOT EXISTS users ()", CHANGE), ""),
        (("DROP TABLE new", "CREATE TABLE new ()", CHANGE), ""),
    ],
)
def test_another_table_under_a_covered_name_is_refused(texts: tuple[str, ...], where: str):
    if not where:
        assert USERS in wanted(asked(), up(files(*texts)), KNOWN, (), anew=False).tables
        return
    with pytest.raises(RefusedError) as refused:
        wanted(asked(), up(files(*texts)), KNOWN, (), anew=False)
    assert refused.value.reason == "CheckpointNotPossible"
    assert refused.value.message.startswith(f"1.sql, {where} gives the name public.users to anothe")
    assert wanted(tables("orders"), up(files(*texts)), KNOWN, (), anew=False).tables == (ORDERS,)


def test_auto_covers_what_the_statements_of_all_steps_touch():
    found = wanted(asked(), up(files(CHANGE), ALONE), KNOWN, (), anew=False)
    assert found.tables == (USERS, ORDERS)


def test_books_are_covered_where_something_is():
    assert wanted(tables("users"), up(TOOL), KNOWN, (BOOKS,), anew=False).tables == (USERS, BOOKS)
    assert wanted(asked(), up(files("SELECT 1")), KNOWN, (BOOKS,), anew=False).tables == ()


@pytest.mark.parametrize(
    ("options", "plan", "said"),
    [
        pytest.param(
            asked(),
            up(TOOL),
            "the tool shows no SQL: which tables it changes cannot be known, so list them in "
            "checkpoint.tables with checkpoint.scope Tables",
            id="a tool that shows no SQL",
        ),
        pytest.param(
            asked(),
            up(files("DO $$ BEGIN NULL; END $$")),
            "1.sql, line 1 runs a DO block: which tables it changes cannot be known, so list them "
            "in checkpoint.tables with checkpoint.scope Tables",
            id="code that cannot be read",
        ),
        pytest.param(
            tables("userz"),
            up(files(CHANGE)),
            "checkpoint.tables names public.userz, and there is no such table: what the "
            "migration itself adds needs no checkpoint, so leave it out or mend its name",
            id="a table that is not there",
        ),
    ],
)
def test_what_cannot_be_covered_is_refused(options: Any, plan: RunnerPlan, said: str):
    with pytest.raises(RefusedError) as refused:
        wanted(options, plan, KNOWN, (), anew=False)
    assert (refused.value.reason, refused.value.message) == ("CheckpointNotPossible", said)


def test_before_the_first_run_a_listed_table_may_be_absent():
    found = wanted(tables("users", "later"), up(files(CHANGE)), KNOWN, (), anew=True)
    assert found == Wanted((USERS,), ("public.later is not there yet: nothing to cover",))


def test_what_is_changed_and_not_covered_is_said():
    plan = up(files(CHANGE, "ALTER TYPE mood ADD VALUE 'x'", "DO 'BEGIN END'", "CALL mend()"))
    found = wanted(tables("orders"), plan, KNOWN, (), anew=False)
    rows = "rows that this changes in other tables cannot be told and do not come back"
    assert found.notes == (
        "a restore does not bring back 1.sql, line 2: ALTER TYPE mood ADD VALUE 'x'",
        f"1.sql, line 3 runs a DO block: {rows}",
        f"1.sql, line 4 calls a procedure: {rows}",
        "public.users is changed and not listed: a restore does not bring it back",
    )
    assert wanted(tables("orders"), up(TOOL), KNOWN, (), anew=False).notes == (
        "rows that the tool changes in other tables cannot be told and do not come back",
    )


@pytest.mark.parametrize(
    ("plan", "wants"),
    [
        pytest.param(up(files(CHANGE)), True, id="files"),
        pytest.param(up(TOOL), True, id="a tool"),
        pytest.param(up(), False, id="nothing to do"),
        pytest.param(replace(up(TOOL), direction=Direction.DOWN), False, id="a way back"),
    ],
)
def test_when_a_checkpoint_is_wanted(plan: RunnerPlan, wants: bool):
    assert wants_checkpoint(asked(), plan) is wants
    assert not wants_checkpoint(None, plan)


COSTS = (Cost(USERS, 2_000_000, 334 * 2**20), Cost(ORDERS, 5, 8192))


def test_the_plan_says_rung_reason_cost_and_limits_before_anything_starts():
    plan = laid(asked(), up(files(CHANGE)), Wanted((USERS,), ("note",)), COSTS)
    text = describe(plan)
    for said in (
        "Checkpoint first: table public.users\nCheckpoint first: table public.orders\n",
        "rung 0, ROLLBACK, because all of it is one transaction",
        "afterwards, for 24h: rung 3, a copy of 2 table(s), about 2000005 rows and 334 MiB, with a "
        "journal of at most 1Gi",
        "about 6 s before the first step, 334 MiB of disk",
        "public.orders is covered too: a foreign key, a trigger or a rule changes it when the",
        "Note: note",
        "sequences never go back",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        (up(files(CHANGE), ALONE), "because it runs in several steps"),
        (up(TOOL), "because the tool commits"),
    ],
)
def test_what_commits_on_its_way_is_taken_back_by_the_checkpoint(plan: RunnerPlan, why: str):
    notes = laid(asked(), plan, Wanted((USERS,)), COSTS).notes
    assert notes[0] == f"way back while it runs: rung 3, restore of the checkpoint, {why}"


def test_what_is_covered_is_part_of_what_is_approved_and_its_size_is_not():
    bare = up(files(CHANGE))
    one = laid(asked(), bare, Wanted((USERS,)), COSTS[:1])
    grown = laid(asked(), bare, Wanted((USERS,)), (replace(COSTS[0], rows=7),))
    two = laid(asked(), bare, Wanted((USERS,)), COSTS)
    assert one.digest() == grown.digest()
    assert len({bare.digest(), one.digest(), two.digest()}) == 3
    assert one.covered == (CatalogObject("table", "public", "users"),)


def test_nothing_to_cover_is_said_and_makes_no_other_plan():
    bare = up(files("CREATE TABLE fresh (id int)"))
    plan = laid(asked(), bare, Wanted(), ())
    assert plan.digest() == bare.digest()
    assert plan.notes == ("it changes no table that is there: no checkpoint is made",)


def test_what_a_listed_table_empties_along_with_it_is_covered():
    items = ("public", "items")
    names = replace(KNOWN, children=frozenset({(USERS, ORDERS), (ORDERS, items)}))
    plan = up(files("TRUNCATE users CASCADE"))
    assert wanted(tables("users"), plan, names, (), anew=False) == Wanted((USERS, items, ORDERS))
    outside = wanted(tables("alembic_version"), plan, names, (), anew=False)
    assert outside.tables == (BOOKS,)
    assert len([note for note in outside.notes if "is changed and not listed" in note]) == 3


def test_what_is_changed_and_no_table_is_no_plan_of_strategy_checkpoint():
    changes = up(files("CREATE TYPE size AS ENUM ()", "ALTER TYPE mood ADD VALUE 'x'"))
    with pytest.raises(RefusedError) as refused:
        expect_way_back(wanted(asked(), changes, KNOWN, (), anew=False))
    assert refused.value.reason == "CheckpointNotPossible"
    assert "no checkpoint brings back 1.sql, line 2: ALTER TYPE mood" in refused.value.message
    view = wanted(asked(), up(files("DROP VIEW v", CHANGE)), KNOWN, (), anew=False)
    assert (view.tables, view.notes) == ((USERS,), ())
    with pytest.raises(RefusedError, match="line 1: DROP VIEW v"):
        expect_way_back(wanted(asked(), up(files("DROP VIEW v")), KNOWN, (), anew=False))
    there = replace(KNOWN, present=frozenset({"users", "orders"}))
    expect_way_back(wanted(asked(), changes, there, (), anew=True))
    also = up(files(CHANGE, "ALTER TYPE mood ADD VALUE 'x'"))
    expect_way_back(wanted(asked(), also, KNOWN, (), anew=False))


def test_a_list_of_tables_that_are_not_there_yet_makes_no_checkpoint():
    plan = laid(tables("later"), up(TOOL), Wanted(), ())
    assert plan.notes == ("no listed table is there yet: no checkpoint is made",)
