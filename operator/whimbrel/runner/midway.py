"""A run that is refused after it has begun: then the database is not as before."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Final

from whimbrel.model.errors import FailedError, HeldError, RefusedError, WhimbrelError
from whimbrel.model.order import Order
from whimbrel.model.plan import RunnerPlan, Segment
from whimbrel.model.result import Result
from whimbrel.model.steps import Direction
from whimbrel.planning.tools.project import Project
from whimbrel.runner.approval import is_rest
from whimbrel.runner.bench import Bench
from whimbrel.runner.checkpoint.manifest import words_of
from whimbrel.runner.checkpoint.restoring import restores_after
from whimbrel.runner.facts import has_moved, read_facts, revision_of
from whimbrel.runner.holding import manners_of
from whimbrel.runner.ledger import Ledger, read_meta
from whimbrel.runner.records import read_tool_runs, steps_done
from whimbrel.runner.roll_back import applied_by_this_run, goes_down, stuck, take_back_this_run
from whimbrel.runner.runs import Run, set_run_plan
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.sessions import open_session
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.unchanged import Found, find_source

_WRITES: Final = frozenset({Segment.MIGRATE, Segment.ROLLBACK})


def has_begun(ledger: Ledger, order: Order) -> bool:
    """Tell whether attempts of this run have done something, or began what may have done it."""
    if steps_done(ledger, order.run) or ledger.rows(words_of(ledger).STARTED_STEPS, order.run):
        return True
    starts = read_tool_runs(ledger, order.spec)
    unread = any(each.run == order.run and each.after is None for each in starts)
    return unread or has_moved(ledger, order)


def seen_midway(order: Order, place: Surroundings) -> str | None:
    """Return the revision that the database shows if this run has begun, else None; reads only.

    None also where nobody can tell, because the database cannot be read.
    """
    try:
        with closing(open_session(place.target, manners_of(order))) as session:
            session.refuse_writes()
            ledger = Ledger(session, order.spec.database.ledger_schema)
            if read_meta(ledger) is None or not has_begun(ledger, order):
                return None
            return revision_of(read_facts(ledger, order, "", has_ledger=True), order)
    except (*SERVER_ERRORS, WhimbrelError):
        return None


def found_source(order: Order, place: Surroundings, clean: Callable[[str], str]) -> Found:
    """Return what the project holds, or why it is refused in a run that has begun already.

    Raises:
        RefusedError: It cannot be used, and nothing was done.
        TransientError: The tool's container is not there.
    """
    try:
        return find_source(order, place, clean, manners_of(order))
    except RefusedError as error:
        if order.segment is not Segment.MIGRATE or seen_midway(order, place) is None:
            raise
        return Found({}, refused=error)


def note_plan(plan: RunnerPlan, bench: Bench, begun: Run | None) -> None:
    """Record what a run carries out; an attempt that goes on with it has the rest of that.

    After a question a person has mended what was wrong, and it may be another plan.

    Raises:
        RefusedError: It has not, and earlier attempts had applied something.
    """
    if begun is not None and is_rest(plan, begun):
        return
    order, asked = bench.order, begun is not None and begun.state == "held"
    if plan.direction is Direction.UP and not asked and applied_by_this_run(bench):
        raise RefusedError(
            "SourceChanged",
            "the migrations are not those any more that this run began with, and it had applied a "
            "part of them",
        )
    digest, image = plan.digest(), order.tool_image()
    set_run_plan(bench.holding.ledger, order.run, plan, digest=digest, image=image)


def refused_midway(error: RefusedError, order: Order, place: Surroundings) -> WhimbrelError:
    """Return what an attempt that could not even take the database ends with."""
    shown = seen_midway(order, place) if order.segment in _WRITES else None
    return error if shown is None else _stays(error, order, shown)


def end_refused(error: RefusedError, bench: Bench) -> Result:
    """Return the end of a run that is refused: as of one that failed, where it has begun.

    Raises:
        RefusedError: It has not: the database is as before; or it goes on in another image.
        HeldError: What it did stays.
    """
    order, is_foreign = bench.order, bench.order.spec.migrations.tool.is_foreign
    elsewhere = bench.findings.failure(error).wants_image_besides(order.image)
    if elsewhere or not has_begun(bench.holding.ledger, order):
        raise error
    failed = FailedError(error.reason, error.message, command=error.command)
    if goes_down(bench):
        return bench.findings.failure(stuck(failed, bench))
    lost = is_foreign and not isinstance(bench.source, Project)
    known = restores_after(failed, bench) or (applied_by_this_run(bench) and not lost)
    # Behind a release stands the new version: its schema is not taken from under it.
    if order.since or not known:
        raise _stays(error, order, revision_of(bench.facts(), order))
    # What it applied is taken back by what the ledger keeps: these files are refused.
    by_ledger = bench if is_foreign else replace(bench, source={})
    return take_back_this_run(failed, by_ledger, Direction.UP)


def _stays(error: WhimbrelError, order: Order, shown: str) -> HeldError:
    return HeldError(
        error.reason,
        f"{error.message}; earlier attempts of this run have begun, and what they did stays: the "
        f"database is at {shown or 'nothing'}; mend that, then go on",
        command=error.command or f"whimbrel retry {order.name} -n {order.namespace}",
    )
