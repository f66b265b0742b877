"""The only module that knows kopf: watches that fill the inbox, and nothing else.

No create or update handlers: their state lives in annotations, and a replaced object would be
migrated again, a restored one never.
"""

import asyncio
import itertools
import random
from collections.abc import Iterator
from typing import Any

import kopf

from whimbrel.controller.inbox import Inbox
from whimbrel.controller.settings import Settings
from whimbrel.machine import names


class PatientBackoffs:
    """Pauses between tries of an API request, for ever: an outage must not end the process."""

    def __iter__(self) -> Iterator[float]:
        """Yield 1 to 30 seconds, spread."""
        for number in itertools.count():
            yield min(30.0, 2.0 ** min(number, 5)) * random.uniform(0.5, 1.0)  # noqa: S311  # spread


def make_registry(inbox: Inbox) -> kopf.OperatorRegistry:
    """Return the handlers: each only asks for a turn, and can neither wait nor fail."""
    registry = kopf.OperatorRegistry()
    ours = dict([names.MANAGED_BY])

    @kopf.on.login(registry=registry)
    async def login(**known: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401  # kopf's
        return kopf.login_with_service_account(**known) or kopf.login_with_kubeconfig(**known)

    @kopf.on.startup(registry=registry)
    async def start(settings: kopf.OperatorSettings, **_: object) -> None:
        _configure(settings)

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def migration(event: kopf.RawEvent, **_: object) -> None:
        inbox.migration_seen(event["type"], dict(event["object"]))

    @kopf.on.event("batch", "v1", "jobs", labels=ours, registry=registry)
    @kopf.on.event("", "v1", "pods", labels=ours, registry=registry)
    async def child(event: kopf.RawEvent, **_: object) -> None:
        inbox.child_seen(event["type"], dict(event["object"]))

    managed = {names.MANAGED_ANNOTATION: kopf.PRESENT}

    @kopf.on.event("", "v1", "services", annotations=managed, registry=registry)
    async def service(event: kopf.RawEvent, **_: object) -> None:
        inbox.service_seen(event["type"], dict(event["object"]))

    return registry


def _configure(settings: kopf.OperatorSettings) -> None:
    selector = "=".join(names.MANAGED_BY)
    settings.peering.standalone = True
    settings.posting.enabled = False
    # Watching definitions and namespaces would need rights on both; main.py waits for ours.
    settings.scanning.disabled = True
    settings.watching.label_selectors["batch", "v1", "jobs"] = selector
    settings.watching.label_selectors["", "v1", "pods"] = selector
    settings.watching.chunk_size = 500
    settings.watching.connect_timeout = 10
    settings.watching.reconnect_backoff = 1.0
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = PatientBackoffs()
    settings.networking.enforce_retry_after = True
    settings.execution.max_workers = 4
    settings.persistence.finalizer = f"{names.GROUP}/kopf"  # never used, never the shared default
    settings.process.ultimate_exiting_timeout = 25


async def watch(inbox: Inbox, settings: Settings, stop: asyncio.Event) -> None:
    """Watch until `stop` is set or the process is told to end."""
    await kopf.operator(
        registry=make_registry(inbox),
        standalone=True,
        clusterwide=not settings.namespaces,
        namespaces=settings.namespaces,
        stop_flag=stop,
    )
