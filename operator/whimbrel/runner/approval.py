"""The approved plan runs, or none."""

from whimbrel.model.errors import HeldError
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.spec import Gate
from whimbrel.runner.runs import Run


def check_approved(plan: RunnerPlan, order: Order, begun: Run | None) -> None:
    """Refuse a plan that nobody approved, where somebody must.

    A run that was stopped between two of its transactions goes on: what is left must then be the
    end of the plan that was approved, step for step.

    Raises:
        HeldError: Nobody approved it, or the plan is another one now.
    """
    if not plan.steps:
        return
    if Gate.START in order.spec.approval.before and not order.approved:
        raise HeldError(
            "NotApproved",
            "spec.approval.before names Start, and this plan was not approved; nothing was "
            "touched; retry, which shows the plan, and approve it",
            command=f"whimbrel retry {order.name} -n {order.namespace}",
        )
    if order.approved not in ("", plan.digest()) and not _is_rest(plan, order, begun):
        raise HeldError(
            "PlanChanged",
            f"the plan {order.approved[:12]} was approved, but the database or the files changed "
            f"and the plan is {plan.digest()[:12]} now; nothing more was touched; look at the new "
            "plan",
            command=f"whimbrel retry {order.name} -n {order.namespace}",
        )


def is_rest(plan: RunnerPlan, begun: Run) -> bool:
    """Tell whether a plan is the end of what a run began with, step for step."""
    rest = plan.step_digests()
    return begun.steps[-len(rest) :] == rest


def _is_rest(plan: RunnerPlan, order: Order, begun: Run | None) -> bool:
    return begun is not None and begun.plan_digest == order.approved and is_rest(plan, begun)
