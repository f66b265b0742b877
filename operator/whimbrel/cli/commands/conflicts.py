"""`whimbrel conflicts NAME|FILE`: writes for which the restored shape has no place, row by row."""

from typing import Annotated

import typer

from whimbrel.cli.checkpoint.kept import conflicts_in, ledger_of
from whimbrel.cli.clusters import acts_locally
from whimbrel.cli.options import Connection, Place, command_app, grouped
from whimbrel.cli.screen import answer, table
from whimbrel.model.errors import RefusedError

app = command_app()


@app.command()
@grouped
def conflicts(
    place: Place,
    connection: Connection,
    what: Annotated[str, typer.Argument(help="A name, or a manifest.", metavar="NAME|FILE")],
) -> None:
    """Show the values that a restore had no place for; they are in the ledger of the database."""
    if not acts_locally(place, what) and not connection.url:
        raise RefusedError("UrlMissing", "only the database knows them: name it with --url")
    with ledger_of(place, what, connection) as (ledger, owner):
        found = conflicts_in(ledger, owner)
    columns = ["TABLE", "KEY", "KIND", "COLUMN", "VALUE", "AT"]
    rows = [[each[column.lower()] for column in columns] for each in found]
    answer(place.form, found, table(columns, rows) if rows else "every write had its place")
