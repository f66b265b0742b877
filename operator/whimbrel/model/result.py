"""What a Job answers: exit code and termination message of the container `runner`."""

import json
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Final

from pydantic import ValidationError

from whimbrel.model.bounds import AtMost
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.spec import Frozen

MESSAGE_BYTES: Final = "WHIMBREL_MESSAGE_BYTES"  # variable that tells the runner
MESSAGE_LIMIT: Final = 4096  # bytes of a termination message (kubelet truncates silently)
# Bytes of all messages of a Pod: each container may have its share, injected ones too (kubelet
# v1.34, status_manager.go, normalizeStatus).
_POD_LIMIT: Final = 12 * 1024
_INJECTED: Final = 2  # a mesh's proxy and its init container
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


def message_bytes(own: int) -> int:
    """Return how long the message of a Pod with so many containers of ours may be."""
    return min(MESSAGE_LIMIT, _POD_LIMIT // (own + _INJECTED))


def encode_result(result: Result, limit: int = MESSAGE_LIMIT) -> str:
    """Return the termination message, never longer than `limit` bytes.

    Warnings are cut first, then the plan goes, which the log has too, then texts are cut: how it
    ended stays, and what health checks measured, which is bounded by itself.
    """
    for shorter in _SHORTER:
        result = result.model_copy(update=shorter(result))
        text = result.model_dump_json(by_alias=True, exclude_defaults=True)
        if len(text.encode()) <= limit:
            return text
    raise AssertionError("a result with cut texts always fits")


def _short(told: Result) -> dict[str, Any]:
    return {
        "message": _cut(told.message, _TEXT_LIMIT),
        "command": _cut(told.command, 600),
        "salvage": told.salvage and AtMost(4).cut(told.salvage),
        "checkpoint": told.checkpoint and told.checkpoint.shortened(),
        # The ledger has it too, and the next attempt reads it there.
        "target": told.target if len(told.target) <= _TARGET_LIMIT else "",
    }


def _ascii(told: Result) -> dict[str, Any]:
    message, command = (
        text.encode("ascii", "replace").decode() for text in (told.message, told.command)
    )
    texts = {"message": _cut(message, 800), "command": _cut(command, 300)}
    return texts | {"warnings": (), "salvage": None}


def _plain(told: Result) -> dict[str, Any]:
    # Quotes and control characters take up to six bytes each, checks most of the message.
    message, command = (_NOT_PLAIN.sub("?", text) for text in (told.message, told.command))
    return {"message": _cut(message, 600), "command": _cut(command, 200)}


def _least(told: Result) -> dict[str, Any]:
    kept = told.checkpoint
    return {
        "message": _cut(told.message, 300),
        "command": _cut(told.command, 120),
        "revision": _cut(_NOT_PLAIN.sub("?", told.revision), 120),
        "database": _NOT_PLAIN.sub("?", told.database)[:64],
        "image": told.image if len(told.image) <= 255 else "",  # half a name is another image
        "checkpoint": kept and kept.model_copy(update={"reason": "", "dump": kept.dump[:64]}),
        "target": "",
        "holder": None,
        "checks": "",
    }


_SHORTER: Final[tuple[Callable[[Result], dict[str, Any]], ...]] = (
    lambda _: {},
    lambda told: {"warnings": tuple(_cut(text, 300) for text in told.warnings[:2])},
    lambda _: {"plan": ""},
    _short,
    _ascii,
    _plain,
    _least,
)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 12] + " ... (cut)"


def decode_result(message: str) -> Result | None:
    """Return the result of a termination message, or None when it is none of ours."""
    try:
        return Result.model_validate(json.loads(message))
    except (ValueError, ValidationError):
        return None
