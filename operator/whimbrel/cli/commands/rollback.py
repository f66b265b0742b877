"""`whimbrel rollback NAME|FILE`: take back the newest run, or down to a revision."""

from typing import Annotated

import typer

from whimbrel.cli.attempts import carry_through, new_errand
from whimbrel.cli.clusters import acts_locally, connect_cluster
from whimbrel.cli.here import desk_for, found_object
from whimbrel.cli.options import Connection, Consent, Place, command_app, grouped
from whimbrel.cli.orders import Errand
from whimbrel.cli.outcome import show_result
from whimbrel.cli.screen import answer
from whimbrel.model.plan import Segment

app = command_app()


@app.command()
@grouped
def rollback(
    place: Place,
    connection: Connection,
    consent: Consent,
    what: Annotated[str, typer.Argument(help="A name, or a manifest.", metavar="NAME|FILE")],
    to: Annotated[str, typer.Option("--to", help='Revision to go back to; "base" for all.')] = "",
) -> None:
    """Take back the newest run; what the revisions had added is salvaged first."""
    if acts_locally(place, what):
        _roll_back_here(place, connection, consent, new_errand(Segment.ROLLBACK, to), what)
        return
    sentence = connect_cluster(place).roll_back(what, to, consent)
    answer(place.form, {"name": what, "message": sentence}, sentence)


def _roll_back_here(
    place: Place, connection: Connection, consent: Consent, errand: Errand, what: str
) -> None:
    found = found_object(place, what, connection, consent)
    with desk_for(place, connection, found) as desk:
        record, result = carry_through(desk, found.record, errand)
    show_result(place, record, result)
