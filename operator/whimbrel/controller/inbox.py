"""Events of the watches become keys of the queue. They are hints; nothing is decided here."""

from typing import Any

from whimbrel.controller import paths
from whimbrel.controller.client import Client
from whimbrel.controller.queue import WorkQueue
from whimbrel.controller.reconcile import forget, is_idle
from whimbrel.controller.seen import object_seen, pod_seen
from whimbrel.controller.world import Key, World
from whimbrel.machine import names
from whimbrel.model.errors import WhimbrelError
from whimbrel.model.observed import Observed

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
            self._queue.add(key, group=_group(seen))

    def child_seen(self, kind: str | None, raw: Body) -> None:
        """Ask for a turn of the object that a Job or Pod belongs to, unless it is at rest."""
        meta = raw["metadata"]
        name = (meta.get("annotations") or {}).get(names.NAME)
        if not name:
            return
        self._remember_end(raw)
        key = _key(raw, name)
        # At the start everything is listed: the object itself is too, and says if it is idle.
        if self._world.idle.get(key, kind is None):
            return
        self._queue.add(key)

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


def _group(seen: Observed) -> str:
    if seen.spec is None:
        return ""
    source = seen.spec.database
    if source.url_from is not None:
        reference = source.url_from.secret_key_ref
        return f"{seen.namespace}/{reference.name}/{reference.key}"
    return f"{seen.namespace}/{source.parts_from.secret_ref.name}" if source.parts_from else ""
