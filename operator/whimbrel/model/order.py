"""What a Job is told to do: one JSON text, mounted into the Pod, without secrets."""

from typing import Annotated

from pydantic import Field

from whimbrel.model.plan import Segment
from whimbrel.model.spec import Frozen, Spec


class Resolution(Frozen):
    """A person's answer to `Held`.

    Attributes:
        verdict: FenceProven, LedgerAccepted or TakeOver.
        run: Id of the run it speaks of.
    """

    verdict: str
    run: str
    by: str = ""
    reason: str = ""


class Known(Frozen):
    """What `status.run` remembers of the database; the ledger must not be older than that.

    Attributes:
        database: UUID that we wrote into the database at first use, or "".
        epoch: Highest epoch seen, or 0.
    """

    database: str = ""
    epoch: int = 0

    def after(self, database: str, epoch: int) -> "Known":
        """Return what is known after an answer; "" where it has not reached the ledger."""
        if database in ("", self.database):
            return Known(database=self.database, epoch=max(self.epoch, epoch))
        return Known(database=database, epoch=epoch)  # each database counts for itself


class Order(Frozen):
    """One attempt at one segment of one run.

    Attributes:
        number: Grows from run to run of an object: an older run does nothing after a newer one.
        deadline: Unix seconds after which nothing is retried any more; 0 for none.
        approved: Digest of the plan that was approved, or "" where no gate asks for one.
        image: Of the tool's container, which a way back may have from the ledger; "" where the
            tool is not in an image of its own, as at a terminal.
        to: Target of a rollback: a revision, "" for "before the last run".
        ended: Attempts ("segment/number@pod", of earlier runs with "run/" before) whose container
            the kubelet reported as terminated.
        holder_gone: Run ids whose object is proven to be deleted from this cluster.
        retry: Value of the retry annotation; lifts "was rolled back, not tried again".
        release: Whether the run goes on after the schema: it then stays open in the ledger.
        since: Unix seconds at which the migration, the rollout or the switch was done; 0 before.
        soak: Seconds for which a soak is measured; 0 for no soak.
        unfinished: The run that was not over when this way back was asked for; "" for none.
        back: Digest of the work that goes back, be it without its schema; "" where nothing does.
    """

    version: int = 1
    segment: Segment
    namespace: str
    name: str
    uid: str
    cluster: str
    number: int
    run: str
    attempt: int
    deadline: float = 0.0
    approved: str = ""
    image: str = ""
    to: str = ""
    known: Known = Known()
    ended: tuple[str, ...] = ()
    holder_gone: tuple[str, ...] = ()
    retry: str = ""
    release: bool = False
    since: float = 0.0
    soak: float = 0.0
    back: str = ""
    unfinished: str = ""
    resolution: Resolution | None = None
    spec: Annotated[Spec, Field()]

    def owner(self) -> str:
        """Return namespace/name."""
        return f"{self.namespace}/{self.name}"

    def tool_image(self) -> str:
        """Return the image that the migrations come from; at a terminal as the spec says."""
        return self.image or self.spec.migrations.image or ""

    def attempt_key(self) -> str:
        """Return "segment/attempt", unique within the run."""
        return f"{self.segment}/{self.attempt}"
