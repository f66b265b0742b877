"""What an attempt finds out on its way; every end, good or bad, reports it."""

from dataclasses import dataclass, field

from whimbrel.model.errors import FailedError, HeldError, TransientError, WhimbrelError
from whimbrel.model.order import Order
from whimbrel.model.result import Outcome, Result


@dataclass
class Findings:
    """Grows while an attempt goes on. Fields as in `Result`.

    Attributes:
        attempt_open: Its row in the ledger was, or may have been, opened and is not closed yet.
        applied: Number of migrations applied or taken back so far.
        newest_image: Of the newest start for this project; "" where nobody knows.
    """

    order: Order
    database: str = ""
    database_uuid: str = ""
    epoch: int = 0
    fence: str = ""
    plan_digest: str = ""
    revision: str = ""
    applied: int = 0
    attempt_open: bool = False
    target: str = ""
    newest_image: str = ""
    salvage: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def result(self, outcome: Outcome, reason: str, message: str, **further: object) -> Result:
        """Return the end of this attempt."""
        known = {
            "run": self.order.run,
            "segment": self.order.segment,
            "attempt": self.order.attempt,
            "database": self.database,
            "database_uuid": self.database_uuid,
            "epoch": self.epoch,
            "fence": self.fence,
            "plan_digest": self.plan_digest,
            "revision": self.revision,
            "applied": self.applied,
            "attempt_open": self.attempt_open,
            "salvage": tuple(self.salvage) or None,
            "warnings": tuple(self.warnings),
        }
        fields = known | {"outcome": outcome, "reason": reason, "message": message} | further
        return Result.model_validate(fields)

    def failure(self, error: WhimbrelError) -> Result:
        """Return the end that an error stands for."""
        retry = error.retry_after if isinstance(error, TransientError) else 0.0
        outcome, message, command = outcome_of(error), error.message, error.command
        if outcome is Outcome.REFUSED:
            message += "; nothing was run: the database is as before; apply a corrected object"
        if outcome in (Outcome.FAILED, Outcome.HELD):
            command = command or f"whimbrel retry {self.order.name} -n {self.order.namespace}"
        said = {"command": command, "retry_after": retry, "target": self.target}
        image = self.newest_image if error.reason == "NeedsNewerImage" else ""
        return self.result(outcome, error.reason, message, image=image, **said)


def outcome_of(error: WhimbrelError) -> Outcome:
    """Return how an attempt ends that this error stopped."""
    match error:
        case TransientError():
            return Outcome.NOT_FINISHED
        case HeldError():
            return Outcome.HELD
        case FailedError():
            return Outcome.FAILED
        case _:
            return Outcome.REFUSED
