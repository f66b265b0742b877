"""The way back: asked for by a person, or taken by itself after a later transaction failed."""

from dataclasses import replace
from typing import Final

from whimbrel.model.errors import (
    FailedError,
    HeldError,
    RefusedError,
    TransientError,
    WhimbrelError,
)
from whimbrel.model.plan import RunnerPlan, Segment
from whimbrel.model.result import Outcome, Result
from whimbrel.model.spec import OnFailure
from whimbrel.model.steps import Direction
from whimbrel.planning.build import place_of, plan_down, plan_up, shown
from whimbrel.planning.tools.registry import file_tool
from whimbrel.runner.bench import Bench
from whimbrel.runner.carry import carry_out_plan
from whimbrel.runner.checkpoint.restoring import (
    goes_to_checkpoint,
    restore_after,
    restore_asked,
    restores_after,
)
from whimbrel.runner.checkpoint.settle import let_go_of_run
from whimbrel.runner.facts import has_moved, revision_of, run_that_left_nothing
from whimbrel.runner.records import (
    ToolRun,
    read_salvage,
    read_tool_runs,
    record_rolled_back,
    steps_done,
)
from whimbrel.runner.runs import Run, read_run, set_run_target
from whimbrel.runner.shapes import left_by
from whimbrel.runner.verify import verify

NOTHING: Final = "base"  # the target of a way back after which nothing is applied


def roll_back(bench: Bench) -> Result:
    """Take back what the order names, after salvage, and remember not to apply it again.

    Raises:
        WhimbrelError: There is no way back, or it did not come to its end.
    """
    order, findings = bench.order, bench.findings
    to = {"": None, "base": ""}.get(order.to, order.to)
    if told := restore_asked(bench, to):
        _remember(bench)
        return findings.result(Outcome.ROLLED_BACK, "RolledBack", told)
    begun = read_run(bench.holding.ledger, order.run)
    if begun is not None and begun.purpose == Segment.MIGRATE and not begun.target:
        # The window of a run that migrated: nothing of the runs before it is taken back.
        if not applied_by_this_run(bench):
            return nothing_back(bench)
        target = _before_this_run(bench) or NOTHING
        set_run_target(bench.holding.ledger, order.run, target)
    try:
        plan = _take_back(bench, to)
    except (FailedError, RefusedError) as error:
        if isinstance(error, RefusedError) and not goes_down(bench):
            raise
        return findings.failure(stuck(error, bench))
    findings.plan_digest = plan.digest()
    findings.revision = verify(plan, bench)
    _remember(bench)
    kept = f"; salvaged to {', '.join(findings.salvage)}" if findings.salvage else ""
    return findings.result(
        Outcome.ROLLED_BACK,
        "RolledBack",
        f"{findings.applied} taken back by down migrations; read back: the database is at "
        f"{findings.revision or 'nothing'}{kept}",
    )


def nothing_back(bench: Bench) -> Result:
    """Return the end of a way back from a run that had applied nothing."""
    findings = bench.findings
    findings.revision = verify(None, bench)
    told = f"this run had applied nothing; the database is at {findings.revision or 'nothing'}"
    return findings.result(Outcome.ROLLED_BACK, "RolledBack", told)


def take_back_this_run(error: WhimbrelError, bench: Bench, direction: Direction) -> Result:
    """Return the end of a run of which a later transaction failed.

    What earlier transactions of this run applied is taken back (`Automatic`) or stays and is said
    (`Manual`): by the run's checkpoint, where it has one. An error that heals takes nothing back:
    the next attempt goes on.
    """
    findings = bench.findings
    if restores_after(error, bench):
        return restore_after(error, bench)
    if isinstance(error, TransientError | HeldError):
        return findings.failure(error)
    if direction is Direction.DOWN:
        return findings.failure(stuck(error, bench))
    findings.revision = verify(None, bench)
    applied = applied_by_this_run(bench)
    if not applied:
        let_go_of_run(bench)
        return findings.failure(_as_before(error))
    if bench.order.spec.rollback.on_failure is OnFailure.MANUAL:
        return findings.failure(_stays(error, bench, applied))
    target, failure = _before_this_run(bench) or NOTHING, f"{error.reason}: {error.message}"
    set_run_target(bench.holding.ledger, bench.order.run, target, bench.clean(failure))
    return _take_back_and_say(error, bench)


def go_on_back(bench: Bench, begun: Run) -> Result:
    """Go on with the way back that an earlier attempt of this run began: nothing goes up again."""
    reason, _, message = begun.failure.partition(": ")
    bench.findings.plan_digest = begun.plan_digest
    if goes_to_checkpoint(begun):
        return restore_after(FailedError(reason, message), bench)
    return _take_back_and_say(FailedError(reason, message), bench)


def _take_back_and_say(error: WhimbrelError, bench: Bench) -> Result:
    findings = bench.findings
    try:
        plan = _take_back(bench, None)
        findings.revision = verify(plan, bench)
    except TransientError as later:
        return findings.failure(later)
    except WhimbrelError as second:
        return findings.failure(_rollback_failed(f"{error.message}; ", second, bench))
    if not _shape_is_back(bench):
        return findings.failure(_not_whole(error, bench))
    told = f"{error.message}; the earlier transactions of this run were taken back"
    return findings.failure(_as_before(FailedError(error.reason, told, command=error.command)))


def _shape_is_back(bench: Bench) -> bool:
    """Tell whether the catalogue is as before the first start of a tool in this run."""
    if not bench.order.spec.migrations.tool.is_foreign:
        return True
    starts = _starts_of_this_run(bench)
    left, _ = left_by(bench, starts)
    if left is None:
        # Of two versions of the question nobody knows, and that is not "as before".
        return starts[0].fingerprint_before == starts[-1].fingerprint_after
    return not left


def _not_whole(error: WhimbrelError, bench: Bench) -> HeldError:
    order = bench.order
    return HeldError(
        "HalfDone",
        f"{error.message}; the earlier migrations of this run were taken back, but the catalogue "
        "is not as before it: the failed one committed a part of its work, or a way back leaves "
        "something, or somebody else changed it; put that right by hand, then retry",
        command=f"whimbrel retry {order.name} -n {order.namespace}",
    )


def _take_back(bench: Bench, to: str | None) -> RunnerPlan:
    """Carry out the way back of this run; a later attempt of the run goes to the same place.

    Raises:
        WhimbrelError: There is no way back, or it did not come to its end.
    """
    order, ledger, findings = bench.order, bench.holding.ledger, bench.findings
    begun = read_run(ledger, order.run)
    target = begun.target if begun is not None else ""
    facts = bench.facts()
    if not target and to is None:
        facts = replace(facts, left_nothing=run_that_left_nothing(ledger, order))
    if target:
        to = "" if target == NOTHING else target
    elif to is not None:
        # Known before there is a plan: a way back that is refused goes on to the same place.
        target = to or NOTHING
        set_run_target(ledger, order.run, target)
    findings.target = target
    if bench.refused is not None and order.spec.migrations.tool.is_foreign:
        raise bench.refused  # only the project knows its way back
    plan = plan_down(order.spec, order.owner(), facts, bench.source, to)
    if not target:
        target = plan.target or plan.to or NOTHING
        # Before the first step: "before the last run" means another run once this one is gone.
        set_run_target(ledger, order.run, target)
    findings.target = target
    # Also what an earlier attempt of this run copied, whose end nobody heard.
    findings.salvage += [each.table_name for each in read_salvage(ledger) if each.run == order.run]
    carry_out_plan(plan, bench, facts)
    return plan


def _before_this_run(bench: Bench) -> str:
    """Return the revision that stays when everything of this run is taken back, "" for none."""
    facts, order = bench.facts(), bench.order
    if order.spec.migrations.tool.is_foreign:
        return place_of(order.spec, facts, bench.source, _starts_of_this_run(bench)[0].before)
    tool = file_tool(order.spec.migrations.tool)
    first = min(tool.key(row.version) for row in facts.applied if row.run == order.run)
    return tool.newest(tuple(row for row in facts.applied if tool.key(row.version) < first))


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


def applied_by_this_run(bench: Bench) -> tuple[str, ...]:
    """Return what this run has applied and nobody has taken back."""
    facts, order = bench.facts(), bench.order
    if not order.spec.migrations.tool.is_foreign:
        return tuple(row.version for row in facts.applied if row.run == order.run)
    mine = _starts_of_this_run(bench)
    if not mine or set(facts.revisions) == set(mine[0].before):
        return ()
    text = shown(order.spec, facts.revisions)
    return (text,) if text else ()


def _starts_of_this_run(bench: Bench) -> list[ToolRun]:
    """Return this run's starts of the tool, but for an adoption: that ran nothing."""
    runs = read_tool_runs(bench.holding.ledger, bench.order.spec)
    return [run for run in runs if run.run == bench.order.run and not run.step.startswith("adopt:")]


def _as_before(error: WhimbrelError) -> FailedError:
    return FailedError(
        error.reason,
        f"{error.message}; the database is as before this run; nothing is tried again until the "
        "object changes",
        command=error.command,
    )


def goes_down(bench: Bench) -> bool:
    """Tell whether a way back has done something in this run."""
    ledger, order = bench.holding.ledger, bench.order
    done = [*steps_done(ledger, order.run)]
    if has_moved(ledger, order):
        done += [start.step for start in _starts_of_this_run(bench)]
    return any(step.startswith(("down:", "salvage:")) for step in done)


def stuck(error: WhimbrelError, bench: Bench) -> WhimbrelError:
    """Return the end of a way back that failed: as it was, or stuck between two transactions."""
    if not goes_down(bench) and not has_moved(bench.holding.ledger, bench.order):
        return _as_before(error)
    bench.findings.revision = verify(None, bench)
    return _rollback_failed("", error, bench)


def _rollback_failed(before: str, error: WhimbrelError, bench: Bench) -> HeldError:
    order = bench.order
    return HeldError(
        "RollbackFailed",
        f"{before}the way back did not come to its end: {error.message}; the database is at "
        f"{revision_of(bench.facts(), order) or 'nothing'} and stays there; mend the down, then "
        "go on",
        command=error.command or f"whimbrel retry {order.name} -n {order.namespace}",
    )


def _stays(error: WhimbrelError, bench: Bench, applied: tuple[str, ...]) -> HeldError:
    order = bench.order
    return HeldError(
        error.reason,
        f"{error.message}; rollback.onFailure is Manual: {', '.join(applied)} of this run stay "
        "applied; mend the migration and apply it again, or take the run back",
        command=f"whimbrel rollback {order.name} -n {order.namespace}",
    )
