"""What the API server says of the application: Services, their endpoints, and workloads."""

from collections.abc import Mapping
from dataclasses import dataclass

from whimbrel.model.release.strategy import Side


@dataclass(frozen=True)
class ServiceSeen:
    """A Service.

    Attributes:
        version: Its resourceVersion; a write of ours holds only for this one.
        managed_by: Name of the object that may switch it, by annotation.
        owners: Managers, other than us, who state its selector again and again.
        mark: What our newest write of it left there.
    """

    name: str
    version: str
    selector: Mapping[str, str]
    mark: str = ""
    managed_by: str = ""
    owners: tuple[str, ...] = ()


@dataclass(frozen=True)
class WorkloadSeen:
    """A Deployment or StatefulSet.

    Attributes:
        replicas: Number that its spec asks for.
        ready: Pods that are available, of its newest template.
        settled: Its controller has seen the newest spec, and all Pods are of it and available.
        failing: Why it does not come to that, or "".
        images: Images of its template's containers.
        owners: Managers, other than us, who state its number of replicas again and again.
        pods: Pods of it that have not ended, the terminating ones too.
        found: Ready Pods of it that the selector of its side finds.
        restarts: Restarts of their containers.
        version: Its resourceVersion; a write of ours holds only for this one.
    """

    name: str
    replicas: int = 0
    ready: int = 0
    settled: bool = False
    failing: str = ""
    images: frozenset[str] = frozenset()
    owners: tuple[str, ...] = ()
    pods: int = 0
    found: int = 0
    restarts: int = 0
    version: str = ""


@dataclass(frozen=True)
class Ends:
    """Ready endpoints of a Service, by whose Pods they are.

    Attributes:
        strangers: Of Pods that belong to neither side.
    """

    blue: int = 0
    green: int = 0
    strangers: int = 0

    def of(self, side: Side) -> int:
        """Return the number of one side."""
        return self.green if side is Side.GREEN else self.blue

    def only(self, side: Side, least: int) -> bool:
        """Tell whether enough Pods of one side are reached, and no other Pod is."""
        total = self.blue + self.green + self.strangers
        return self.of(side) == total >= least


@dataclass(frozen=True)
class TrafficSeen:
    """The two sides of a blue-green release.

    Attributes:
        service: The active Service, or None where there is none.
        ends: Its ready endpoints.
        preview: Those of the preview Service, or None where none is named.
        green_pods: Pods that green's selector finds and that have not ended, the terminating ones
            too: they outlive their workload.
    """

    service: ServiceSeen | None = None
    ends: Ends = Ends()
    preview: Ends | None = None
    green_pods: int = 0
