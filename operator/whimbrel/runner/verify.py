"""Reads back what a plan led to. Nothing is called done that this did not see."""

from whimbrel.model.errors import HeldError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import Direction, RunTool
from whimbrel.runner.bench import Bench
from whimbrel.runner.facts import revision_of
from whimbrel.runner.ledger import expect_ledger
from whimbrel.runner.records import steps_done
from whimbrel.runner.run_tool import same
from whimbrel.runner.shapes import warn_of_what_is_left


def verify(plan: RunnerPlan | None, bench: Bench) -> str:
    """Return the revision that the database shows, after comparing it with the plan.

    Raises:
        HeldError: It shows something else than the plan leads to.
    """
    expect_ledger(bench.holding.ledger, bench.findings.database_uuid)
    facts = bench.facts()
    shown = revision_of(facts, bench.order)
    if plan is None or plan.ahead:
        return shown
    planned = [step.revisions for step in plan.steps if isinstance(step, RunTool)]
    if shown != plan.to or (planned and not same(facts.revisions, planned[-1])):
        raise _not_verified(plan, shown, bench)
    if not bench.order.spec.migrations.tool.is_foreign:
        _check_steps(plan, bench)
    elif planned and plan.direction is Direction.DOWN:
        warn_of_what_is_left(bench)
    return shown


def _not_verified(plan: RunnerPlan, shown: str, bench: Bench) -> HeldError:
    return HeldError(
        "NotVerified",
        f"the plan leads to {plan.to or 'nothing'}, but the database shows "
        f"{shown or 'nothing'}: somebody else changed it meanwhile; look at it, then retry",
        command=f"whimbrel retry {bench.order.name} -n {bench.order.namespace}",
    )


def _check_steps(plan: RunnerPlan, bench: Bench) -> None:
    done = steps_done(bench.holding.ledger, bench.order.run)
    missing = [step.id for step in plan.steps if step.id not in done]
    if missing:
        raise HeldError(
            "NotVerified",
            f"the ledger does not show the step {missing[0]} as done; look at it, then retry",
            command=f"whimbrel retry {bench.order.name} -n {bench.order.namespace}",
        )
