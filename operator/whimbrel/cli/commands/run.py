"""`whimbrel run FILE`: carry out a manifest without a cluster."""

from typing import Annotated, Final

import typer

from whimbrel.cli.attempts import Desk, carry_through, look, new_errand
from whimbrel.cli.gate import waiting
from whimbrel.cli.here import desk_for, found_object
from whimbrel.cli.local_identity import now
from whimbrel.cli.options import Connection, Consent, Place, command_app, grouped
from whimbrel.cli.orders import looked_held
from whimbrel.cli.outcome import show_result
from whimbrel.cli.record import Record, save_record
from whimbrel.cli.screen import say
from whimbrel.machine.segments import segments
from whimbrel.model.errors import RefusedError
from whimbrel.model.plan import Segment
from whimbrel.model.result import Outcome
from whimbrel.model.spec import Gate, Spec

app = command_app()
HERE: Final = frozenset({Segment.LOOK, Segment.APPROVE, Segment.MIGRATE})


@app.command()
@grouped
def run(
    place: Place,
    connection: Connection,
    consent: Consent,
    file: Annotated[str, typer.Argument(help="The manifest.", metavar="FILE")],
) -> None:
    """Carry out a manifest on the database of --url, or on an embedded PostgreSQL."""
    found = found_object(place, file, connection, consent)
    if found.manifest.spec.suspend:
        raise RefusedError("Suspended", "spec.suspend is true: nothing is started")
    refuse_release(found.manifest.spec)
    with desk_for(place, connection, found) as desk:
        if Gate.START in found.manifest.spec.approval.before:
            refuse_unapproved(place, desk, found.record)
        errand = new_errand(Segment.MIGRATE)
        record, result = carry_through(desk, found.record, errand)
    show_result(place, record, result)


def refuse_release(spec: Spec) -> None:
    """Refuse what only a cluster can carry out: checks, rollouts and the switch of a Service."""
    beyond = [str(each) for each in segments(spec) if each not in HERE]
    if beyond:
        raise RefusedError(
            "NeedsCluster",
            f"{', '.join(beyond)} need a cluster; nothing was done: apply this manifest there, or "
            "run a copy of it without strategy, healthChecks and soak here",
        )


def refuse_unapproved(place: Place, desk: Desk, record: Record) -> None:
    """Look, and end here with the plan on the screen while nobody approved it."""
    looked = look(desk, record)
    if looked.outcome is Outcome.HELD:  # the answer to it goes on with this run
        record = looked_held(record, looked, new_errand(Segment.MIGRATE), now())
        save_record(desk.state_dir, record)
    if looked.exit_code() != 0:
        show_result(place, record, looked)
    held = waiting(record, looked)
    if held is not None:
        save_record(desk.state_dir, held.record)
        say(held.plan)
        show_result(place, held.record, held.told(looked))
