"""Memory and CPU of the operator with 1, 300 and 1,000 idle objects, before and after its restart.

usage: python -m bench.footprint [COUNT ...]

The objects are suspended: they rest as finished ones do, without Jobs and Pods that are kept: those
would be too many for a small machine.
All numbers are the operator's own, from the /metrics of one Pod.
"""

import json
import re
import sys
import time
from dataclasses import dataclass

from bench.ground import ground, machine, say
from tests.cluster.kube import Namespace, kubectl, migration, wait_until

OPERATOR = ("-n", "whimbrel-system")
LABEL = "app.kubernetes.io/name=whimbrel"
METRICS = "/api/v1/namespaces/whimbrel-system/pods/{pod}:8080/proxy/metrics"
RESTING = 'whimbrel_migrations{phase="Suspended"}'
MINUTE = 60.0  # seconds over which CPU is counted, and the age at which a new Pod is measured
MIB = 2**20


@dataclass(frozen=True)
class Footprint:
    """What an operator has cost so far.

    Attributes:
        cpu: Seconds since its start.
        memory: MiB, resident.
        age: Seconds since its start, by its own clock.
    """

    cpu: float
    memory: float
    age: float


def metrics(pod: str) -> dict[str, float]:
    """Return the operator's own numbers, by name and labels as they are written there."""
    text = kubectl("get", "--raw", METRICS.format(pod=pod))
    found = re.findall(r"^([a-z_]+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def footprint(pod: str) -> Footprint:
    """Read what an operator has cost."""
    numbers = metrics(pod)
    memory = numbers["process_resident_memory_bytes"] / MIB
    age = time.time() - numbers["process_start_time_seconds"]
    return Footprint(numbers["process_cpu_seconds_total"], memory, age)


def operator() -> str:
    """Return the name of the operator's one Pod that is to stay."""
    pods = json.loads(kubectl(*OPERATOR, "get", "pods", "-l", LABEL, "-o", "json"))["items"]
    (pod,) = [each for each in pods if "deletionTimestamp" not in each["metadata"]]
    return pod["metadata"]["name"]


def has_seen(pod: str, count: int) -> bool:
    """Tell whether an operator leads, has seen so many objects at rest, and has nothing to do."""
    numbers = metrics(pod)
    leads = numbers["whimbrel_leader"] == 1
    return leads and numbers["whimbrel_workqueue_depth"] == 0 and numbers.get(RESTING, 0) >= count


def grow(place: Namespace, start: int, count: int) -> None:
    """Create objects that rest, and wait until the operator has said so of each."""
    files = {"001_x.up.sql": "SELECT 1;"}
    names = [f"idle{number}" for number in range(start, count)]
    items = [migration(name, files=files, suspend=True) for name in names]
    place.apply({"apiVersion": "v1", "kind": "List", "items": items})
    pod = operator()
    wait_until(f"{count} seen", lambda: has_seen(pod, count), seconds=600)
    wait_until(f"{count} at rest", lambda: resting(place) == count, seconds=60)


def resting(place: Namespace) -> int:
    """Count the objects that the operator has looked at."""
    path = '{range .items[*]}{.status.phase}{"\\n"}{end}'
    return place.kubectl("get", "dbm", "-o", f"jsonpath={path}").split().count("Suspended")


def at_rest() -> Footprint:
    """Return CPU and memory of a minute in which nobody asks for anything."""
    pod = operator()
    before = footprint(pod)
    time.sleep(MINUTE)  # the measure itself
    after = footprint(pod)
    passed = after.age - before.age
    return Footprint((after.cpu - before.cpu) * MINUTE / passed, after.memory, passed)


def restart(count: int) -> tuple[Footprint, Footprint]:
    """Delete the operator's Pod; measure the next one when it has seen all, and after a minute."""
    kubectl(*OPERATOR, "delete", "pod", operator(), "--timeout=60s")
    kubectl(*OPERATOR, "rollout", "status", "deploy/whimbrel", "--timeout=120s")
    pod = operator()
    wait_until(f"{count} seen again", lambda: has_seen(pod, count), seconds=300)
    seen = footprint(pod)
    time.sleep(max(MINUTE - seen.age, 0.0))  # the storm after a restart, if there is one, is here
    return seen, footprint(pod)


def measure(count: int) -> None:
    """Say what so many objects cost, before and after a restart."""
    rest = at_rest()
    say(f"{count:5} objects at rest:      {rest.memory:6.1f} MiB, {rest.cpu:.2f} CPU s/min")
    seen, minute = restart(count)
    say(
        f"{count:5} objects, restarted:   {minute.memory:6.1f} MiB, {minute.cpu:.2f} CPU s in the "
        f"first {minute.age:.0f} s (all seen at {seen.age:.0f} s: {seen.cpu:.2f} CPU s)"
    )
    rest = at_rest()
    say(
        f"{count:5} objects, minute two:  {rest.memory:6.1f} MiB, {rest.cpu:.2f} CPU s/min; "
        f"{machine()}"
    )


def main(counts: list[int]) -> None:
    """Measure at each number of objects, each a suspended DatabaseMigration of one namespace."""
    say(f"machine: {machine()}")
    with ground("idle") as (place, _):
        done = 0
        for count in counts:
            grow(place, done, count)
            done = count
            measure(count)


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 300, 1000])
