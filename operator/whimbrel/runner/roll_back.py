"""The way back: asked for by a person, or taken by itself after a later transaction failed."""

from whimbrel.model.errors import (
    FailedError,
    HeldError,
    RefusedError,
    TransientError,
    WhimbrelError,
)
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.result import Outcome, Result
from whimbrel.model.spec import OnFailure, Tool
from whimbrel.planning.build import plan_down, plan_up
from whimbrel.runner.bench import Bench
from whimbrel.runner.carry import carry_out_plan
from whimbrel.runner.records import read_tool_runs, record_rolled_back
from whimbrel.runner.runs import set_run_plan
from whimbrel.runner.verify import verify


def roll_back(bench: Bench) -> Result:
    """Take back what the order names, after salvage, and remember not to apply it again.

    Raises:
        WhimbrelError: There is no way back, or it did not come to its end.
    """
    order, findings = bench.order, bench.findings
    to = {"": None, "base": ""}.get(order.to, order.to)
    plan = _take_back(bench, to)
    findings.plan_digest = plan.digest()
    findings.revision = verify(plan, bench)
    _remember(bench)
    kept = f"; salvaged to {', '.join(findings.salvage)}" if findings.salvage else ""
    return findings.result(
        Outcome.ROLLED_BACK,
        "RolledBack",
        f"{findings.applied} taken back; read back: the database is at "
        f"{findings.revision or 'nothing'}{kept}",
    )


def take_back_this_run(error: WhimbrelError, bench: Bench) -> Result:
    """Return the end of a run of which a later transaction failed.

    What earlier transactions of this run applied is taken back (`Automatic`) or stays and is said
    (`Manual`). An error that heals takes nothing back: the next attempt goes on.
    """
    findings = bench.findings
    if isinstance(error, TransientError | RefusedError | HeldError):
        return findings.failure(error)
    applied = _applied_by_this_run(bench)
    findings.revision = verify(None, bench)
    if not applied and not findings.applied:
        return findings.failure(_as_before(error))
    if not applied:
        return findings.failure(_half_back(error, bench))
    if bench.order.spec.rollback.on_failure is OnFailure.MANUAL:
        return findings.failure(_stays(error, bench, applied))
    return _take_back_and_say(error, bench)


def _take_back_and_say(error: WhimbrelError, bench: Bench) -> Result:
    findings = bench.findings
    try:
        _take_back(bench, None)
        findings.revision = verify(None, bench)
    except TransientError as later:
        return findings.failure(later)
    except WhimbrelError as second:
        sentence = f"{error.message}; taking back what this run had applied failed: "
        return findings.failure(
            HeldError("RollbackFailed", sentence + second.message, command=second.command)
        )
    told = f"{error.message}; the earlier transactions of this run were taken back"
    return findings.failure(_as_before(FailedError(error.reason, told, command=error.command)))


def _take_back(bench: Bench, to: str | None) -> RunnerPlan:
    facts = bench.facts()
    order = bench.order
    plan = plan_down(order.spec, order.owner(), facts, bench.source, to)
    set_run_plan(
        bench.holding.ledger,
        order.run,
        digest=plan.digest(),
        image=order.spec.migrations.image or "",
    )
    carry_out_plan(plan, bench, facts)
    return plan


def _remember(bench: Bench) -> None:
    """Keep the digest of what would now be applied again: it was rolled back, so it is not."""
    order = bench.order
    try:
        plan = plan_up(order.spec, order.owner(), bench.facts(), bench.source)
    except WhimbrelError:
        return  # nothing that could be applied again by itself
    if plan.steps:
        record_rolled_back(
            bench.holding.ledger, order.spec.migrations.history, plan.digest(), order.run
        )


def _applied_by_this_run(bench: Bench) -> tuple[str, ...]:
    facts, order = bench.facts(), bench.order
    if order.spec.migrations.tool is Tool.SQL:
        return tuple(row.version for row in facts.applied if row.run == order.run)
    runs = read_tool_runs(bench.holding.ledger, order.spec.migrations.history)
    mine = [run for run in runs if run.run == order.run and run.after is not None]
    return facts.revisions if mine and facts.revisions != mine[0].before else ()


def _as_before(error: WhimbrelError) -> FailedError:
    return FailedError(
        error.reason,
        f"{error.message}; the database is as before this run; nothing is tried again until the "
        "object changes",
        command=error.command,
    )


def _half_back(error: WhimbrelError, bench: Bench) -> HeldError:
    order = bench.order
    return HeldError(
        error.reason,
        f"{error.message}; earlier transactions of this way back stay: the database is at "
        f"{bench.findings.revision or 'nothing'}; mend the down and go on",
        command=f"whimbrel retry {order.name} -n {order.namespace}",
    )


def _stays(error: WhimbrelError, bench: Bench, applied: tuple[str, ...]) -> HeldError:
    order = bench.order
    return HeldError(
        error.reason,
        f"{error.message}; rollback.onFailure is Manual: {', '.join(applied)} of this run stay "
        "applied; mend the migration and apply it again, or take the run back",
        command=f"whimbrel rollback {order.name} -n {order.namespace}",
    )
