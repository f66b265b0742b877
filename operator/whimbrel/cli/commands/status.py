"""`whimbrel status NAME`: where the object stands."""

import time
from typing import Annotated, Any

import typer

from whimbrel.cli.clusters import connect_cluster, local_record
from whimbrel.cli.gate import token_of
from whimbrel.cli.object_view import conditions, observed, rows as rows_of
from whimbrel.cli.options import Form, Place, command_app, grouped
from whimbrel.cli.outcome import command_here, going_on, say_reminder, told_here
from whimbrel.cli.record import Record
from whimbrel.cli.screen import aligned, answer
from whimbrel.model.result import Outcome
from whimbrel.model.status import RunState

app = command_app()


@app.command()
@grouped
def status(
    place: Place,
    name: Annotated[str, typer.Argument(help="Name of the object.", metavar="NAME")],
) -> None:
    """Show where the object stands: in the cluster its status, here its local record."""
    record = local_record(place, name)
    if record is not None:
        command = going_on(place, record) if _goes_on(record) else ""
        rows = record_rows(place, record, command)
        content = record.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    else:
        content = connect_cluster(place).read(name)
        rows = object_rows(content) if place.form is Form.TABLE else {}
    answer(place.form, content, aligned(rows))
    if record is not None and rows["go on with"]:
        say_reminder(record)


def record_rows(place: Place, record: Record, command: str) -> dict[str, str]:
    """Return what a local record says, line by line."""
    rows = {"object": f"{record.namespace}/{record.name}", "database": record.database}
    if record.last is not None:
        last = record.last.result
        rows["revision"] = last.revision
        rows["last"] = f"{last.outcome.value} ({last.reason}) at {record.last.at}"
        rows["message"] = told_here(place, record, last.message)
        rows["do"] = command_here(place, record, last) if last.outcome is Outcome.HELD else ""
    if record.run is not None:
        run = record.run
        rows["run"] = f"{run.id}, {run.segment}, attempt {run.attempt}, {run.state}"
    if record.gate:
        rows["waits for"] = f"approval of {token_of(record.gate)}"
    return {**rows, "go on with": command}


def object_rows(found: dict[str, Any]) -> dict[str, str]:
    """Return what an object of the cluster says, line by line."""
    seen = observed(found, time.time())
    return rows_of(seen) | conditions(seen)


def _goes_on(record: Record) -> bool:
    return record.run is not None and record.run.state is RunState.OPEN
