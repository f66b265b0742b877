"""What the ledger of a database knows, for `history` and `gc`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.spec import Spec
from whimbrel.runner.ledger import Ledger, Meta, read_meta
from whimbrel.runner.records import read_applied, read_salvage, read_tool_runs
from whimbrel.runner.resolutions import read_resolutions
from whimbrel.runner.runs import Run, read_runs
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.target import Target

NAME = "whimbrel"


@contextmanager
def open_ledger(target: Target, schema: str, lock_timeout: float) -> Iterator[Ledger]:
    """Give the ledger of a database.

    Raises:
        RefusedError: There is none, or none that can be read.
    """
    session = open_session(target, Manners(NAME, lock_timeout))
    try:
        ledger = Ledger(session, schema)
        if _read(ledger) is None:
            raise RefusedError("NoLedger", f"there is no ledger in schema {schema} of {target}")
        yield ledger
    finally:
        session.close()


def _read(ledger: Ledger) -> Meta | None:
    try:
        return read_meta(ledger)
    except HeldError as error:  # no run is held by a look, and there may be no object to retry
        raise RefusedError(error.reason, error.message) from error


def read_history(ledger: Ledger, spec: Spec | None) -> dict[str, list[dict[str, Any]]]:
    """Return runs, what is applied, starts of tools, salvage and answers, oldest first."""
    applied = read_applied(ledger, spec.migrations.history) if spec else ()
    starts = read_tool_runs(ledger, spec) if spec else ()
    return {
        "runs": [_run(each) for each in read_runs(ledger)],
        "applied": [
            {"version": each.version, "name": each.name, "owner": each.owner, "run": each.run}
            for each in applied
        ],
        "toolRuns": [
            {"run": each.run, "before": list(each.before), "after": list(each.after or ())}
            for each in starts
        ],
        "salvage": [_dated(asdict(each)) for each in read_salvage(ledger)],
        "resolutions": [_dated(asdict(each)) for each in read_resolutions(ledger)],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "run": run.id,
        "object": f"{run.namespace}/{run.name}",
        "cluster": run.cluster,
        "purpose": run.purpose,
        "state": run.state,
        "opened": str(run.opened_at),
        "closed": str(run.closed_at or ""),
    }


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    plain = (str, int, float, bool)
    return {key: value if isinstance(value, plain) else str(value) for key, value in row.items()}
