"""What the ledger records of the work: steps, files, tool runs, salvage, roll-backs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from whimbrel.model.facts import Applied
from whimbrel.model.spec import Spec
from whimbrel.model.steps import CatalogObject
from whimbrel.planning.tools.registry import project_of
from whimbrel.runner.catalog import Identity
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Row
from whimbrel.runner.sessions import as_json, as_list

NOBODY: Final[Identity] = ("", 0, 0)  # an identity that a restore from a dump has made worthless


@dataclass(frozen=True)
class ToolRun:
    """One start of a foreign tool.

    Attributes:
        segment: Segment of the attempt that started it.
        step: Id of the step; an adoption (`baseline`) and a way up may share an attempt.
        before: Revisions that its bookkeeping showed before.
        after: Revisions that it showed afterwards; None while nobody has read them back.
        added: What the run added to the catalogue, with what outlives a rename.
        fingerprint_before: Fingerprint of the catalogue before.
        fingerprint_after: Fingerprint afterwards, or "".
        cut: It did not come to the end that was planned.
    """

    run: str
    segment: str
    attempt: int
    step: str
    history: str
    image: str
    before: tuple[str, ...]
    after: tuple[str, ...] | None
    added: Mapping[CatalogObject, Identity]
    fingerprint_before: str
    fingerprint_after: str = ""
    cut: bool = True


@dataclass(frozen=True)
class Salvage:
    """A table that keeps what a roll-back took away.

    Attributes:
        table_name: Its name in the ledger's schema.
        source: What it was copied from, in words for a person.
        rows: Number of rows.
        kept_until: It may be dropped after that.
    """

    run: str
    table_name: str
    source: str
    rows: int
    kept_until: datetime


def start_step(ledger: Ledger, run: str, step: str) -> None:
    """Record that a step outside a transaction begins."""
    ledger.rows(ledger.words.START_STEP, run, step)


def finish_step(ledger: Ledger, run: str, step: str) -> None:
    """Record that a step is done; inside its transaction this is the proof of its commit."""
    ledger.rows(ledger.words.FINISH_STEP, run, step)


def forget_step(ledger: Ledger, step: str) -> None:
    """Record that nothing is left of a step outside a transaction that began and failed."""
    ledger.rows(ledger.words.FORGET_STEP, step)


def steps_started(ledger: Ledger) -> frozenset[str]:
    """Return the steps outside a transaction that began, in whichever run, and did not end."""
    return frozenset(step for (step,) in ledger.rows(ledger.words.READ_STARTED))


def steps_done(ledger: Ledger, run: str) -> dict[str, str]:
    """Return the steps that ended and the id of the transaction that says so."""
    found = ledger.rows(ledger.words.READ_STEPS, run)
    return {step: xid for step, state, xid in found if state == "done"}


def read_applied(ledger: Ledger, history: str) -> tuple[Applied, ...]:
    """Return the applied files of a history, oldest first."""
    found = ledger.rows(ledger.words.READ_APPLIED, history)
    return tuple(_applied(row) for row in found)


def _applied(row: Row) -> Applied:
    values = (*row[:8], _objects(as_list(row[8])))
    return Applied(*values)


def insert_applied(ledger: Ledger, row: Applied) -> None:
    """Record a file as applied.

    Raises:
        ServerError: `Trouble.DUPLICATE`: that version is applied already.
    """
    ledger.rows(
        ledger.words.INSERT_APPLIED,
        row.history,
        row.version,
        row.name,
        row.checksum,
        row.owner,
        row.run,
        row.image,
        row.down,
        _as_rows(row.added),
    )


def delete_applied(ledger: Ledger, history: str, version: str) -> bool:
    """Record a file as taken back; return whether it was applied."""
    return bool(ledger.rows(ledger.words.DELETE_APPLIED, history, version))


def half_applied(ledger: Ledger, history: str) -> tuple[tuple[str, str], ...]:
    """Return version and name of files of which only a part was carried out."""
    found = (ledger.rows(each, history) for each in ledger.words.READ_HALF)
    return tuple((str(version), str(file)) for rows in found for version, file in rows)


def forget_half(ledger: Ledger, history: str, *, besides: frozenset[str]) -> None:
    """Let go of files that were carried out in part, but for some: a person has seen to them."""
    for version, _ in half_applied(ledger, history):
        if version not in besides:
            for each in ledger.words.FORGET_HALF:
                ledger.rows(each, history, version)


def record_tool_run(ledger: Ledger, row: ToolRun) -> None:
    """Record a start of a tool, before it (after=None) and again with what it did."""
    ledger.rows(
        ledger.words.RECORD_TOOL_RUN,
        row.run,
        row.segment,
        row.attempt,
        row.step,
        row.history,
        row.image,
        list(row.before),
        None if row.after is None else list(row.after),
        as_json([[*_words(each), *row.added[each][1:]] for each in sorted(row.added)]),
        row.fingerprint_before,
        row.fingerprint_after,
        row.cut,
    )


def read_tool_runs(ledger: Ledger, spec: Spec) -> tuple[ToolRun, ...]:
    """Return the starts of the tool for a project, oldest first."""
    found = ledger.rows(ledger.words.READ_TOOL_RUNS, project_of(spec))
    return tuple(_tool_run(row) for row in found)


def _tool_run(row: Row) -> ToolRun:
    after = None if row[7] is None else tuple(as_list(row[7]))
    at_home = row[12]
    added = {
        CatalogObject(*words): (words[0], oid, number) if at_home else NOBODY
        for *words, oid, number in as_list(row[8])
    }
    values = (*row[:6], tuple(as_list(row[6])), after, added, *row[9:12])
    return ToolRun(*values)


def record_salvage(ledger: Ledger, run: str, table: str, source: str, *, kept: tuple[int, float]
) -> None:  # fmt: skip
    """Record a salvage table.

    Args:
        ledger: The ledger.
        run: Id of the run that made it.
        table: Its name in the ledger's schema.
        source: What it was copied from.
        kept: Number of rows, and seconds for which they are kept.
    """
    rows, seconds = kept
    ledger.rows(ledger.words.RECORD_SALVAGE, run, table, source, rows, float(seconds))


def read_salvage(ledger: Ledger) -> tuple[Salvage, ...]:
    """Return all salvage tables, oldest first."""
    return tuple(Salvage(*row) for row in ledger.rows(ledger.words.READ_SALVAGE))


def expired_salvage(ledger: Ledger) -> tuple[Salvage, ...]:
    """Return the salvage tables whose time is over, by the database's clock."""
    return tuple(Salvage(*row) for row in ledger.rows(ledger.words.EXPIRED_SALVAGE))


def forget_salvage(ledger: Ledger, table: str) -> None:
    """Record that a salvage table was dropped."""
    ledger.rows(ledger.words.FORGET_SALVAGE, table)


def record_rolled_back(ledger: Ledger, history: str, digest: str, run: str) -> None:
    """Record a plan that was rolled back and is not tried again."""
    ledger.rows(ledger.words.RECORD_ROLLED_BACK, history, digest, run)


def lift_rolled_back(ledger: Ledger, history: str) -> None:
    """Let every plan of a history be tried again: a person asked for it."""
    ledger.rows(ledger.words.LIFT_ROLLED_BACK, history)


def read_rolled_back(ledger: Ledger, history: str) -> frozenset[str]:
    """Return the digests of plans that were rolled back."""
    return frozenset(digest for (digest,) in ledger.rows(ledger.words.READ_ROLLED_BACK, history))


def _as_rows(objects: frozenset[CatalogObject]) -> str:
    return as_json([_words(each) for each in sorted(objects)])


def _words(each: CatalogObject) -> list[str]:
    return [each.kind, each.schema, each.name, each.part]


def _objects(rows: list[Any]) -> frozenset[CatalogObject]:
    return frozenset(CatalogObject(*row) for row in rows)
