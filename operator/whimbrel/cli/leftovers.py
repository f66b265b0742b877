"""What earlier runs left behind: salvage whose time is over, logins that were made for tools."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whimbrel.cli.checkpoint.kept import drop, goes, kept_in
from whimbrel.cli.dump import about, can_thaw, dumps_over, remove_over
from whimbrel.planning.dialects.postgresql_roles import ROLE_EXISTS
from whimbrel.runner.attempts import read_attempts
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.postgresql_session import postgres
from whimbrel.runner.records import expired_salvage, read_salvage
from whimbrel.runner.run_role import remove_role, role_name
from whimbrel.runner.runs import read_runs
from whimbrel.runner.salvage import drop_expired
from whimbrel.runner.server_errors import SERVER_ERRORS
from whimbrel.runner.sessions import own, sorted_error
from whimbrel.runner.target import Target


@dataclass(frozen=True)
class Leftover:
    """One thing that can go.

    Attributes:
        kind: salvage, login, checkpoint, conflicts, dump or freeze.
        about: What it is, for a person.
    """

    kind: str
    name: str
    about: str


def find_leftovers(ledger: Ledger) -> tuple[Leftover, ...]:
    """Return everything that `gc --yes` removes."""
    salvage = [
        Leftover("salvage", each.table_name, f"{each.rows} rows of {each.source}, run {each.run}")
        for each in expired_salvage(ledger)
    ]
    logins = [
        Leftover("login", role, f"of run {run}")
        for run, role in _own_roles(ledger)
        if own(ledger.session, ROLE_EXISTS, role)[0][0]
    ]
    copies = [Leftover(*each) for each in goes(ledger)]
    dumps = [Leftover("dump", each.run, about(each)) for each in dumps_over(ledger)]
    dumps += [Leftover("freeze", each, "triggers that stopped writes") for each in can_thaw(ledger)]
    return (*salvage, *logins, *copies, *dumps)


def find_kept(ledger: Ledger) -> tuple[dict[str, Any], ...]:
    """Return the salvage tables and checkpoints that stay, and until when."""
    going = {each.name for each in find_leftovers(ledger)}
    copies = [
        {"name": each["id"], "source": f"checkpoint, {each['state']}", "until": each["keptUntil"]}
        for each in kept_in(ledger)
    ]
    salvage = [
        {"name": each.table_name, "source": each.source, "until": str(each.kept_until)}
        for each in read_salvage(ledger)
    ]
    return tuple(each for each in (*salvage, *copies) if each["name"] not in going)


def find_open_runs(ledger: Ledger) -> tuple[dict[str, str], ...]:
    """Return the runs that hold the database, and the logins of their tools."""
    return tuple(
        {
            "run": run.id,
            "object": f"{run.namespace}/{run.name}",
            "cluster": run.cluster,
            "state": run.state,
            "since": str(run.opened_at),
            "logins": ", ".join(
                each.run_role for each in read_attempts(ledger, run.id) if each.run_role
            ),
        }
        for run in read_runs(ledger)
        if run.closed_at is None
    )


def remove_leftovers(ledger: Ledger, target: Target, dumps: Path) -> tuple[str, ...]:
    """Remove what `find_leftovers` finds and return the names of what is gone.

    Raises:
        WhimbrelError: The server refuses; what was removed before stays removed.
    """
    roles = [each.name for each in find_leftovers(ledger) if each.kind == "login"]
    try:
        gone = [*drop_expired(ledger), *drop(ledger, target), *remove_over(ledger, target, dumps)]
        removed = [
            role
            for role in roles
            if remove_role(postgres(ledger.session), target, ledger.schema, role)
        ]
    except SERVER_ERRORS as error:
        raise sorted_error(error, "removing leftovers") from error
    return (*gone, *removed)


def _own_roles(ledger: Ledger) -> list[tuple[str, str]]:
    """Return run and login of the attempts that are over; a prepared login is not ours to drop."""
    return [
        (run.id, each.run_role)
        for run in read_runs(ledger)
        if run.closed_at is not None
        for each in read_attempts(ledger, run.id)
        if each.state != "open" and each.run_role == role_name(run.id, each.attempt)
    ]
