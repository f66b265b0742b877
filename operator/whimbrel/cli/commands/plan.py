"""`whimbrel plan FILE`: what would be done, computed from the catalogue; nothing is touched."""

from typing import Annotated

import typer

from whimbrel.cli.attempts import look
from whimbrel.cli.clusters import acts_locally, connect_cluster
from whimbrel.cli.here import desk_for, found_object
from whimbrel.cli.options import Connection, Consent, Place, command_app, grouped
from whimbrel.cli.outcome import as_data, show_result
from whimbrel.cli.record import Record
from whimbrel.cli.screen import answer, say
from whimbrel.model.packed import unpack_text
from whimbrel.model.result import Result

app = command_app()


@app.command()
@grouped
def plan(
    place: Place,
    connection: Connection,
    what: Annotated[str, typer.Argument(help="A manifest, or a name.", metavar="FILE|NAME")],
) -> None:
    """Show what a run would do; for a name in a cluster, the plan that waits for approval."""
    if not acts_locally(place, what):
        shown = connect_cluster(place).waiting_plan(what)
        answer(place.form, {"name": what, "plan": shown}, shown)
        return
    found = found_object(place, what, connection, Consent())
    with desk_for(place, connection, found) as desk:
        looked = look(desk, found.record)
    if looked.exit_code() != 0:
        show_result(place, found.record, looked)
    _show(place, found.record, looked)


def _show(place: Place, record: Record, looked: Result) -> None:
    text = unpack_text(looked.plan) if looked.plan else looked.message
    for warning in looked.warnings:
        say(f"warning: {warning}")
    answer(place.form, {**as_data(record, looked, ""), "plan": text}, text)
