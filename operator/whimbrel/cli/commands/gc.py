"""`whimbrel gc [NAME|FILE]`: list what can go, and with --yes remove it."""

from dataclasses import asdict
from typing import Annotated, Any

import typer

from whimbrel.cli.clusters import acts_locally
from whimbrel.cli.dump import dumps_in
from whimbrel.cli.here import ledger_place
from whimbrel.cli.ledger_view import open_ledger
from whimbrel.cli.leftovers import find_kept, find_leftovers, find_open_runs, remove_leftovers
from whimbrel.cli.options import Connection, Place, command_app, grouped
from whimbrel.cli.screen import answer, table
from whimbrel.cli.workplace import workplace
from whimbrel.model.errors import RefusedError

app = command_app()


@app.command()
@grouped
def gc(
    place: Place,
    connection: Connection,
    what: Annotated[
        str,
        typer.Argument(help="A name, or a manifest; not needed with --url.", metavar="[NAME|FILE]"),
    ] = "",
    ledger_schema: Annotated[
        str, typer.Option("--ledger-schema", help="Where the ledger is.", show_default=False)
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove it, do not only list it.")] = False,
) -> None:
    """List expired salvage, leftover logins and open runs; --yes removes what nobody needs.

    Without a name, for a database whose object is gone: --url and, where it is not "whimbrel",
    --ledger-schema.
    """
    if not connection.url and not (what and acts_locally(place, what)):
        raise RefusedError("UrlMissing", "only the database knows what can go: name it with --url")
    where = ledger_place(place, what, connection)
    with (
        workplace(connection, place.state_dir) as here,
        open_ledger(here.target, ledger_schema or where.schema, where.lock_timeout) as ledger,
    ):
        found = [asdict(each) for each in find_leftovers(ledger)]
        kept, runs = list(find_kept(ledger)), list(find_open_runs(ledger))
        dumps = dumps_in(place.state_dir)
        gone = list(remove_leftovers(ledger, here.target, dumps)) if yes else []
    content: dict[str, list[Any]] = {"found": found, "kept": kept, "open": runs, "removed": gone}
    answer(place.form, content, as_text(content))


def as_text(content: dict[str, list[Any]]) -> str:
    """Return what was found, what stays, and what is gone."""
    rows = [[each["kind"], each["name"], each["about"]] for each in content["found"]]
    rows += [["kept", each["name"], f"{each['source']}, until {each['until']}"]
             for each in content["kept"]]  # fmt: skip
    rows += [[f"{each['state']} run", each["run"], f"{each['object']}, since {each['since']}"]
             for each in content["open"]]  # fmt: skip
    rows += [["in use", each["logins"], f"of run {each['run']}"]
             for each in content["open"] if each["logins"]]  # fmt: skip
    listed = table(["KIND", "NAME", "ABOUT"], rows) if rows else "nothing is left behind"
    removed = [f"removed: {name}" for name in content["removed"]]
    hint = [] if removed or not content["found"] else ["remove what is not kept with --yes"]
    return "\n".join([listed, *removed, *hint, *map(_about_open, content["open"])])


def _about_open(run: dict[str, str]) -> str:
    """Return what becomes of a run that holds the database."""
    return (
        f"run {run['run']} of {run['object']} holds the database. If that object is gone, the next "
        "object of the same cluster takes over by itself; any other waits and is let in by: "
        "whimbrel resolve ITS-NAME --as TakeOver --by WHO --reason TEXT"
    )
