"""The gate `Start` at a terminal: the plan is shown, and a person approves exactly that plan."""

from dataclasses import dataclass

from whimbrel.cli.record import Record
from whimbrel.machine.names import gate_token
from whimbrel.model.errors import HeldError, RefusedError
from whimbrel.model.packed import unpack_text
from whimbrel.model.result import Outcome, Result
from whimbrel.model.spec import Gate


@dataclass(frozen=True)
class Waiting:
    """The plan waits: what to remember, and what to tell."""

    record: Record
    plan: str
    error: HeldError

    def told(self, looked: Result) -> Result:
        """Return the look as an answer that asks a person."""
        given = {"outcome": Outcome.HELD, "reason": self.error.reason}
        given |= {"message": self.error.message, "command": self.error.command}
        return looked.model_copy(update=given)


def token_of(digest: str) -> str:
    """Return the word that approves a plan, for example ``Start:0123456789ab``."""
    return gate_token(Gate.START, digest)


def waiting(record: Record, looked: Result) -> Waiting | None:
    """Return what to tell while the plan is not approved, None where it is.

    Args:
        record: What is remembered of the object.
        looked: What the look gave.
    """
    digest = looked.plan_digest
    # A way back needs no approval: its author wrote it for this moment.
    if not digest or record.approved == digest or looked.direction == "down":
        return None
    token = token_of(digest)
    command = f"whimbrel approve {record.name} {token} -n {record.namespace}"
    plan = unpack_text(looked.plan) if looked.plan else looked.message
    held = HeldError(
        "AwaitingApproval",
        f"the plan above waits for approval ({token}); nothing was touched",
        command=command,
    )
    return Waiting(record.model_copy(update={"gate": digest, "approved": ""}), plan, held)


def approved(record: Record, token: str) -> Record:
    """Return the record with the waiting plan approved.

    Args:
        record: What is remembered of the object.
        token: What the person wrote; "" for whatever waits.

    Raises:
        RefusedError: No plan waits, or another one.
    """
    if not record.gate:
        raise RefusedError("NothingWaits", f"no plan of {record.name} waits for approval")
    expected = token_of(record.gate)
    if token and token != expected:
        raise RefusedError(
            "OtherPlan", f"the plan that waits is {expected}, not {token}; look at it again first"
        )
    return record.model_copy(update={"approved": record.gate, "gate": ""})
