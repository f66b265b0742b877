"""`whimbrel history NAME|FILE`: the runs, what is applied, and what was salvaged."""

from typing import Annotated, Any

import typer

from whimbrel.cli.clusters import acts_locally, connect_cluster
from whimbrel.cli.here import ledger_place
from whimbrel.cli.ledger_view import open_ledger, read_history
from whimbrel.cli.options import Connection, Place, command_app, grouped
from whimbrel.cli.screen import answer, table
from whimbrel.cli.workplace import workplace

app = command_app()


@app.command()
@grouped
def history(
    place: Place,
    connection: Connection,
    what: Annotated[str, typer.Argument(help="A name, or a manifest.", metavar="NAME|FILE")],
) -> None:
    """Show runs, applied migrations and salvage: from the ledger, in a cluster from status."""
    if not acts_locally(place, what) and not connection.url:
        content = from_status(connect_cluster(place).read(what))
    else:
        where = ledger_place(place, what, connection)
        with (
            workplace(connection, place.state_dir) as here,
            open_ledger(here.target, where.schema, where.lock_timeout) as ledger,
        ):
            content = read_history(ledger, where.spec)
    answer(place.form, content, as_text(content))


def from_status(found: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return what the status of an object keeps of its past."""
    seen: dict[str, Any] = found.get("status") or {}
    run = {key: seen.get("run", {}).get(key, "") for key in ("id", "segment", "attempt", "state")}
    return {
        "runs": [run] if run["id"] else [],
        "applied": [seen["applied"]] if seen.get("applied") else [],
        "salvage": [{"table_name": name} for name in seen.get("salvage", [])],
    }


def as_text(content: dict[str, list[dict[str, Any]]]) -> str:
    """Return a table for each part that has rows."""
    parts = []
    for title, rows in content.items():
        if rows:
            columns = list(rows[0])
            cells = [[_cell(row.get(column, "")) for column in columns] for row in rows]
            parts.append(f"{title}\n{table([each.upper() for each in columns], cells)}")
    return "\n\n".join(parts) or "nothing was done yet"


def _cell(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
