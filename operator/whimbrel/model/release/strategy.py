"""How a release is carried out: the strategies, and the options of each."""

from enum import StrEnum
from typing import Annotated, Final, Self

from pydantic import ConfigDict, Field, model_validator

from whimbrel.model.bounds import (
    Duration,
    FilePath,
    Frozen,
    HeaderName,
    Label,
    LabelKey,
    ObjectName,
    require,
    rules,
)
from whimbrel.model.release.workloads import WorkloadRef

_OPTIONS: Final = (
    "give strategy.blueGreen with type BlueGreen, strategy.rolling with type Rolling, "
    "and neither with Transactional or Checkpoint"
)
_TWO_SIDES: Final = "blue and green need two selectors and two workloads that differ"

Selector = Annotated[dict[LabelKey, Label], Field(min_length=1, max_length=16)]


class StrategyType(StrEnum):
    """How it is carried out."""

    TRANSACTIONAL = "Transactional"
    CHECKPOINT = "Checkpoint"
    ROLLING = "Rolling"
    BLUE_GREEN = "BlueGreen"

    @property
    def shows_new_version(self) -> bool:
        """Whether the run itself brings a new version of the application to its users."""
        return self in {StrategyType.ROLLING, StrategyType.BLUE_GREEN}


class Side(StrEnum):
    """The two sides of a blue-green release: blue is left, green is reached."""

    BLUE = "blue"
    GREEN = "green"


class Version(Frozen):
    """One side of a blue-green release."""

    selector: Selector = Field(
        description="Selector of the active Service while this side has the traffic."
    )
    workload_ref: WorkloadRef = Field(description="The workload that runs it.")
    name: Annotated[str, Field(max_length=63)] = Field(
        "", description="What its responses say at identity.header; blue or green by default."
    )


class Identity(Frozen):
    """How a response names its side."""

    header: HeaderName = Field(description="Header of the response.")
    path: FilePath = Field("/", description="Path that is asked.")
    port: Annotated[int, Field(ge=1, le=65535)] = Field(
        80, description="Port of the active Service."
    )


class BlueGreen(Frozen):
    """Two versions of the application side by side, and a Service that is switched."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "self.blue.selector != self.green.selector && (self.blue.workloadRef.kind != "
                "self.green.workloadRef.kind || self.blue.workloadRef.name != "
                "self.green.workloadRef.name)",
                _TWO_SIDES,
            )
        )
    )
    active_service: ObjectName = Field(
        description="The Service whose selector is switched. It carries the annotation "
        "whimbrel.dev/managed-by: <name of this object>."
    )
    preview_service: Annotated[str, Field(max_length=253)] = Field(
        "", description="A Service of yours that selects green, for the checks before the switch."
    )
    identity: Identity | None = Field(
        None,
        description="How a response names its side; without it only EndpointSlices are evidence.",
    )
    min_ready: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="Ready Pods that a side must have before it gets the traffic."
    )
    drain: Duration = Field(
        30.0, description="Least time that the side without traffic stays as it is."
    )
    propagation_delay: Duration = Field(
        10.0, description="Time that a switch must be stable before it counts."
    )
    blue: Version = Field(description="The side that has the traffic before.")
    green: Version = Field(description="The side that has the traffic afterwards.")

    @model_validator(mode="after")
    def _two_sides(self) -> Self:
        blue, green = self.blue.workload_ref, self.green.workload_ref
        same = (blue.kind, blue.name) == (green.kind, green.name)
        require(self.blue.selector != self.green.selector and not same, _TWO_SIDES)
        return self

    def version(self, side: Side) -> Version:
        """Return one of the two sides."""
        return self.green if side is Side.GREEN else self.blue

    def identity_of(self, side: Side) -> str:
        """Return what the responses of a side say."""
        return self.version(side).name or side.value


class Rolling(Frozen):
    """Workloads whose rollout is waited for after the migration."""

    workload_refs: Annotated[tuple[WorkloadRef, ...], Field(min_length=1, max_length=16)] = Field(
        description="The workloads that run the new version."
    )


class Strategy(Frozen):
    """How it is carried out."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.type == 'BlueGreen') == has(self.blueGreen) "
                "&& (self.type == 'Rolling') == has(self.rolling)",
                _OPTIONS,
            )
        )
    )
    type: StrategyType = Field(StrategyType.TRANSACTIONAL, description="The strategy.")
    blue_green: BlueGreen | None = Field(None, description="Options of type BlueGreen.")
    rolling: Rolling | None = Field(None, description="Options of type Rolling.")

    @model_validator(mode="after")
    def _options(self) -> Self:
        is_blue_green = self.type is StrategyType.BLUE_GREEN
        is_rolling = self.type is StrategyType.ROLLING
        given = (self.blue_green is not None, self.rolling is not None)
        require(given == (is_blue_green, is_rolling), _OPTIONS)
        return self
