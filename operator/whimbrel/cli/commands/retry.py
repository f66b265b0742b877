"""`whimbrel retry NAME`: try again, also a plan that was rolled back."""

from typing import Annotated

import typer

from whimbrel.cli.clusters import connect_cluster, local_record
from whimbrel.cli.local_identity import now
from whimbrel.cli.options import Place, command_app, grouped
from whimbrel.cli.outcome import going_on, say_reminder
from whimbrel.cli.record import closed_run, save_record
from whimbrel.cli.screen import answer

app = command_app()


@app.command()
@grouped
def retry(
    place: Place,
    name: Annotated[str, typer.Argument(help="Name of the object.", metavar="NAME")],
) -> None:
    """Ask for a new run of the same spec; lifts "was rolled back, not tried again"."""
    record = local_record(place, name)
    if record is None:
        sentence = connect_cluster(place).retry(name)
        answer(place.form, {"name": name, "message": sentence}, sentence)
        return
    record = closed_run(record, retry=now())
    save_record(place.state_dir, record)
    command = going_on(place, record)
    content = {"name": name, "retry": record.retry, "command": command}
    answer(place.form, content, f"the next run tries again; go on with: {command}")
    say_reminder(record)
