"""What can come next. Data only: `whimbrel.controller.act` carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass

from whimbrel.model.checkpoint import CheckpointStatus
from whimbrel.model.order import Order
from whimbrel.model.release.health import HealthCheck
from whimbrel.model.release.strategy import Side
from whimbrel.model.result import Result
from whimbrel.model.status import Phase, RunStatus


@dataclass(frozen=True)
class StartRun:
    """Write the intent of a new run; annotation values that asked for it count as handled."""

    run: RunStatus
    retry: str = ""
    rollback: str = ""


@dataclass(frozen=True)
class RecordResult:
    """Write what a Job answered, and what follows from it."""

    run: RunStatus
    result: Result


@dataclass(frozen=True)
class NextAttempt:
    """Write that the run goes on otherwise than its last Job said.

    Attributes:
        resolve: Value of the annotation `whimbrel.dev/resolve` that asked for it, or "".
        trigger: "rollback:value" or "retry:value" of the annotation that asked for it, or "".
    """

    run: RunStatus
    reason: str
    resolve: str = ""
    trigger: str = ""


@dataclass(frozen=True)
class KeepCheckpoint:
    """Write what is kept of the checkpoint now; None for nothing."""

    checkpoint: CheckpointStatus | None
    reason: str


@dataclass(frozen=True)
class CreateJob:
    """Create the Job of the attempt that status already names.

    Attributes:
        image: The operator's own image.
        tool_image: The user's image, or "" where the files come without one.
    """

    name: str
    order: Order
    image: str
    tool_image: str


@dataclass(frozen=True)
class CreateCheckJob:
    """Create the Job of one measurement of a check, whose number status has not judged yet."""

    name: str
    check: HealthCheck


@dataclass(frozen=True)
class DeleteJob:
    """Delete a Job in the background; a working runner gets SIGTERM and stops at a safe point."""

    name: str
    uid: str
    reason: str


@dataclass(frozen=True)
class AddFinalizer:
    """Keep the object until the run is closed."""


@dataclass(frozen=True)
class ReleaseFinalizer:
    """Let the object go.

    Attributes:
        left: What is left behind, for an Event; "" when nothing is.
    """

    left: str = ""


@dataclass(frozen=True)
class ShowPlan:
    """Create the ConfigMap that shows the plan, then write the token that approves it."""

    name: str
    text: str
    token: str


@dataclass(frozen=True)
class SwitchService:
    """Give the active Service the selector of a side, if nobody has written it meanwhile.

    Attributes:
        version: The Service's resourceVersion that the decision was made on.
        mark: The attempt and the number of its write, kept as an annotation: so each write changes
            the Service, and one that is late finds another version.
    """

    name: str
    side: Side
    selector: Mapping[str, str]
    version: str
    mark: str


@dataclass(frozen=True)
class ScaleWorkload:
    """Set the number of replicas of a workload; the one before is in status.

    Attributes:
        version: The workload's resourceVersion that the decision was made on.
    """

    kind: str
    name: str
    replicas: int
    version: str


@dataclass(frozen=True)
class Wait:
    """Wait until a moment or for a person.

    Attributes:
        until: Unix seconds of the next look, or None where only `human` ends it.
        human: Who ends the wait; "" where time or an event does.
        stalled: True after the deadline: looked at again, but no longer promised.
        ready: True where the schema that was asked for has been read back already.
        completed: True where nothing of the run is left to do.
        paused: Reason of the condition Paused, or "".
    """

    phase: Phase
    reason: str
    message: str
    until: float | None = None
    human: str = ""
    stalled: bool = False
    ready: bool = False
    completed: bool = False
    paused: str = ""


@dataclass(frozen=True)
class Hold:
    """A person decides; nothing runs until the spec or an annotation changes."""

    reason: str
    message: str
    command: str = ""
    phase: Phase = Phase.HELD


@dataclass(frozen=True)
class Done:
    """The schema that was asked for was read back."""

    reason: str
    message: str


@dataclass(frozen=True)
class Ignore:
    """Nothing is ours to do, and nothing is written."""

    reason: str


Write = StartRun | RecordResult | NextAttempt | KeepCheckpoint
Effect = (
    CreateJob
    | CreateCheckJob
    | DeleteJob
    | AddFinalizer
    | ReleaseFinalizer
    | ShowPlan
    | SwitchService
    | ScaleWorkload
)
Rest = Wait | Hold | Done | Ignore
Decision = Write | Effect | Rest
