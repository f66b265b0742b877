"""What `kubectl get -o yaml` shows below `status`. A report, but for `run`, which is the intent."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from whimbrel.model.bounds import AtMost, Label, LabelKey
from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.plan import Segment
from whimbrel.model.release.checked import KEPT, CheckStatus, Measurement
from whimbrel.model.release.health import MOST_CHECKS
from whimbrel.model.spec import Frozen

Text = Annotated[str, AtMost(4096)]
Word = Annotated[str, AtMost(253)]


class Phase(StrEnum):
    """A summary for human eyes, computed from the decision, never read back."""

    PENDING = "Pending"
    PREFLIGHT = "Preflight"
    MIGRATING = "Migrating"
    VERIFYING = "Verifying"
    SWITCHING = "Switching"
    SOAKING = "Soaking"
    WAITING = "Waiting"
    AWAITING_APPROVAL = "AwaitingApproval"
    SUSPENDED = "Suspended"
    COMPLETED = "Completed"
    ROLLING_BACK = "RollingBack"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"
    ROLLBACK_FAILED = "RollbackFailed"
    HELD = "Held"


class RunState(StrEnum):
    """Whether the run in `status.run` goes on."""

    OPEN = "Open"
    CLOSED = "Closed"


class LastResult(Frozen):
    """The newest answer of a Job of this run."""

    segment: Word = Field(description="Segment that answered.")
    attempt: int = Field(description="Its attempt.")
    outcome: Word = Field(description="Done, NothingToDo, DatabaseAhead, RolledBack, Failed ...")
    reason: Word = Field(description="CamelCase word.")
    message: Text = Field(description="What happened, and what happens next.")
    command: Text = Field("", description="The one command for a human.")
    at: Word = Field(description="When it was read, RFC 3339.")


class HolderStatus(Frozen):
    """Who holds the database, as the newest answer said."""

    namespace: Word = Field(description="Namespace of the object.")
    name: Word = Field(description="Its name.")
    uid: Word = Field(description="Its uid.")
    cluster: Word = Field(description="Id of its cluster.")
    run: Word = Field(description="Id of its run.")


class ScaledStatus(Frozen):
    """A workload whose number of replicas a way back changed."""

    kind: Word = Field(description="Deployment or StatefulSet.")
    name: Word = Field(description="Its name.")
    replicas: int = Field(description="What it was before.")


class StepStatus(Frozen):
    """A segment that came to its end."""

    name: Word = Field(description="The segment.")
    at: Word = Field(description="When, RFC 3339.")


class CountedStatus(Frozen):
    """A check of type Job in the current segment: how many Jobs were judged, and what they said."""

    name: Word = Field(description="Name of the check.")
    made: int = Field(0, description="Measurements that were judged; the next Job has this number.")
    began: Word = Field("", description="When the newest of them began; RFC 3339.")
    passes: int = Field(0, description="Passes in a row.")
    failures: int = Field(0, description="Failures in a row.")
    unknowns: int = Field(0, description="Measurements without an answer in a row.")
    last: Annotated[tuple[Measurement, ...], Field(max_length=KEPT)] = Field(
        (), description="The last measurements, oldest first."
    )


class ReleaseStatus(Frozen):
    """What follows the migration: checks, traffic, soak, and the way back."""

    since: Word = Field("", description="When the current segment began; RFC 3339.")
    watched_since: Word = Field(
        "", description="Since when a soak is measured, if later than its begin; RFC 3339."
    )
    changed_at: Word = Field(
        "", description="When the migration, the rollout or the switch was done; RFC 3339."
    )
    stable_since: Word = Field("", description="Since when the switched side holds; RFC 3339.")
    switched: bool = Field(False, description="Whether the Service may show green.")
    approved: bool = Field(False, description="Whether a person approved the switch.")
    broken_since: Word = Field("", description="Since when it does not hold; RFC 3339.")
    writes: int = Field(0, description="How often this run set the selector in this direction.")
    reached: bool = Field(False, description="Whether it was read back after the last write.")
    drift: int = Field(0, description="How often a foreign change of it was undone.")
    probed: bool = Field(False, description="Whether the probe of this segment is through.")
    version: Word = Field("", description="resourceVersion of the Service before the last write.")
    before: Annotated[dict[LabelKey, Label], AtMost(16)] = Field(
        {}, description="Selector of the Service before the switch."
    )
    red: Text = Field("", description="What decided to go back.")
    paused: Text = Field("", description="What is inconclusive; the run waits for a person.")
    stays: Text = Field("", description="Why the schema stays although the release goes back.")
    scaled: Annotated[tuple[ScaledStatus, ...], Field(max_length=4)] = Field(
        (), description="Workloads that a way back scaled."
    )
    measured: Annotated[tuple[CountedStatus, ...], Field(max_length=10)] = Field(
        (), description="Checks of type Job in the current segment."
    )
    restarts: Annotated[dict[Label, int], Field(max_length=10)] = Field(
        {}, description="Restarts that checks of type Workload began with in the current segment."
    )
    steps: Annotated[tuple[StepStatus, ...], Field(max_length=24)] = Field(
        (), description="Segments that came to their end, and when."
    )


class RunStatus(Frozen):
    """The intent, written before each effect and read back."""

    id: Word = Field(description="Id of the run; the ledger knows it too.")
    number: int = Field(0, description="Grows from run to run; the ledger refuses an older one.")
    generation: int = Field(description="Generation of the object that this run carries out.")
    trigger: Word = Field("", description="Annotation value that asked for it, or empty.")
    state: RunState = Field(RunState.OPEN, description="Open until its end was recorded.")
    goal: Segment = Field(Segment.MIGRATE, description="Migrate, Rollback or Abort.")
    unfinished: Word = Field(
        "", description="Run that changed the database and is not over: before it, or it."
    )
    work: Word = Field("", description="Digest of the spec without suspend and deletionPolicy.")
    asked: Word = Field("", description="Digest of spec.migrations without the down files.")
    segment: Segment = Field(description="Segment that runs or comes next.")
    attempt: int = Field(1, description="Attempt at that segment.")
    failures: int = Field(0, description="Ends in a row that heal by themselves; sets the backoff.")
    started_at: Word = Field(description="RFC 3339.")
    not_before: Word = Field("", description="The next attempt does not start earlier; RFC 3339.")
    deadline: Word = Field("", description="Nothing is retried after it; RFC 3339.")
    plan_digest: Word = Field("", description="Digest of the plan that was shown and approved.")
    approved: bool = Field(False, description="Whether a person approved that digest.")
    image: Annotated[str, AtMost(1024)] = Field(
        "", description="Image for a rollback, where the spec's is older."
    )
    to: Text = Field("", description="Where a way back leads; empty for before the newest run.")
    answer: Word = Field(
        "", description="A person's answer; the first attempt that can use it uses it up."
    )
    ended: Annotated[tuple[Word, ...], Field(max_length=20)] = Field(
        (), description="Attempts whose container the kubelet reported terminated."
    )
    database: Word = Field("", description="UUID of the database.")
    epoch: int = Field(0, description="Highest epoch seen.")
    holder: HolderStatus | None = Field(None, description="Who holds the database, if others do.")
    release: ReleaseStatus = Field(ReleaseStatus(), description="What follows the migration.")
    last: LastResult | None = Field(None, description="The newest answer of a Job.")


class Applied(Frozen):
    """The last good state, as read back from the database."""

    revision: Annotated[str, AtMost(255)] = Field(description="Last applied revision.")
    digest: Word = Field("", description="Digest of the plan that led there.")
    at: Word = Field(description="RFC 3339.")


class GateStatus(Frozen):
    """The gate that waits for a person."""

    name: Word = Field(description="Start or Switch.")
    token: Word = Field(description="Value for the annotation whimbrel.dev/approve.")
    plan: Word = Field("", description="ConfigMap that shows the plan.")
    since: Word = Field(description="RFC 3339.")


class Handled(Frozen):
    """Annotation values that were carried out."""

    retry: Word = Field("", description="whimbrel.dev/retry-requested-at.")
    rollback: Word = Field("", description="whimbrel.dev/rollback-requested-at.")
    resolve: Word = Field("", description="whimbrel.dev/resolve.")
    resolve_at: Word = Field("", description="whimbrel.dev/resolve-at.")


class Condition(Frozen):
    """metav1.Condition."""

    type: Word = Field(description="CamelCase.")
    status: Word = Field(description="True, False or Unknown.")
    observed_generation: int = Field(description="Generation it speaks of.")
    last_transition_time: Word = Field(description="RFC 3339.")
    reason: Word = Field(description="CamelCase.")
    message: Text = Field("", description="For humans.")


class Status(Frozen):
    """The whole status."""

    observed_generation: int = Field(-1, description="Generation this status speaks of.")
    phase: Phase | None = Field(None, description="Summary for human eyes.")
    message: Text = Field("", description="What happens now, in one sentence.")
    strategy: Word = Field("", description="Strategy of the spec.")
    database: Word = Field("", description="Name of the database as the server says it.")
    revision: Annotated[str, AtMost(255)] = Field(
        "", description="Last applied revision as read back."
    )
    progress: Word = Field("", description="How far the work is.")
    job: Word = Field("", description="The Job that runs.")
    applied: Applied | None = Field(None, description="The last good state.")
    gate: GateStatus | None = Field(None, description="The gate that waits for a person.")
    run: RunStatus | None = Field(None, description="The intent, and what came of it.")
    handled: Handled = Field(Handled(), description="Annotation values that were carried out.")
    active: Word = Field("", description="Side that has the traffic: blue or green.")
    checks: Annotated[tuple[CheckStatus, ...], Field(max_length=MOST_CHECKS + 1)] = Field(
        (), description="Health checks of the newest moment, with their last measurements."
    )
    fence: Word = Field("", description="Proof that ended earlier attempts.")
    salvage: Annotated[tuple[Word, ...], AtMost(64)] = Field(
        (), description="Salvage tables that are kept."
    )
    warnings: Annotated[tuple[Text, ...], AtMost(16)] = Field(
        (), description="Warnings of the newest run."
    )
    checkpoint: CheckpointStatus | None = Field(None, description="The checkpoint that is kept.")
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        (),
        description="kstatus conditions.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
