"""What the author of a DatabaseMigration asks for, parsed once (`parse_spec`) into frozen types.

The CustomResourceDefinition is generated from these classes (`whimbrel.model.crd`), so
descriptions, bounds and CEL rules stand here, in `migrations`, `database`, `job_options` and
`bounds`, and nowhere else.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator

from whimbrel.model.bounds import (
    SENTENCES,
    Duration,
    Frozen,
    Identifier,
    format_duration,
    parse_duration,
    require,
    rules,
)
from whimbrel.model.checkpoint import CheckpointOptions
from whimbrel.model.database import (
    Database,
    KeyRef,
    KeySource,
    NameRef,
    PartsFrom,
    SecretSource,
    Tls,
)
from whimbrel.model.errors import SpecError
from whimbrel.model.job_options import JobOptions, Resources, Toleration
from whimbrel.model.migrations import Atomicity, EnvVar, Migrations, Tool
from whimbrel.model.release.health import HealthChecks, Moment
from whimbrel.model.release.strategy import Strategy, StrategyType

# Who handles a spec finds the types of its fields here too.
__all__ = [
    "Atomicity",
    "Database",
    "Duration",
    "EnvVar",
    "Frozen",
    "Identifier",
    "JobOptions",
    "KeyRef",
    "KeySource",
    "Migrations",
    "NameRef",
    "PartsFrom",
    "Resources",
    "SecretSource",
    "Tls",
    "Toleration",
    "Tool",
    "format_duration",
    "parse_duration",
]

_NO_SOAK: Final = "write spec.soak longer than zero: a check is made in a soak that never comes"
_NO_SWITCH: Final = (
    "PreSwitch and PostSwitch are moments of strategy BlueGreen; write PostMigrate or Soak instead"
)
_NO_GATE: Final = "Switch is a gate of strategy BlueGreen; write Start, or leave it out"
_TAKEN: Final = "identity is the name of the check of strategy.blueGreen.identity: choose another"
_NO_CHECKPOINT: Final = "strategy Checkpoint needs spec.checkpoint: write {} for its defaults"
_POSITIVE: Final = "write limits longer than zero: zero would mean no limit"


class OnFailure(StrEnum):
    """What happens when a later transaction of a run fails."""

    AUTOMATIC = "Automatic"
    MANUAL = "Manual"


class DeletionPolicy(StrEnum):
    """What deleting the object does to the database."""

    RETAIN = "Retain"
    ROLLBACK = "Rollback"


class Gate(StrEnum):
    """A point where a person must approve: of the plan, or of the traffic's way to green."""

    START = "Start"
    SWITCH = "Switch"


class AllowDataLoss(Frozen):
    """A person accepts that a rollback destroys data that salvage does not cover."""

    by: Annotated[str, Field(min_length=1, max_length=253)] = Field(description="Who accepts it.")
    reason: Annotated[str, Field(min_length=1, max_length=1024)] = Field(description="Why.")


class Rollback(Frozen):
    """How the way back is taken."""

    on_failure: OnFailure = Field(
        OnFailure.AUTOMATIC,
        description="Automatic takes back what this run applied; Manual stays and says so.",
    )
    allow_data_loss: AllowDataLoss | None = Field(
        None, description="Lets a rollback destroy what salvage does not cover."
    )
    keep_salvage: Duration = Field(
        parse_duration("168h"), description="How long salvaged data is kept."
    )


class Approval(Frozen):
    """Where a person must approve."""

    before: Annotated[tuple[Gate, ...], Field(max_length=3)] = Field(
        (), description="The gates.", json_schema_extra={"x-kubernetes-list-type": "set"}
    )


class Limits(Frozen):
    """What the application may feel of us."""

    # PostgreSQL takes a lock_timeout of 0 as "wait for ever".
    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "[self.lockTimeout, self.lockHold, self.progressDeadline]"
                ".all(limit, !limit.matches(r'^[0.hms]*$'))",
                _POSITIVE,
            )
        )
    )
    lock_timeout: Duration = Field(
        0.1, description="Longest wait for a lock; readers behind us stall no longer than this."
    )
    lock_hold: Duration = Field(
        2.0, description="Longest time that we make somebody else wait for a lock we hold."
    )
    progress_deadline: Duration = Field(
        3600.0, description="How long errors that heal by themselves are retried before Stalled."
    )

    @model_validator(mode="after")
    def _more_than_zero(self) -> Self:
        shortest = min(self.lock_timeout, self.lock_hold, self.progress_deadline)
        require(shortest > 0, _POSITIVE)
        return self


class Spec(Frozen):
    """What the author of the object asks for."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.database == oldSelf.database",
                "database is immutable: create another object for another database",
            ),
            (
                "!has(self.healthChecks) || self.healthChecks.all(check, !('Soak' in check.when)) "
                "|| !self.soak.matches(r'^[0.hms]*$')",
                _NO_SOAK,
            ),
            (
                "!has(self.healthChecks) || self.strategy.type == 'BlueGreen' || "
                "self.healthChecks.all(check, !check.when.exists(moment, "
                "moment in ['PreSwitch', 'PostSwitch']))",
                _NO_SWITCH,
            ),
            (
                "self.strategy.type == 'BlueGreen' || !has(self.approval) || "
                "!has(self.approval.before) || !('Switch' in self.approval.before)",
                _NO_GATE,
            ),
            (
                "!has(self.healthChecks) || self.healthChecks.all(check, check.name != 'identity')",
                _TAKEN,
            ),
            ("self.strategy.type != 'Checkpoint' || has(self.checkpoint)", _NO_CHECKPOINT),
        )
    )
    database: Database = Field(description="Which database. Immutable.")
    migrations: Migrations = Field(description="What to apply.")
    strategy: Strategy = Field(Strategy(), description="How it is carried out.")
    checkpoint: CheckpointOptions | None = Field(
        None, description="A way back that loses no write; beside any strategy."
    )
    health_checks: HealthChecks = Field(
        (),
        description="What is measured, and when; red takes the release back.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
    )
    soak: Duration = Field(
        0.0, description="How long the new version is watched before the run is over."
    )
    rollback: Rollback = Field(Rollback(), description="How the way back is taken.")
    approval: Approval = Field(Approval(), description="Where a person must approve.")
    limits: Limits = Field(Limits(), description="What the application may feel of us.")
    job: JobOptions = Field(JobOptions(), description="The part of the Job's Pod that may be set.")
    suspend: bool = Field(False, description="Start nothing new; stop at the next safe point.")
    deletion_policy: DeletionPolicy = Field(
        DeletionPolicy.RETAIN,
        description="Retain keeps what is applied; Rollback takes it back before the object goes.",
    )

    @model_validator(mode="after")
    def _moments_that_come(self) -> Self:
        moments = {moment for check in self.health_checks for moment in check.when}
        switches = self.strategy.type is StrategyType.BLUE_GREEN
        require(self.soak > 0 or Moment.SOAK not in moments, _NO_SOAK)
        require(switches or not moments & {Moment.PRE_SWITCH, Moment.POST_SWITCH}, _NO_SWITCH)
        require(switches or Gate.SWITCH not in self.approval.before, _NO_GATE)
        require(all(check.name != "identity" for check in self.health_checks), _TAKEN)
        has_no_checkpoint = self.strategy.type is StrategyType.CHECKPOINT and not self.checkpoint
        require(not has_no_checkpoint, _NO_CHECKPOINT)
        return self


def parse_spec(raw: Mapping[str, Any]) -> Spec:
    """Return the spec of an object as frozen types.

    Raises:
        SpecError: A field is missing, unknown or out of bounds; the first one is named.
    """
    try:
        return Spec.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(["spec", *(str(part) for part in first["loc"])])
        sentence = SENTENCES.get(first.get("ctx", {}).get("pattern", ""), first["msg"])
        raise SpecError(path, sentence.removeprefix("Value error, ")) from None
