"""`whimbrel resolve NAME --as ...`: a person's answer where the machine holds."""

from enum import StrEnum
from typing import Annotated

import typer

from whimbrel.cli.clusters import connect_cluster, local_record
from whimbrel.cli.options import Place, command_app, grouped
from whimbrel.cli.outcome import going_on, say_reminder
from whimbrel.cli.record import Record, save_record
from whimbrel.cli.screen import answer
from whimbrel.model.errors import RefusedError
from whimbrel.model.order import Resolution
from whimbrel.model.result import Outcome
from whimbrel.model.status import RunState

app = command_app()


class Verdict(StrEnum):
    """What a person vouches for."""

    FENCE_PROVEN = "FenceProven"
    LEDGER_ACCEPTED = "LedgerAccepted"
    TAKE_OVER = "TakeOver"


@app.command()
@grouped
def resolve(
    place: Place,
    name: Annotated[str, typer.Argument(help="Name of the object.", metavar="NAME")],
    verdict: Annotated[Verdict, typer.Option("--as", help="What you vouch for.")],
    by: Annotated[str, typer.Option("--by", help="Who you are; kept in the ledger.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; kept in the ledger.")],
) -> None:
    """Answer for a run that is held: FenceProven, LedgerAccepted or TakeOver."""
    record = local_record(place, name)
    if record is None:
        sentence = connect_cluster(place).resolve(name, verdict, by, reason)
        answer(place.form, {"name": name, "message": sentence}, sentence)
        return
    record = resolved(record, verdict, by, reason)
    save_record(place.state_dir, record)
    command = going_on(place, record)
    content = {"name": name, "as": str(verdict), "by": by, "reason": reason, "command": command}
    answer(place.form, content, f"{verdict} recorded; go on with: {command}")
    say_reminder(record)


def _asks(record: Record, verdict: Verdict) -> bool:
    """Tell whether the newest run has said that it needs a person's answer."""
    run, last = record.run, record.last
    if run is None or last is None or last.result.run != run.id:
        return False
    held, holder = last.result.outcome is Outcome.HELD, last.result.holder
    return holder is not None if verdict is Verdict.TAKE_OVER else held


def resolved(record: Record, verdict: Verdict, by: str, reason: str) -> Record:
    """Return the record with a person's answer for its newest run.

    Raises:
        RefusedError: No run of it asks for an answer.
    """
    if record.run is None or not _asks(record, verdict):
        waited = "waits for another one" if verdict is Verdict.TAKE_OVER else "is held"
        raise RefusedError(
            "NothingHeld",
            f"no run of {record.name} {waited}, so there is nothing to resolve: whimbrel run or "
            "rollback asks where an answer is needed",
        )
    answered = Resolution(verdict=verdict, run=record.run.id, by=by, reason=reason)
    reopened = record.run.model_copy(update={"state": RunState.OPEN})
    return record.model_copy(update={"resolution": answered, "run": reopened})
