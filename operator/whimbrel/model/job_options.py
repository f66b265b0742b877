"""The part of the Job's Pod that the author of an object may set."""

from typing import Annotated, Literal

from pydantic import Field

from whimbrel.model.bounds import Frozen, Label
from whimbrel.model.database import NameRef


class Resources(Frozen):
    """Resources of the Job's containers."""

    requests: Annotated[dict[Label, Label], Field(max_length=8)] = Field(
        {}, description="Requests, for example cpu: 100m."
    )
    limits: Annotated[dict[Label, Label], Field(max_length=8)] = Field(
        {}, description="Limits, for example memory: 256Mi."
    )


class Toleration(Frozen):
    """A toleration of the Job's Pod."""

    key: Annotated[str, Field(max_length=253)] = Field("", description="Taint key.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="How key and value match.")
    value: Label = Field("", description="Taint value.")
    effect: Literal["", "NoSchedule", "PreferNoSchedule", "NoExecute"] = Field(
        "", description="Taint effect; empty means all."
    )


class JobOptions(Frozen):
    """The part of the Job's Pod that may be set."""

    resources: Resources = Field(Resources(), description="Resources of the containers.")
    image_pull_secrets: Annotated[tuple[NameRef, ...], Field(max_length=8)] = Field(
        (), description="Secrets for pulling the images."
    )
    service_account_name: Annotated[str, Field(max_length=253)] = Field(
        "", description="ServiceAccount of the Pod; its token is never mounted."
    )
    node_selector: Annotated[dict[str, Label], Field(max_length=16)] = Field(
        {}, description="Node labels the Pod needs."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = Field(
        (), description="Tolerations of the Pod."
    )
    run_as_user: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        65532, description="User id of the containers; never root."
    )
    fs_group: Annotated[int, Field(ge=1, le=2147483647)] = Field(
        65532, description="Group that owns the shared volume."
    )
    pod_labels: Annotated[dict[str, Label], Field(max_length=16)] = Field(
        {}, description="Further labels of the Pod."
    )
