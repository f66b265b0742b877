"""Memory and CPU of the operator with 1, 300 and 1,000 idle objects, and after its restart.

usage: python -m bench.footprint [COUNT ...]

The objects are suspended: they rest like finished ones, and cost no Pod each on a small machine.
"""

import json
import re
import sys
import time

from bench.ground import ground, machine, say
from tests.cluster.kube import Namespace, kubectl, migration, wait_until

METRICS = "/api/v1/namespaces/whimbrel-system/services/whimbrel-metrics:http/proxy/metrics"
QUIET = 60.0  # seconds over which idle CPU is counted


def gauge(name: str) -> float:
    """Return one value of the operator's own /metrics."""
    text = kubectl("get", "--raw", METRICS)
    found = re.search(rf"^{name} ([0-9.e+]+)$", text, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"the operator shows no metric {name}")
    return float(found.group(1))


def grow(place: Namespace, start: int, count: int) -> None:
    """Create objects that rest, and wait until the operator has said so of each."""
    files = {"001_x.up.sql": "SELECT 1;"}
    names = [f"idle{number}" for number in range(start, count)]
    items = [migration(name, files=files, suspend=True) for name in names]
    place.kubectl(
        "apply", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    )
    wait_until(f"{count} at rest", lambda: resting(place) >= count, seconds=600)


def resting(place: Namespace) -> int:
    """Count the objects that the operator has looked at."""
    path = '{range .items[*]}{.status.phase}{"\\n"}{end}'
    return place.kubectl("get", "dbm", "-o", f"jsonpath={path}").split().count("Suspended")


def idle() -> tuple[float, float]:
    """Return MiB and CPU seconds a minute of the operator at rest."""
    before = gauge("process_cpu_seconds_total")
    time.sleep(QUIET)  # the measure is what happens in a minute in which nobody asks for anything
    cpu = (gauge("process_cpu_seconds_total") - before) * 60 / QUIET
    return gauge("process_resident_memory_bytes") / 2**20, cpu


def restart() -> float:
    """Restart the operator and return the CPU seconds of its first minute."""
    kubectl("-n", "whimbrel-system", "rollout", "restart", "deploy/whimbrel")
    kubectl("-n", "whimbrel-system", "rollout", "status", "deploy/whimbrel", "--timeout=120s")
    time.sleep(QUIET)  # the storm after a restart, if there is one, happens in here
    return gauge("process_cpu_seconds_total")


def main(counts: list[int]) -> None:
    """Measure at each number of objects."""
    say(f"machine: {machine()}")
    with ground("idle") as (place, _):
        done = 0
        for count in counts:
            grow(place, done, count)
            done = count
            memory, cpu = idle()
            say(f"{count:5} objects: {memory:6.1f} MiB, {cpu:.2f} CPU s/min at rest")
            say(f"{count:5} objects: {restart():.1f} CPU s in the first minute after a restart")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [1, 300, 1000])
