"""Services, EndpointSlices and workloads of a release, read live."""

from collections.abc import Mapping
from dataclasses import replace

from whimbrel.controller import paths
from whimbrel.controller.client import Client
from whimbrel.controller.release.owners import replica_owners, selector_owners
from whimbrel.controller.release.raw import (
    Body,
    ends_seen,
    living,
    selector_text,
    service_seen,
    workload_seen,
)
from whimbrel.machine.segments import rolled
from whimbrel.model.observed import Observed
from whimbrel.model.release.strategy import BlueGreen, Side
from whimbrel.model.release.traffic import Ends, ServiceSeen, TrafficSeen, WorkloadSeen
from whimbrel.model.release.workloads import WorkloadRef
from whimbrel.model.spec import Spec


async def with_release(client: Client, seen: Observed) -> Observed:
    """Add what the API server says of the application, where the spec names any of it."""
    if seen.spec is None:
        return seen
    refs = _refs(seen.spec)
    options = seen.spec.strategy.blue_green
    return replace(
        seen,
        traffic=await _traffic(client, seen.namespace, options) if options else None,
        workloads=await _workloads(client, seen.namespace, refs, _selectors(options)),
    )


def _selectors(options: BlueGreen | None) -> Mapping[str, Mapping[str, str]]:
    """Return the selector that has to find the Pods of a side, by its workload."""
    sides = [options.version(side) for side in Side] if options else []
    return {each.workload_ref.told(): each.selector for each in sides}


def _refs(spec: Spec) -> tuple[WorkloadRef, ...]:
    options = spec.strategy.blue_green
    sides = [options.blue.workload_ref, options.green.workload_ref] if options else []
    checks = [each.workload.ref for each in spec.health_checks if each.workload is not None]
    return (*sides, *rolled(spec), *checks)


async def _traffic(client: Client, namespace: str, options: BlueGreen) -> TrafficSeen:
    pods = {
        side: await _pod_uids(client, namespace, options.version(side).selector) for side in Side
    }
    preview = options.preview_service
    # The Service before its endpoints: they are then of this selector, or of a newer one.
    return TrafficSeen(
        service=await _service(client, namespace, options.active_service),
        ends=await _ends(client, namespace, options.active_service, pods),
        preview=await _ends(client, namespace, preview, pods) if preview else None,
        green_pods=len(pods[Side.GREEN]),
    )


async def _service(client: Client, namespace: str, name: str) -> ServiceSeen | None:
    raw = await client.get(f"{paths.services(namespace)}/{name}")
    return service_seen(raw, selector_owners(raw)) if raw is not None else None


async def _ends(
    client: Client, namespace: str, name: str, pods: Mapping[Side, frozenset[str]]
) -> Ends:
    slices = await client.list(
        paths.endpoint_slices(namespace), f"kubernetes.io/service-name={name}"
    )
    return ends_seen(slices, blue=pods[Side.BLUE], green=pods[Side.GREEN])


async def _pod_uids(client: Client, namespace: str, labels: Mapping[str, str]) -> frozenset[str]:
    wanted = selector_text({"matchLabels": labels})
    return living(await client.list(paths.pods(namespace), wanted))


async def _workloads(
    client: Client,
    namespace: str,
    refs: tuple[WorkloadRef, ...],
    selectors: Mapping[str, Mapping[str, str]],
) -> Mapping[str, WorkloadSeen]:
    found: dict[str, WorkloadSeen] = {}
    scalers: list[Body] = await client.list(paths.autoscalers(namespace)) if refs else []
    for ref in refs:
        raw = await client.get(f"{paths.workloads(namespace, ref.kind)}/{ref.name}")
        if raw is not None:
            pods = await client.list(paths.pods(namespace), selector_text(raw["spec"]["selector"]))
            owners, selector = replica_owners(raw, scalers), selectors.get(ref.told(), {})
            found[ref.told()] = workload_seen(raw, pods, owners, selector)
    return found
