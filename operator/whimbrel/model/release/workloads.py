"""Workloads of the application that a DatabaseMigration names."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from whimbrel.model.bounds import Frozen, ObjectName


class WorkloadKind(StrEnum):
    """What may be named."""

    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"


class WorkloadRef(Frozen):
    """A workload of the same namespace."""

    kind: WorkloadKind = Field(WorkloadKind.DEPLOYMENT, description="Deployment or StatefulSet.")
    name: ObjectName = Field(description="Its name.")
    image: Annotated[str, Field(max_length=1024)] = Field(
        "",
        description="Image that one of its containers must have. Without it whatever runs there "
        "counts as the new version, also the one of two releases ago.",
    )

    def told(self) -> str:
        """Return it as messages name it."""
        return f"{self.kind}/{self.name}"
