"""Everything that outlives a turn: the connection, the settings, and two small memories."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from whimbrel.controller.client import Client
from whimbrel.controller.metrics import Metrics
from whimbrel.controller.release.measured import Memory
from whimbrel.controller.settings import Settings
from whimbrel.model.observed import PodSeen

Key = tuple[str, str]
MEMORY = 1000  # Pods whose end is remembered


@dataclass
class World:
    """What a turn may use.

    Attributes:
        cluster: Uid of the namespace kube-system.
        clock: Unix seconds; read once a turn.
        ended: Pods of which an event said that all containers have ended, by uid of the Pod.
            The Pod itself may be gone at the next look; without this the proof would be too.
        measured: What the controller itself measured for health checks.
        idle: Objects that asked for nothing at their last event or turn.
    """

    client: Client
    settings: Settings
    metrics: Metrics
    cluster: str
    clock: Callable[[], float] = time.time
    ended: dict[str, tuple[str, PodSeen]] = field(default_factory=dict)
    idle: dict[Key, bool] = field(default_factory=dict)
    measured: Memory = field(default_factory=dict)

    def remember_end(self, pod_uid: str, label: str, pod: PodSeen) -> None:
        """Keep the kubelet's word that a Pod has ended."""
        if len(self.ended) >= MEMORY:
            self.ended.pop(next(iter(self.ended)))
        self.ended[pod_uid] = (label, pod)
