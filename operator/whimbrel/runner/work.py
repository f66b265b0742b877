"""One attempt from start to end: `carry_out`, the same in a Job and at a terminal."""

from collections.abc import Callable
from typing import Final

from whimbrel.model.errors import (
    FailedError,
    HeldError,
    RefusedError,
    TransientError,
    WhimbrelError,
)
from whimbrel.model.facts import Facts
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan, Segment
from whimbrel.model.result import Outcome, Result, decode_result
from whimbrel.model.steps import Direction, RunPieces
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.runner.applied_digests import settle_digests
from whimbrel.runner.approval import check_approved
from whimbrel.runner.attempts import close_attempt
from whimbrel.runner.bench import Bench, SeenImage
from whimbrel.runner.carry import carry_out_plan
from whimbrel.runner.checkpoint.dump.freeze import end_freeze
from whimbrel.runner.checkpoint.dump.make import epoch_since_dump
from whimbrel.runner.checkpoint.planned import planned
from whimbrel.runner.checkpoint.restoring import restore_lower
from whimbrel.runner.checkpoint.settle import drop_checkpoint, give_back
from whimbrel.runner.checkpoint.shown import kept_for, unprovable
from whimbrel.runner.clear_alone import clear_started
from whimbrel.runner.facts import has_moved, read_facts
from whimbrel.runner.findings import Findings
from whimbrel.runner.holding import Holding, holding
from whimbrel.runner.kept_table import find_kept, resolve
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.look import look
from whimbrel.runner.midway import end_refused, found_source, note_plan, refused_midway
from whimbrel.runner.records import forget_half, lift_rolled_back, steps_done
from whimbrel.runner.redact import Redactor
from whimbrel.runner.release import (
    forget_release,
    release_goes_on,
    remember_release,
    roll_back_release,
)
from whimbrel.runner.roll_back import go_on_back, take_back_this_run
from whimbrel.runner.runs import Over, Run, Waiting, close_run, read_run
from whimbrel.runner.salvage import drop_expired, kept_salvage
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble, read_error
from whimbrel.runner.sessions import sorted_error
from whimbrel.runner.shapes import new_shape, remember_shape, warn_of_foreign_change
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.tool_attempt import finish_lost_tool_runs
from whimbrel.runner.unchanged import distrust_image, remember_image, still_unchanged
from whimbrel.runner.verify import verify

Clean = Callable[[str], str]

# How a run ends in the ledger when an attempt ends so; without an entry it stays open.
RUN_STATES: Final = {
    Outcome.DONE: "done",
    Outcome.NOTHING_TO_DO: "done",
    Outcome.AHEAD: "done",
    Outcome.ROLLED_BACK: "rolled_back",
    Outcome.FAILED: "failed",
    Outcome.REFUSED: "failed",
    Outcome.HELD: "held",
}


# Ends after which what is applied is known and meant to be.
_SETTLED: Final = frozenset({Outcome.DONE, Outcome.NOTHING_TO_DO, Outcome.ROLLED_BACK})


def carry_out(order: Order, place: Surroundings) -> Result:
    """Carry out one attempt; every end that a person can act on is a result, never an exception."""
    findings = Findings(order)
    targets = [target for target in (place.target, place.run_target) if target is not None]
    clean = Redactor([target.password for target in targets]).clean
    try:
        if order.segment is Segment.LOOK:
            result = look(order, place, findings, clean)
        elif order.segment is Segment.DISCARD:
            result = drop_checkpoint(order, place, findings)
        else:
            result = _hold_and_work(order, place, findings, clean)
    except RefusedError as error:
        result = findings.failure(refused_midway(error, order, place))
    except WhimbrelError as error:
        result = findings.failure(error)
    except SERVER_ERRORS as error:
        result = findings.failure(sorted_error(error, "the ledger could not be used", clean))
    return _cleaned(result, clean)


def _hold_and_work(order: Order, place: Surroundings, findings: Findings, clean: Clean) -> Result:
    found = found_source(order, place, clean)

    def plan_first(ledger: Ledger) -> None:
        """Refuse what is wrong before even the ledger is made."""
        if order.segment is Segment.MIGRATE and found.unchanged is None:
            facts = read_facts(ledger, order, findings.database, has_ledger=False)
            planned(ledger, order, facts, found.source, place)

    with holding(order, place, findings, plan_first) as held:
        match held:
            case Waiting(holder=holder):
                told = f"waits for {holder.namespace}/{holder.name}, which holds the database"
                return findings.result(
                    Outcome.NOT_FINISHED, "Waiting", told, holder=holder, retry_after=2.0
                )
            case Over():
                return _known(held, findings)
            case Holding():
                bench = Bench(
                    order,
                    place,
                    held,
                    findings,
                    found.source,
                    clean,
                    found.refused,
                    found.unchanged,
                )
                result = _worked(bench, found.seen)
                with held.interrupts.held_back():
                    return _closed(result, bench)


def _known(over: Over, findings: Findings) -> Result:
    """Return the end that the ledger knows, as the answer of this attempt."""
    order = findings.order
    known = decode_result(over.result)
    if known is None and order.segment is Segment.ABORT:
        return findings.result(Outcome.DONE, "Aborted", "there was no such run: nothing to close")
    open_still = over.state in ("open", "held")
    # The run was over before its way back began: the end of its release is no answer to that.
    forward = known is not None and known.segment in (Segment.MIGRATE, Segment.FINISH)
    other = order.segment is Segment.ROLLBACK and forward
    if known is None or other or (known.outcome is Outcome.NOT_FINISHED and not open_still):
        return findings.result(
            Outcome.HELD,
            "RunClosed",
            f"the run was closed as {over.state} by somebody else; what it applied stays",
            command=f"whimbrel retry {order.name} -n {order.namespace}",
        )
    return known.model_copy(update={"segment": order.segment.value, "attempt": order.attempt})


def _worked(bench: Bench, seen: SeenImage | None) -> Result:
    try:
        if bench.order.spec.migrations.tool.is_foreign:
            finish_lost_tool_runs(bench)
        warn_of_foreign_change(bench)
        result = _SEGMENTS[bench.order.segment](bench)
        if result.outcome in _SETTLED:
            settle_digests(bench)
            if bench.order.segment is not Segment.FINISH:
                remember_image(bench, seen)
        return result.model_copy(update={"warnings": tuple(bench.findings.warnings)})
    except WhimbrelError as error:
        return bench.findings.failure(error)
    except SERVER_ERRORS as error:
        told = sorted_error(error, "the ledger could not be used", bench.clean)
        # Once a stop is asked for, our own reading is cancelled like everything else.
        if bench.place.stopping.is_set() and is_trouble(error, Trouble.CANCELLED):
            words = "stopped on request while the ledger was used; the next attempt looks first"
            return bench.findings.failure(TransientError("Stopped", words, retry_after=1.0))
        return bench.findings.failure(TransientError("LedgerError", told.message))


def _closed(result: Result, bench: Bench) -> Result:
    """Record the end in the ledger before anybody hears of it.

    An attempt whose end is not known (lost connection, lost tool) stays open: the next one has
    to prove that it is over.
    """
    cleaned = _cleaned(result, bench.clean)
    if bench.holding.session.closed and result.outcome is not Outcome.NOT_FINISHED:
        lost = TransientError("ConnectionLost", f"{cleaned.message}; the end is not recorded")
        return bench.findings.failure(lost)
    unknown = bench.tool_lives.is_set() or result.reason in _UNKNOWN_ENDS
    if unknown or bench.holding.session.closed:
        return cleaned
    ledger, order = bench.holding.ledger, bench.order
    closed = cleaned.model_copy(update={"attempt_open": False})
    state = _end_of_run(result, order)
    try:
        if give_back(result, bench):
            return closed
        end_freeze(bench, state)
        seen = {"checkpoint": kept_for(ledger, order), "epoch": epoch_since_dump(bench)}
        closed = closed.model_copy(update=seen | {"salvage": kept_salvage(ledger, order)})
        shape = None if state in (None, "held") else new_shape(bench)
        with ledger.session.transaction():
            text = closed.model_dump_json(by_alias=True, exclude_defaults=True)
            close_attempt(ledger, order, text)
            if result.outcome not in _SETTLED:
                distrust_image(bench)
            remember_shape(ledger, shape)
            if state is not None:
                close_run(ledger, order.run, _state(result, state, bench))
    except SERVER_ERRORS as error:
        # Whatever the class of the error says: the work is done, only its end is not written.
        told = sorted_error(error, "the end could not be recorded", bench.clean).message
        return bench.findings.failure(TransientError("LedgerError", f"{cleaned.message}; {told}"))
    return closed


def _end_of_run(result: Result, order: Order) -> str | None:
    """Return how the run ends with this attempt; None where it goes on."""
    goes_on = result.goes_on or result.wants_image_besides(order.image)
    return None if goes_on else RUN_STATES.get(result.outcome)


# Nor can it be recorded where the ledger is not whole.
_UNKNOWN_ENDS: Final = frozenset({"ConnectionLost", "LockLost", "LedgerDamaged"})
# Held before anything was touched: the reservation is given back while a person thinks.
_UNTOUCHED: Final = frozenset(
    {
        "NotApproved", "PlanChanged", "WasRolledBack", "WouldLoseData", "FailedMigration",
        "DumpLosesWrites",
    }
)  # fmt: skip


def _state(result: Result, state: str, bench: Bench) -> str:
    """Return the run's state; only what touched the database keeps others waiting."""
    if state != "held" or result.reason not in _UNTOUCHED:
        return state
    # An earlier attempt of the run may have touched it, although this one did not.
    ledger, order = bench.holding.ledger, bench.order
    touched = bool(steps_done(ledger, order.run)) or has_moved(ledger, order)
    return "held" if touched else "failed"


def _migrate(bench: Bench) -> Result:
    try:
        return _go_to_target(bench)
    except RefusedError as error:
        return end_refused(error, bench)


def _go_to_target(bench: Bench) -> Result:
    order, findings, ledger = bench.order, bench.findings, bench.holding.ledger
    if order.retry:
        lift_rolled_back(ledger, order.spec.migrations.history)
    begun = read_run(ledger, order.run)
    if begun is not None and begun.failure:
        return go_on_back(bench, begun)
    if bench.refused is not None:
        raise bench.refused
    if told := restore_lower(bench):
        return findings.result(Outcome.DONE, "TakenBack", told)
    if bench.unchanged is not None:
        plan = still_unchanged(bench, bench.unchanged)
        findings.plan_digest = plan.digest()
        return _nothing(plan, bench)
    facts = bench.facts()
    plan = planned(ledger, order, facts, bench.source, bench.place)
    _let_go_of_half(plan, bench, facts)
    findings.plan_digest = plan.digest()
    _check_allowed(plan, order, begun)
    if not plan.steps:
        return _nothing(plan, bench)
    note_plan(plan, bench, begun)
    try:
        carry_out_plan(plan, bench, facts)
    except (FailedError, HeldError, TransientError) as error:
        return take_back_this_run(error, bench, plan.direction)
    findings.revision = verify(plan, bench)
    _drop_expired(bench)
    told = _done_sentence(plan, findings)
    return findings.result(Outcome.DONE, _reason(plan), told, goes_on=order.release)


def _check_allowed(plan: RunnerPlan, order: Order, begun: Run | None) -> None:
    if plan.direction is Direction.UP:
        check_approved(plan, order, begun)
    elif order.spec.strategy.type.shows_new_version:
        raise RefusedError(
            "LowerTarget",
            "migrations.to is lower than the database: that would take the schema from under the "
            "new version; nothing was done: set `to` as it was, then "
            f"whimbrel rollback {order.name} -n {order.namespace} takes the traffic back first",
        )


def _let_go_of_half(plan: RunnerPlan, bench: Bench, facts: Facts) -> None:
    """Forget files that were carried out in part and are in no plan, once a person says so."""
    if bench.order.retry:
        planned = {step.file.version for step in plan.steps if isinstance(step, RunPieces)}
        spec, ledger = bench.order.spec, bench.holding.ledger
        forget_half(ledger, spec.migrations.history, besides=frozenset(planned))
        ours = [each for each in facts.unfinished if each.is_ours and each.version not in planned]
        if ours:
            resolve(find_kept(ledger.session, spec), ledger.session, ours)


def _drop_expired(bench: Bench) -> None:
    """Drop salvage whose time is over; what stops that does not make the migration a failure."""
    try:
        drop_expired(bench.holding.ledger)
    except SERVER_ERRORS as error:
        told = bench.clean(read_error(error).message)
        bench.findings.warnings.append(f"SalvageLeft: expired salvage stays: {told}")


def _nothing(plan: RunnerPlan, bench: Bench) -> Result:
    findings = bench.findings
    findings.revision = verify(plan, bench)
    if plan.ahead:
        return findings.result(
            Outcome.AHEAD,
            "DatabaseAhead",
            f"the database is at {findings.revision}, newer than these migrations; nothing ran",
        )
    useless = unprovable(bench.holding.ledger, bench.order)
    told = f"the database is at {findings.revision or 'nothing'}{useless}"
    goes_on = release_goes_on(bench)
    return findings.result(Outcome.NOTHING_TO_DO, "NoChange", told, goes_on=goes_on)


def _reason(plan: RunnerPlan) -> str:
    return "Applied" if plan.direction is Direction.UP else "TakenBack"


def _done_sentence(plan: RunnerPlan, findings: Findings) -> str:
    word = "applied" if plan.direction is Direction.UP else "taken back"
    return f"{findings.applied} {word}; read back: the database is at {findings.revision or '-'}"


def _abort(bench: Bench) -> Result:
    """Close the run: whatever earlier attempts did is over (fenced), what is applied stays."""
    clear_started(bench)
    bench.findings.revision = verify(None, bench)
    forget_release(bench)
    return bench.findings.result(
        Outcome.DONE, "Aborted", "the run is closed; what was applied stays"
    )


def _finish(bench: Bench) -> Result:
    """Close the run whose release has stood its checks; what it ended with is remembered."""
    findings = bench.findings
    findings.revision = verify(None, bench)
    remember_release(bench)
    told = f"the release is complete; read back: the database is at {findings.revision or '-'}"
    return findings.result(Outcome.DONE, "Completed", told)


_SEGMENTS: Final[dict[Segment, Callable[[Bench], Result]]] = {
    Segment.MIGRATE: _migrate,
    Segment.FINISH: _finish,
    Segment.ROLLBACK: roll_back_release,
    Segment.ABORT: _abort,
}


def _cleaned(result: Result, clean: Clean) -> Result:
    return result.model_copy(
        update={
            "message": clean(result.message),
            "command": clean(result.command),
            "warnings": tuple(clean(text) for text in result.warnings),
        }
    )
