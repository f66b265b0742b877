"""The operator's process: serve, connect, wait for the Lease, watch and work."""

import asyncio
import functools
import logging
import os
import signal
import time
from collections.abc import Coroutine
from typing import Any, Final

from whimbrel.controller import paths
from whimbrel.controller.client import ApiError, Body, Client, connected
from whimbrel.controller.handlers import watch
from whimbrel.controller.http import serving
from whimbrel.controller.inbox import Inbox
from whimbrel.controller.lease import Lease, is_set_within
from whimbrel.controller.logs import set_up_logs
from whimbrel.controller.metrics import Metrics
from whimbrel.controller.queue import WorkQueue
from whimbrel.controller.reconcile import reconcile
from whimbrel.controller.settings import Settings, read_settings
from whimbrel.controller.world import World
from whimbrel.machine import names

log = logging.getLogger(__name__)
STUCK: Final = 60.0  # seconds without a beat of the event loop


class Heart:
    """Beats while the event loop turns; /healthz listens."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    async def beat(self) -> None:
        """Beat until cancelled."""
        while True:
            self._last = time.monotonic()
            await asyncio.sleep(1)

    def is_beating(self) -> bool:
        """Tell whether the loop turned lately."""
        return time.monotonic() - self._last < STUCK


async def run(settings: Settings) -> None:
    """Run until SIGTERM."""
    metrics, heart, stop = Metrics(), Heart(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serving(settings.port, metrics, heart.is_beating), connected(metrics) as client:
        beats = asyncio.create_task(heart.beat())
        try:
            await _until(stop, _stand_by_and_lead(client, settings, metrics, stop))
        finally:
            beats.cancel()


async def _stand_by_and_lead(
    client: Client, settings: Settings, metrics: Metrics, stop: asyncio.Event
) -> None:
    cluster = await _cluster_id(client, stop)
    lease = Lease(client, settings.home, settings.lease or "-", settings.identity)
    if stop.is_set() or (settings.lease and not await lease.acquire(stop)):
        return
    if not await _is_defined(client, stop):
        return
    metrics.leader.set(1)
    world = World(client, settings, metrics, cluster)
    await _lead(world, lease, stop)
    if settings.lease:
        await lease.release()


async def _lead(world: World, lease: Lease, stop: asyncio.Event) -> None:
    queue = WorkQueue(
        functools.partial(reconcile, world),
        workers=world.settings.workers,
        metrics=world.metrics,
    )
    inbox = Inbox(world, queue)
    work: list[Coroutine[Any, Any, None]] = [queue.run(), _resync(world, inbox)]
    if world.settings.lease:
        work.append(lease.hold())
    tasks = [asyncio.create_task(each) for each in work]
    for task in tasks:
        task.add_done_callback(_ended)
    try:
        await watch(inbox, world.settings, stop)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _ended(task: asyncio.Task[None]) -> None:
    """End the process with a task that ends by itself: without it the others only seem to work.

    At once: whoever is no longer the leader must not end what it does in its own time.
    """
    if not task.cancelled():
        what, error = task.get_coro(), task.exception()
        log.critical("%s has ended, and so does the operator", what, exc_info=error)
        os._exit(1)


async def _resync(world: World, inbox: Inbox) -> None:
    while True:
        await asyncio.sleep(world.settings.resync)
        try:
            await inbox.look_at_everything(world.client)
        except ApiError as error:
            log.warning("the look at everything failed and comes again: %s", error)


async def _cluster_id(client: Client, stop: asyncio.Event) -> str:
    raw = await _first_answer(client, paths.namespace("kube-system"), stop)
    return str(raw["metadata"]["uid"]) if raw else ""


async def _first_answer(client: Client, path: str, stop: asyncio.Event) -> Body | None:
    while not stop.is_set():
        try:
            return await client.get(path)
        except ApiError as error:
            log.warning("the API server does not answer yet: %s", error)
            await is_set_within(stop, 2)
    return None


async def _is_defined(client: Client, stop: asyncio.Event) -> bool:
    """Wait until the API server knows our definition: kopf looks for it only once."""
    while not stop.is_set():
        known = await _first_answer(client, paths.group(), stop)
        if known and any(each["name"] == names.PLURAL for each in known["resources"]):
            return True
        log.warning("the definition of DatabaseMigration is not installed yet")
        await is_set_within(stop, 2)
    return False


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run work until it ends by itself, or until `stop` while it only waits for the Lease."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        # kopf stops by the same event and needs a moment to end its watches.
        await asyncio.wait({task}, timeout=20)
    for each in (task, stopping):
        each.cancel()
    results = await asyncio.gather(task, return_exceptions=True)
    failed = [each for each in results if isinstance(each, Exception)]
    if failed:
        raise failed[0]


def main() -> None:
    """Run the operator with the settings of the environment."""
    settings = read_settings(os.environ)
    set_up_logs(settings.log_level)
    asyncio.run(run(settings))
