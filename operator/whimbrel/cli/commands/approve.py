"""`whimbrel approve NAME [TOKEN]`: approve the plan that waits."""

from typing import Annotated

import typer

from whimbrel.cli.clusters import connect_cluster, local_record
from whimbrel.cli.gate import approved
from whimbrel.cli.options import Place, command_app, grouped
from whimbrel.cli.outcome import going_on, say_reminder
from whimbrel.cli.record import save_record
from whimbrel.cli.screen import answer

app = command_app()


@app.command()
@grouped
def approve(
    place: Place,
    name: Annotated[str, typer.Argument(help="Name of the object.", metavar="NAME")],
    token: Annotated[
        str, typer.Argument(help="The token that was shown with the plan.", metavar="[TOKEN]")
    ] = "",
) -> None:
    """Approve the plan that waits; with a TOKEN, only if it is that plan."""
    record = local_record(place, name)
    if record is None:
        sentence = connect_cluster(place).approve(name, token)
        answer(place.form, {"name": name, "message": sentence}, sentence)
        return
    record = approved(record, token)
    save_record(place.state_dir, record)
    command = going_on(place, record)
    content = {"name": name, "approved": record.approved, "command": command}
    answer(place.form, content, f"approved; go on with: {command}")
    say_reminder(record)
