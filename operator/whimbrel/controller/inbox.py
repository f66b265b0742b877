"""Events of the watches become keys of the queue. They are hints; nothing is decided here."""

from typing import Any

from whimbrel.controller import paths
from whimbrel.controller.client import Client
from whimbrel.controller.queue import WorkQueue
from whimbrel.controller.reconcile import forget, is_idle
from whimbrel.controller.seen import job_seen, object_seen, pod_seen
from whimbrel.controller.world import Key, World
from whimbrel.machine import names
from whimbrel.model.errors import WhimbrelError

Body = dict[str, Any]


class Inbox:
    """What the watches may do: ask for a turn."""

    def __init__(self, world: World, queue: WorkQueue) -> None:
        self._world = world
        self._queue = queue

    def migration_seen(self, kind: str | None, raw: Body) -> None:
        """Ask for a turn unless the object's own body shows that nothing would change."""
        key = _key(raw, raw["metadata"]["name"])
        if kind == "DELETED":
            forget(self._world, key)
            self._queue.forget(key)
            return
        try:
            seen = object_seen(raw, self._world.clock())
        except WhimbrelError:
            self._queue.add(key)  # the turn says why it leaves the object alone
            return
        idle = self._world.idle[key] = is_idle(seen)
        self._world.metrics.show_phase(key, str(seen.status.phase or "Pending"))
        if not idle:
            label = names.database_label(seen.spec.database) if seen.spec else ""
            self._queue.add(key, group=_group(seen.namespace, label) if label else "")

    def child_seen(self, kind: str | None, raw: Body) -> None:
        """Ask for a turn of the object that a Job or Pod belongs to, unless it is at rest."""
        meta = raw["metadata"]
        name = (meta.get("annotations") or {}).get(names.NAME)
        if not name:
            return
        self._remember_end(raw)
        self._wake_neighbours(kind, raw)
        key = _key(raw, name)
        # At the start everything is listed: the object itself is too, and says if it is idle.
        if self._world.idle.get(key, kind is None):
            return
        self._queue.add(key)

    def service_seen(self, kind: str | None, raw: Body) -> None:
        """Ask for a turn of the object that may switch a Service; also of one that is at rest.

        At the start, where everything is listed, only a Service that has lost its selector is
        news to an object at rest.
        """
        name = (raw["metadata"].get("annotations") or {}).get(names.MANAGED_ANNOTATION)
        key = _key(raw, name or "")
        listed = kind is None and (raw.get("spec") or {}).get("selector")
        if name and not (listed and self._world.idle.get(key, True)):
            self._queue.add(key)

    def _wake_neighbours(self, kind: str | None, raw: Body) -> None:
        """Whoever waits for its turn at the same Secret need not wait for the clock."""
        meta = raw["metadata"]
        label = (meta.get("labels") or {}).get(names.DATABASE_LABEL)
        job = job_seen(raw, []) if raw.get("kind") == "Job" else None
        if label and job is not None and (kind == "DELETED" or job.finished):
            group = _group(meta["namespace"], label)
            self._queue.wake(group, lambda key: not self._world.idle.get(key, True))

    def _remember_end(self, raw: Body) -> None:
        meta = raw["metadata"]
        if raw.get("kind") == "Job" or not meta.get("deletionTimestamp"):
            return
        pod = pod_seen(raw) if "containers" in raw.get("spec", {}) else None
        if pod is not None and pod.ended:
            label = (meta.get("labels") or {}).get(names.OBJECT_LABEL, "")
            self._world.remember_end(meta["uid"], label, pod)

    async def look_at_everything(self, client: Client) -> None:
        """Ask for a turn of every object that is not at rest: what a watch missed comes back."""
        for namespace in self._world.settings.namespaces or ("",):
            for raw in await client.list(paths.migrations(namespace)):
                self.migration_seen(None, raw)


def _key(raw: Body, name: str) -> Key:
    return (raw["metadata"]["namespace"], name)


def _group(namespace: str, label: str) -> str:
    return f"{namespace}/{label}"
