"""`whimbrel checkpoints NAME|FILE`: what is kept, until when, how large, and if it restores."""

from typing import Annotated

import typer

from whimbrel.cli.checkpoint.kept import as_text, kept_in, ledger_of
from whimbrel.cli.clusters import acts_locally, connect_cluster
from whimbrel.cli.options import Connection, Place, command_app, grouped
from whimbrel.cli.screen import answer

app = command_app()


@app.command()
@grouped
def checkpoints(
    place: Place,
    connection: Connection,
    what: Annotated[str, typer.Argument(help="A name, or a manifest.", metavar="NAME|FILE")],
) -> None:
    """Show what checkpoints are kept: from the ledger, in a cluster without --url from status."""
    if not acts_locally(place, what) and not connection.url:
        seen = connect_cluster(place).read(what).get("status", {}).get("checkpoint")
        found = [{"object": what, **seen}] if seen else []
    else:
        with ledger_of(place, what, connection) as (ledger, _):
            found = kept_in(ledger)
    answer(place.form, found, as_text(found))
