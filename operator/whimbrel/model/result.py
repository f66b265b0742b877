"""What a Job answers: exit code and termination message of the container `runner`."""

import json
import re
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from whimbrel.model.bounds import AtMost
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.spec import Frozen

MESSAGE_LIMIT: Final = 4096  # bytes of a termination message (kubelet truncates silently)
_TEXT_LIMIT: Final = 1400
_TARGET_LIMIT: Final = 1000
_NOT_PLAIN: Final = re.compile(r"[^ !#-\[\]-~]")  # what JSON writes as more than one byte


class Outcome(StrEnum):
    """How an attempt ended; the value of `EXIT_CODES` is its exit code."""

    DONE = "Done"
    NOTHING_TO_DO = "NothingToDo"
    AHEAD = "DatabaseAhead"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"
    REFUSED = "Refused"
    HELD = "Held"
    NOT_FINISHED = "NotFinished"


EXIT_CODES: Final = {
    Outcome.DONE: 0,
    Outcome.NOTHING_TO_DO: 0,
    Outcome.AHEAD: 0,
    Outcome.ROLLED_BACK: 0,
    Outcome.FAILED: 1,
    Outcome.REFUSED: 2,
    Outcome.HELD: 3,
    Outcome.NOT_FINISHED: 75,
}


class Holder(Frozen):
    """Who holds the database, when it is not us."""

    namespace: str
    name: str
    uid: str
    cluster: str
    run: str


class Result(Frozen):
    """The end of one attempt.

    Attributes:
        reason: CamelCase word for the condition.
        message: What failed, what state the database is in, what happens next.
        command: The one command for a human, or "".
        retry_after: Seconds, for NotFinished.
        revision: Last applied revision as read back, or "".
        plan_digest: Digest of the runner's plan, or "".
        plan: The plan's text (`packed`), or "" where it did not fit.
        plan_sha256: sha256 (hex) of the plan's text: text read from a log must have it.
        image: Image that a rollback needs instead of the spec's, or "".
        database: Name of the database as the server says it.
        database_uuid: UUID of the ledger.
        fence: Proof that was used for earlier attempts: Role, Epoch, Kubelet, Process or "".
        salvage: Names of the salvage tables that are kept, newest first; None where nobody has
            looked.
        warnings: Sentences; the first word is the reason (CamelCase), then a colon.
        target: Revision that a way back leads to ("base" for none), where one is under way.
        direction: "up" or "down": where the plan of a look leads.
        applied: Number of migrations that this attempt applied or took back.
        attempt_open: The attempt is open in the ledger; a later one has to prove its end.
        goes_on: The run stays open in the ledger: the release goes on with its next segment. Of a
            look: it would, although there is nothing to migrate.
        checkpoint: The newest checkpoint of the object; None where nobody has looked.
        checks: What health checks measured (`checked.pack_checks`), or "".
    """

    outcome: Outcome
    run: str
    segment: str
    attempt: int
    reason: str
    message: str
    command: str = ""
    retry_after: float = 0.0
    revision: str = ""
    plan_digest: str = ""
    plan: str = ""
    plan_sha256: str = ""
    image: str = ""
    database: str = ""
    database_uuid: str = ""
    epoch: int = 0
    fence: str = ""
    salvage: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()
    holder: Holder | None = None
    applied: int = 0
    target: str = ""
    direction: str = ""
    attempt_open: bool = False
    goes_on: bool = False
    checkpoint: CheckpointStatus | None = None
    checks: str = ""

    def wants_image_besides(self, had: str) -> bool:
        """Tell whether the run goes on in another image than it had: it stays open for that."""
        return self.reason == "NeedsNewerImage" and bool(had) and self.image not in {"", had}

    def exit_code(self) -> int:
        """Return the exit code that runner and CLI use."""
        return EXIT_CODES[self.outcome]


def encode_result(result: Result) -> str:
    """Return the termination message, never longer than `MESSAGE_LIMIT` bytes.

    The plan goes first, then lists are cut, then the message: what was done stays, and what
    health checks measured, which is bounded by itself.
    """
    for shorter in _shortenings(result):
        text = shorter.model_dump_json(by_alias=True, exclude_defaults=True)
        if len(text.encode()) <= MESSAGE_LIMIT:
            return text
    raise AssertionError("a result with cut texts always fits")


def _shortenings(result: Result) -> tuple[Result, ...]:
    cut = {
        "message": _cut(result.message, _TEXT_LIMIT),
        "command": _cut(result.command, 600),
        "warnings": tuple(_cut(text, 300) for text in result.warnings[:2]),
        "salvage": result.salvage and AtMost(4).cut(result.salvage),
        "checkpoint": result.checkpoint and result.checkpoint.shortened(),
        # The ledger has it too, and the next attempt reads it there.
        "target": result.target if len(result.target) <= _TARGET_LIMIT else "",
    }
    no_plan = result.model_copy(update={"plan": ""})
    short = no_plan.model_copy(update=cut)
    bytes_only = short.model_copy(
        update={
            "message": _cut(short.message.encode("ascii", "replace").decode(), 800),
            "command": _cut(short.command.encode("ascii", "replace").decode(), 300),
            "warnings": (),
            "salvage": None,
        }
    )
    # Quotes and control characters take up to six bytes each, checks most of the message.
    least = bytes_only.model_copy(
        update={
            "message": _cut(_NOT_PLAIN.sub("?", bytes_only.message), 600),
            "command": _cut(_NOT_PLAIN.sub("?", bytes_only.command), 200),
        }
    )
    return (result, no_plan, short, bytes_only, least)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 12] + " ... (cut)"


def decode_result(message: str) -> Result | None:
    """Return the result of a termination message, or None when it is none of ours."""
    try:
        return Result.model_validate(json.loads(message))
    except (ValueError, ValidationError):
        return None
