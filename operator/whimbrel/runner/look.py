"""The segment Look: what the database shows now, and what would be done. Writes nothing."""

import hashlib
from collections.abc import Callable
from contextlib import closing
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.order import Order
from whimbrel.model.packed import pack_text
from whimbrel.model.result import Outcome, Result
from whimbrel.model.steps import Direction
from whimbrel.planning.describe import describe
from whimbrel.runner.checkpoint.planned import planned
from whimbrel.runner.facts import read_facts, revision_of
from whimbrel.runner.findings import Findings
from whimbrel.runner.holding import manners_of
from whimbrel.runner.known import look_at_ledger
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.midway import seen_midway
from whimbrel.runner.project import read_source
from whimbrel.runner.release import is_to_be_switched
from whimbrel.runner.servers import server_of
from whimbrel.runner.sessions import open_session
from whimbrel.runner.surroundings import Surroundings

# Where the controller finds a plan that did not fit the termination message.
PLAN_BEGIN: Final = "-----BEGIN WHIMBREL PLAN-----"
PLAN_END: Final = "-----END WHIMBREL PLAN-----"


def look(
    order: Order, place: Surroundings, findings: Findings, clean: Callable[[str], str]
) -> Result:
    """Return the plan and the revision that the database shows.

    Of a run that has begun and is refused now, the next attempt makes an end: it takes it back, or
    says what stays.

    Raises:
        WhimbrelError: There is no plan; the class says what happens next.
    """
    try:
        return _look(order, place, findings, clean)
    except RefusedError as error:
        shown = seen_midway(order, place)
        if shown is None:
            raise
        findings.revision = shown
        down = Direction.DOWN.value
        return findings.result(Outcome.DONE, "Looked", error.message, direction=down)


def _look(
    order: Order, place: Surroundings, findings: Findings, clean: Callable[[str], str]
) -> Result:
    manners = manners_of(order)
    source = read_source(order, place, clean, manners)
    kind = server_of(place.target)
    server = kind.check(place.target, manners.application_name)
    findings.database = server.database
    findings.warnings += server.warnings
    with closing(open_session(place.target, manners)) as session:
        session.refuse_writes()
        ledger = Ledger(session, order.spec.database.ledger_schema)
        kind.check_place(session, ledger.schema)
        opened = look_at_ledger(ledger, order)
        findings.warnings += opened.warnings
        if opened.meta is not None:
            findings.database_uuid, findings.epoch = opened.meta.database, opened.meta.epoch
        has_ledger = opened.meta is not None
        facts = read_facts(ledger, order, server.database, has_ledger=has_ledger)
        findings.revision, findings.newest_image = revision_of(facts, order), facts.newest_image
        plan = planned(ledger, order, facts, source, place)
        idle = has_ledger and not (plan.steps or plan.ahead)
        goes_on = idle and is_to_be_switched(ledger, order, facts)
    findings.plan_digest = plan.digest()
    text = clean(describe(plan))
    place.report(f"{PLAN_BEGIN}\n{text}\n{PLAN_END}")
    outcome = Outcome.DONE if plan.steps else Outcome.NOTHING_TO_DO
    told = f"{len(plan.steps)} steps to {plan.to or 'nothing'}" if plan.steps else "nothing to do"
    return findings.result(
        outcome,
        "Looked",
        told,
        direction=plan.direction.value,
        plan=pack_text(text),
        # Text that does not fit the message is read from the log, and must have this digest.
        plan_sha256=hashlib.sha256(text.encode()).hexdigest(),
        goes_on=goes_on,
    )
