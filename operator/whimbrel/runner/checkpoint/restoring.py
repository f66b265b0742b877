"""The way back of a run by its checkpoint: when it is taken, and what it ends with."""

from typing import Final

from whimbrel.model.errors import FailedError, HeldError, WhimbrelError
from whimbrel.model.result import Result
from whimbrel.model.spec import OnFailure
from whimbrel.runner.bench import Bench
from whimbrel.runner.checkpoint.added import added_by_run
from whimbrel.runner.checkpoint.before import left_over, read_before
from whimbrel.runner.checkpoint.bench_desk import desk_of, mappings_of
from whimbrel.runner.checkpoint.changes import note_changes
from whimbrel.runner.checkpoint.dump.record import Dumped, read_dump
from whimbrel.runner.checkpoint.dump.restore import of_this_run, restore_dump, way_back
from whimbrel.runner.checkpoint.engine import engine_of
from whimbrel.runner.checkpoint.manifest import (
    Checkpoint,
    State,
    as_mappings,
    open_checkpoints,
    read_checkpoint,
    read_conflicts,
    set_reason,
    words_of,
)
from whimbrel.runner.checkpoint.shown import OVER, why_not
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.notes import Kind, forget_note
from whimbrel.runner.runs import Run, read_run, read_runs, same_object, set_run_target
from whimbrel.runner.session import Session
from whimbrel.runner.unchanged import distrust_image
from whimbrel.runner.verify import verify

TARGET: Final = "checkpoint:"  # in front of its id, where a run keeps where its way back leads
Kept = Checkpoint | Dumped
_ENDED: Final = frozenset({"done", "failed", "rolled_back"})  # states of runs
_HEAD, _BASE = "head", "base"
# A person would have to undo these by hand; a restore does.
_HALF: Final = frozenset({"HalfDone"})
# Ends after which a checkpoint is none any more.
_USELESS: Final = frozenset(
    {
        "CaptureBroken",
        "CheckpointDamaged",
        "CheckpointExpired",
        "CheckpointNotReady",
        "JournalFull",
        "RestoreImpossible",
    }
)


def restores_after(error: WhimbrelError, bench: Bench) -> bool:
    """Tell whether the checkpoint of this run is the way back from its failure."""
    if not isinstance(error, HeldError | FailedError):
        return False
    checkpoint = read_checkpoint(bench.holding.ledger, bench.order.run)
    is_of_use = checkpoint is not None and not why_not(checkpoint)
    if not is_of_use and of_this_run(bench) is None:
        return False
    if bench.order.spec.rollback.on_failure is OnFailure.MANUAL:
        return False
    half = isinstance(error, HeldError) and error.reason in _HALF
    return half or (isinstance(error, FailedError) and _may_have_changed(bench))


def _may_have_changed(bench: Bench) -> bool:
    """Tell whether the run may have left something; of a tool's rows no catalogue tells."""
    ledger, run = bench.holding.ledger, bench.order.run
    if bench.order.spec.migrations.tool.is_foreign:
        return True
    applied = any(row.run == run for row in bench.facts().applied)
    return applied or bool(ledger.rows(words_of(ledger).STARTED_STEPS, run))


def restore_after(error: WhimbrelError, bench: Bench) -> Result:
    """Return the end of a run that failed and was taken back by its checkpoint.

    Kept first: whoever is killed now, a later attempt of the run does nothing else.
    """
    ledger, order, findings = bench.holding.ledger, bench.order, bench.findings
    failure = bench.clean(f"{error.reason}: {error.message}")
    set_run_target(ledger, order.run, f"{TARGET}{order.run}", failure)
    checkpoint = _expected(bench, order.run)
    try:
        told = _restored(checkpoint, bench)
    except HeldError as held:
        raise _stuck(f"{error.message}; ", held, checkpoint, bench) from held
    what = "the database is" if isinstance(checkpoint, Dumped) else "these tables are"
    message = f"{error.message}; {told}; {what} as before this run; nothing is tried "
    return findings.failure(
        FailedError(error.reason, f"{message}again until the object changes", command=error.command)
    )


def goes_to_checkpoint(run: Run | None) -> bool:
    """Tell whether a run's way back leads to a checkpoint, as an earlier attempt decided."""
    return run is not None and run.target.startswith(TARGET)


def restorable(bench: Bench, to: str | None) -> Kept | None:
    """Return the checkpoint, or the dump, that leads to a revision; None for another means' work.

    Args:
        bench: The attempt.
        to: Revision that stays, "" for none; None for before the newest run.
    """
    ledger, order = bench.holding.ledger, bench.order
    begun = read_run(ledger, order.run)
    if begun is not None and goes_to_checkpoint(begun):
        return _expected(bench, begun.target.removeprefix(TARGET))
    for each in open_checkpoints(ledger):
        run, before = read_run(ledger, each.id), read_before(ledger, each.id)
        ours = run is not None and same_object(order, run) and before is not None
        leads = ours and before is not None and to in (None, before.revision)
        if leads and (not why_not(each) or _is_stuck(each, ledger)):
            return each
        if leads and why_not(each) == OVER:
            bench.findings.warnings.append(
                f"CheckpointExpired: the checkpoint of run {each.id} was kept until "
                f"{each.kept_until:%F %T}Z: the way back is not by it, but by down migrations"
            )
    return way_back(bench, to)


def _kept(ledger: Ledger, run: str) -> Kept | None:
    dump = read_dump(ledger, run)
    return dump if dump is not None and dump.is_way_back else read_checkpoint(ledger, run)


def _is_stuck(checkpoint: Checkpoint, ledger: Ledger) -> bool:
    """Tell whether the tables are back and no run has ended what follows: the next one does."""
    led = {run.state for run in read_runs(ledger) if run.target == f"{TARGET}{checkpoint.id}"}
    return checkpoint.state is State.RESTORED and not led & _ENDED


def restore_lower(bench: Bench) -> str:
    """Restore where a lower `spec.migrations.to` names the state before the last run.

    Asked before there is a plan: the project may have no way down.
    """
    wanted, strategy = bench.order.spec.migrations.to, bench.order.spec.strategy.type
    if wanted == _HEAD or strategy.shows_new_version:
        return ""
    return restore_asked(bench, "" if wanted == _BASE else wanted)


def restore_asked(bench: Bench, to: str | None) -> str:
    """Restore what leads to a revision, as a person or a red check asks; return what was done.

    "" where the way back is another means' work. `to` as for `restorable`.

    Raises:
        WhimbrelError: It did not come to its end; nothing was changed, or it is named.
    """
    checkpoint = restorable(bench, to)
    if checkpoint is None:
        return ""
    set_run_target(bench.holding.ledger, bench.order.run, f"{TARGET}{checkpoint.id}")
    try:
        told = _restored(checkpoint, bench)
    except HeldError as held:
        raise _stuck("", held, checkpoint, bench) from held
    return f"{told}; read back: the database is at {bench.findings.revision or 'nothing'}"


def _expected(bench: Bench, checkpoint: str) -> Kept:
    found = _kept(bench.holding.ledger, checkpoint)
    if found is None:
        raise HeldError(
            "CheckpointGone",
            f"the ledger has lost the checkpoint of run {checkpoint}: there is nothing to go back "
            "to; a retry goes on without it",
        )
    return found


def _restored(checkpoint: Kept, bench: Bench) -> str:
    """Restore, or finish what an earlier attempt restored; read back; return what was done."""
    ledger = bench.holding.ledger
    if isinstance(checkpoint, Dumped):
        return restore_dump(checkpoint, bench)
    if checkpoint.state is not State.RESTORED:
        _refuse_partial(checkpoint, bench)
        distrust_image(bench)
        forget_note(ledger, Kind.SHAPE)
        _hear_person(checkpoint, bench)
    engine = engine_of(ledger.session)
    added = added_by_run(checkpoint, bench, engine.kinds, engine.label)

    def extra(session: Session) -> None:
        seen = Ledger(session, ledger.schema)
        engine.take_away(seen, checkpoint, added)
        for statement in words_of(ledger).FORGET_RUN:
            seen.rows(statement, checkpoint.id)

    engine.restore(checkpoint, desk_of(bench), extra)
    bench.findings.revision = verify(None, bench)
    _expect_as_before(checkpoint, bench)
    return _told(checkpoint, bench)


def _hear_person(checkpoint: Checkpoint, bench: Bench) -> None:
    """Let the spec of now say what becomes of conflicts: it may have been mended because of one."""
    if (asked := bench.order.spec.checkpoint) is not None:
        mappings = as_mappings(mappings_of(asked))
        ledger = bench.holding.ledger
        ledger.rows(words_of(ledger).SET_WISHES, checkpoint.id, asked.on_conflict.value, mappings)


def _refuse_partial(checkpoint: Checkpoint, bench: Bench) -> None:
    """Hold where the run changed what the checkpoint does not cover: half a way back is none."""
    if told := note_changes(bench.holding.ledger, checkpoint):
        raise HeldError(
            "CheckpointPartial",
            f"the migration changed {told}, which its checkpoint does not cover; nothing was "
            "restored: put that back by hand",
        )


def _expect_as_before(checkpoint: Checkpoint, bench: Bench) -> None:
    before = read_before(bench.holding.ledger, checkpoint.id)
    if before is not None and (told := left_over(bench.holding.ledger, before)):
        raise HeldError(
            "NotAsBefore",
            f"the covered tables were restored, but this is not as before the migration: {told}; "
            "put that right by hand",
        )


def _told(checkpoint: Checkpoint, bench: Bench) -> str:
    conflicts = len(read_conflicts(bench.holding.ledger, checkpoint.id))
    ledger = bench.holding.ledger
    place = ledger.session.dialect.catalog.ledger_table
    names = (place(ledger.schema, each.kept) for each in checkpoint.tables)
    kept = ", ".join(".".join(filter(None, name)) for name in names)
    told = (
        f"{len(checkpoint.tables)} table(s) were restored from the checkpoint of run "
        f"{checkpoint.id}, with every write of the application since; what stood there is kept as "
        f"{kept} until {checkpoint.kept_until:%F %T}Z"
    )
    name, space = bench.order.name, bench.order.namespace
    listed = f"; {conflicts} value(s) have no place: `whimbrel conflicts {name} -n {space}`"
    return told + (listed if conflicts else "")


def _stuck(before: str, held: HeldError, checkpoint: Kept, bench: Bench) -> HeldError:
    """Return the end of a restore that a person has to see to.

    A checkpoint that restores nothing any more is not tried again: the next way back is by downs.
    After a failure a retry would begin with another migration: what goes on is a rollback.
    """
    order, told = bench.order, held.message
    again = f"whimbrel retry {order.name} -n {order.namespace}"
    back = f"whimbrel rollback {order.name} -n {order.namespace}"
    if held.reason in _USELESS and isinstance(checkpoint, Checkpoint):
        set_reason(bench.holding.ledger, checkpoint.id, held.message)
        told += f"; to go back without it: {back}"
    elif before:
        again = back
    if held.reason == "CheckpointConflicts":
        told += f"; to list them: whimbrel conflicts {order.name} -n {order.namespace}"
    return HeldError(
        held.reason,
        f"{before}the restore of the checkpoint did not come to its end: {told}",
        command=held.command or again,
    )
