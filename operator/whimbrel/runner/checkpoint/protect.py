"""Steps under the protection of a checkpoint: opened before the first, looked at around each."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.errors import HeldError, WhimbrelError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import Direction
from whimbrel.runner.bench import Bench
from whimbrel.runner.catalog import read_shape
from whimbrel.runner.checkpoint.before import Before, write_before
from whimbrel.runner.checkpoint.bench_desk import (
    desk_of,
    login_of_migration,
    mappings_of,
    name_of_migration,
)
from whimbrel.runner.checkpoint.changes import note_changes
from whimbrel.runner.checkpoint.dump.make import dump_first, freeze_new_tables
from whimbrel.runner.checkpoint.engine import engine_of
from whimbrel.runner.checkpoint.manifest import Checkpoint, State, read_checkpoint, set_reason
from whimbrel.runner.checkpoint.open import Wanted, used
from whimbrel.runner.checkpoint.quota import Quota
from whimbrel.runner.checkpoint.settle import settle_older
from whimbrel.runner.checkpoint.watch import await_tool_sessions
from whimbrel.runner.facts import revision_of
from whimbrel.runner.server_errors import SERVER_ERRORS


@contextmanager
def protection(plan: RunnerPlan, bench: Bench) -> Iterator[Callable[[], None]]:
    """Open the checkpoint of a plan that has one, and make its dump first.

    What is given is called before each step.

    A checkpoint of an earlier run is settled first, whatever this plan does.

    Raises:
        RefusedError: There cannot be one; nothing was touched.
        HeldError: The way back is not provable any more.
        FailedError: ``JournalFull``: the migration was stopped while it can be taken back.
        TransientError: Another object keeps a checkpoint and wants later runs to wait.
    """
    settle_older(plan, bench)
    expect_frozen = dump_first(plan, bench)
    checkpoint = _opened(plan, bench) if plan.direction is Direction.UP else None
    if checkpoint is None:
        yield expect_frozen
        freeze_new_tables(bench)
        expect_frozen()
        return

    def expect() -> None:
        _expect(checkpoint, bench)

    with Quota(checkpoint, bench) as quota:
        try:
            try:
                yield expect
            finally:
                _await_tool(checkpoint, bench)
            expect()
        except WhimbrelError as error:
            raise quota.meaning(error) from error
    _warn_of_uncovered(checkpoint, bench)


def _opened(plan: RunnerPlan, bench: Bench) -> Checkpoint | None:
    asked = bench.order.spec.checkpoint
    known = read_checkpoint(bench.holding.ledger, bench.order.run)
    if known is not None and known.state is not State.CAPTURING:
        if known.state is not State.READY:
            raise used(known)
        return known  # an earlier attempt of this run opened it
    if asked is None or not plan.covered:
        return None
    if known is None:
        _keep_before(asked, bench)
    engine = engine_of(bench.holding.session)
    return engine.open(_wanted(asked, plan, bench), desk_of(bench))


def _keep_before(asked: CheckpointOptions, bench: Bench) -> None:
    ledger, order = bench.holding.ledger, bench.order
    shape = read_shape(ledger.session, ledger.schema)
    revision = revision_of(bench.facts(), order)
    before = Before(order.owner(), asked.on_later_run, revision, shape)
    with ledger.session.transaction():
        desk_of(bench).guard(ledger.session)
        write_before(ledger, order.run, before)


def _wanted(asked: CheckpointOptions, plan: RunnerPlan, bench: Bench) -> Wanted:
    login, own_login = login_of_migration(bench)
    return Wanted(
        id=bench.order.run,
        run=bench.order.run,
        tables=tuple((each.schema, each.name) for each in plan.covered),
        login=login,
        own_login=own_login,
        keep_for=asked.keep_for,
        max_journal=asked.max_journal,
        on_conflict=asked.on_conflict.value,
        mappings=mappings_of(asked),
        name=name_of_migration(bench),
    )


def _expect(checkpoint: Checkpoint, bench: Bench) -> None:
    ledger = bench.holding.ledger
    try:
        engine_of(ledger.session).expect_capture(checkpoint, ledger.session, our_pids=_ours(bench))
    except HeldError as error:
        set_reason(ledger, checkpoint.id, error.message)
        back = f"whimbrel rollback {bench.order.name} -n {bench.order.namespace}"
        told = f"a retry goes on without this checkpoint; to go back by down migrations: {back}"
        raise HeldError(error.reason, f"{error.message}; {told}") from error


def _ours(bench: Bench) -> tuple[int, ...]:
    return (bench.holding.attempt.backend_pid, bench.holding.watchdog.backend_pid)


def _await_tool(checkpoint: Checkpoint, bench: Bench) -> None:
    """Let go of a tool's sessions under our login, which it may name as it likes."""
    if bench.place.tool is None or checkpoint.own_login:
        return
    with suppress(*SERVER_ERRORS):  # how the tool ended is the answer; the next look asks again
        session = bench.holding.session
        others = engine_of(session).others_of
        await_tool_sessions(partial(others, session, checkpoint.login, _ours(bench)))


def _warn_of_uncovered(checkpoint: Checkpoint, bench: Bench) -> None:
    """Say what the migration changed that no restore brings back: found, not foreseen."""
    if told := note_changes(bench.holding.ledger, checkpoint):
        bench.findings.warnings.append(
            f"NotCovered: the migration changed {told}, which its checkpoint does not cover: "
            "there a rollback is not provable"
        )
