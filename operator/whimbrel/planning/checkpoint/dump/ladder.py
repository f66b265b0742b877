"""Rung 5 of the ladder: what a dump is for in a plan, what it costs, and what it loses."""

from dataclasses import dataclass, replace
from typing import Final

from whimbrel.model.bounds import format_duration
from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.dump import DumpOptions, PlannedDump
from whimbrel.model.errors import RefusedError
from whimbrel.model.plan import RunnerPlan
from whimbrel.model.steps import RunFiles

# Measured with 2 million rows, 744 MB with their indexes: dump 4.6 s, restore 8.6 s.
_DUMPED: Final = 160e6  # bytes of the database in a second
_RESTORED: Final = 85e6
_MIB: Final = 2**20
_BEYOND: Final = (
    "a restore of the dump does not bring back roles, large objects, foreign servers, "
    "subscriptions and event triggers; sequences never go back"
)


@dataclass(frozen=True)
class Dumper:
    """What is known of a dump before it is made.

    Attributes:
        version: Major version of pg_dump.
        size: Bytes of the database with its indexes.
    """

    options: DumpOptions
    version: int
    size: int


def expect_fitting(version: int, server: int, *, restores: bool) -> None:
    """Check that a pg_dump can read a server, and that what it wrote can be put back there.

    Raises:
        RefusedError: ``DumperTooOld`` or ``DumperTooNew``.
    """
    change = f"name an image of PostgreSQL {server} in checkpoint.dump.image"
    if version < server:
        raise RefusedError(
            "DumperTooOld",
            f"pg_dump {version} cannot dump a server of version {server}: {change}",
        )
    if restores and version > server:
        raise RefusedError(
            "DumperTooNew",
            f"what pg_dump {version} writes a server of version {server} may not understand, and "
            f"this dump shall be the way back: {change}",
        )


def with_backup(plan: RunnerPlan, asked: CheckpointOptions, dumper: Dumper) -> RunnerPlan:
    """Return a plan that has another way back, with a dump besides."""
    note = (
        f"backup besides, for {format_duration(asked.keep_for)}: rung 5, {_made(dumper)}; it is "
        "no way back of this run: whoever restores it by hand loses every write since, and the "
        "ledger goes back too, which is noticed (LedgerWentBack)"
    )
    return _with(plan, PlannedDump(dumper.options), note)


def with_freeze(plan: RunnerPlan, asked: CheckpointOptions, dumper: Dumper) -> RunnerPlan:
    """Return a plan whose way back is the dump, because nobody can write meanwhile."""
    freeze = (
        "the application's writes are stopped from before the dump to the end of this run, "
        "because checkpoint.writeFreeze asks for it: every INSERT, UPDATE, DELETE and TRUNCATE "
        "of another login fails meanwhile (SQLSTATE 25006)"
    )
    why = "checkpoint.writeFreeze is true, so nothing is lost until the run is over"
    later = "afterwards the restore would lose every write since: it waits for allowDataLoss"
    back = (*_way_back(plan, asked, dumper, why), later)
    return _with(plan, PlannedDump(dumper.options, is_way_back=True, freezes=True), freeze, *back)


def instead_of_copy(
    plan: RunnerPlan, asked: CheckpointOptions, dumper: Dumper, refusal: str
) -> RunnerPlan:
    """Return a plan whose way back is the dump, because no copy of tables can be.

    Args:
        plan: Up, with steps.
        asked: What the author asks for, who accepts the loss.
        dumper: What makes the dump.
        refusal: Why there can be no copy.
    """
    loss = "a restore of the dump loses every write of the application since it was made, which "
    loss += "rollback.allowDataLoss accepts"
    back = _way_back(plan, asked, dumper, f"a copy of tables (rung 3) cannot be: {refusal}")
    return _with(plan, PlannedDump(dumper.options, is_way_back=True), *back, loss)


def _way_back(
    plan: RunnerPlan, asked: CheckpointOptions, dumper: Dumper, why: str
) -> tuple[str, ...]:
    first: tuple[str, ...] = ()
    if len(plan.steps) == 1 and isinstance(plan.steps[0], RunFiles):
        first = ("way back while it runs: rung 0, ROLLBACK, because all of it is one transaction",)
    rung = (
        f"way back afterwards, for {format_duration(asked.keep_for)}: rung 5, restore of "
        f"{_made(dumper)}, because {why}"
    )
    cost = (
        f"its cost: about {_seconds(dumper.size / _DUMPED)} before the first step; a restore "
        f"takes about {_seconds(dumper.size / _RESTORED)}, in one transaction that locks every "
        "table, so the application waits for it; it needs room on the claim for all rows as text"
    )
    return (*first, rung, cost, _BEYOND)


def _made(dumper: Dumper) -> str:
    return (
        f"a dump of the whole database by pg_dump {dumper.version} (with its indexes it has about "
        f"{max(1, round(dumper.size / _MIB))} MiB)"
    )


def _seconds(seconds: float) -> str:
    return f"{max(1, round(seconds))} s"


def _with(plan: RunnerPlan, dump: PlannedDump, *notes: str) -> RunnerPlan:
    return replace(plan, dump=dump, notes=(*plan.notes, *notes))


def offered(refusal: RefusedError) -> RefusedError:
    """Return the refusal of a copy of tables, with what a dump could do instead."""
    return RefusedError(
        refusal.reason,
        f"{refusal.message}; or let the dump be the way back: checkpoint.writeFreeze true stops "
        "the application's writes meanwhile, rollback.allowDataLoss accepts to lose them",
    )
