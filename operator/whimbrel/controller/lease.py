"""Leader election by a Lease: it saves work, and guarantees nothing.

Two operators at once do no harm: names, resourceVersions and the ledger see to that.
"""

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any, Final

from whimbrel.controller import paths
from whimbrel.controller.client import ApiError, Client

log = logging.getLogger(__name__)
Body = dict[str, Any]
DURATION: Final = 15.0  # seconds that a Lease is good for
DEADLINE: Final = 10.0  # seconds without a renewal after which a leader stops
PERIOD: Final = 2.0  # seconds between two tries


async def is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for an event, at most so long; tell whether it was set."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True


class Lease:
    """One candidate for one Lease.

    A foreign Lease counts as expired when it did not change for its duration by *our* clock:
    the clocks of two nodes need not agree (client-go, leaderelection).
    """

    def __init__(self, client: Client, namespace: str, name: str, identity: str) -> None:
        self._client = client
        self._path = paths.leases(namespace)
        self._place = {"namespace": namespace, "name": name}
        self._identity = identity
        self._seen: tuple[str, float] = ("", 0.0)
        self.renewed = 0.0

    async def acquire(self, stop: asyncio.Event) -> bool:
        """Return True when we lead, False when told to stop before."""
        while not await self.try_once():
            if await is_set_within(stop, PERIOD):
                return False
        log.info("leading as %s", self._identity)
        return True

    async def hold(self) -> None:
        """Renew for ever; return when it could not be renewed in time."""
        while time.monotonic() - self.renewed < DEADLINE:
            await asyncio.sleep(PERIOD)
            await self.try_once()
        log.error("the Lease is lost")

    async def try_once(self) -> bool:
        """Take or renew the Lease if nobody else has it; tell whether we lead."""
        try:
            async with asyncio.timeout(DEADLINE / 2):
                return await self._take()
        except (ApiError, TimeoutError) as error:
            log.warning("the Lease could not be renewed: %s", error)
            return False

    async def release(self) -> None:
        """Give the Lease away, so that the next one need not wait for it to expire."""
        raw = await self._client.get(f"{self._path}/{self._place['name']}")
        if raw is not None and raw["spec"].get("holderIdentity") == self._identity:
            await self._write(raw | {"spec": raw["spec"] | {"holderIdentity": ""}})

    async def _take(self) -> bool:
        started = time.monotonic()
        raw = await self._client.get(f"{self._path}/{self._place['name']}")
        if raw is None:
            await self._client.create(self._path, self._body({}, taken=True))
        elif self._is_free(raw):
            taken = raw["spec"].get("holderIdentity") != self._identity
            await self._write(self._body(raw, taken=taken))
        else:
            return False
        self.renewed = started
        return True

    async def _write(self, body: Body) -> None:
        await self._client.replace(f"{self._path}/{self._place['name']}", body)

    def _is_free(self, raw: Body) -> bool:
        holder = raw["spec"].get("holderIdentity")
        if holder in (None, "", self._identity):
            return True
        version = raw["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, time.monotonic())
        limit = float(raw["spec"].get("leaseDurationSeconds") or DURATION)
        return time.monotonic() - self._seen[1] > limit

    def _body(self, raw: Body, *, taken: bool) -> Body:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = dict(raw.get("spec", {}))
        if taken:
            transitions = spec.get("leaseTransitions", -1) + 1
            spec |= {"acquireTime": now, "leaseTransitions": transitions}
        spec |= {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "renewTime": now,
        }
        fresh = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": dict(self._place),
        }
        return (raw or fresh) | {"spec": spec}
