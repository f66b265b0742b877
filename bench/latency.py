"""`kubectl apply` to Ready=True for three small statements, against the same Job by hand.

usage: python -m bench.latency [ROUNDS]
"""

import json
import statistics
import sys
import time

from bench.ground import ground, machine, say
from tests.cluster.kube import SERVICE, Namespace, kubectl_command, migration, quoted

STATEMENTS = (
    "CREATE TABLE {t} (id int PRIMARY KEY)",
    "ALTER TABLE {t} ADD COLUMN name text",
    "INSERT INTO {t} VALUES (1, 'a')",
)


def by_whimbrel(place: Namespace, number: int) -> float:
    """Return seconds from the start of `kubectl apply` to Ready=True."""
    text = ";\n".join(STATEMENTS).format(t=f"ours{number}") + ";"
    name = f"ours{number}"
    body = migration(name, files={f"{number:03}_x.up.sql": text}, extra={"history": name})
    start = time.monotonic()
    place.apply(body)
    place.wait(name, seconds=120)
    return time.monotonic() - start


def by_hand(place: Namespace, number: int, password: str) -> float:
    """Return seconds from the start of `kubectl apply` to the Job's completion."""
    name = f"hand{number}"
    url = f"postgresql://{place.database}:{quoted(password)}@{SERVICE}:5432/{place.database}"
    words = [word for text in STATEMENTS for word in ("-c", text.format(t=name))]
    container = {
        "name": "psql",
        "image": "whimbrel-postgresql:15",
        "imagePullPolicy": "IfNotPresent",
        "command": ["psql", "-X", "-v", "ON_ERROR_STOP=1", "-1", url, *words],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
    start = time.monotonic()
    place.kubectl("apply", "-f", "-", given=json.dumps(job))
    place.kubectl("wait", "--for=condition=Complete", f"job/{name}", "--timeout=120s")
    return time.monotonic() - start


def main(rounds: int) -> None:
    """Measure in turn, so that a drifting machine hits both."""
    with ground("latency") as (place, password):
        pairs = [
            (by_whimbrel(place, n), by_hand(place, n, password)) for n in range(1, rounds + 2)
        ][1:]  # the first pair warms the page cache
    ours, hand = ([pair[side] for pair in pairs] for side in (0, 1))
    say(f"machine: {machine()}; kubectl: {' '.join(kubectl_command()[-1:])}; rounds: {rounds}")
    say(f"whimbrel  median {statistics.median(ours):.2f} s  all {[f'{x:.2f}' for x in ours]}")
    say(f"by hand   median {statistics.median(hand):.2f} s  all {[f'{x:.2f}' for x in hand]}")
    say(f"ratio of medians {statistics.median(ours) / statistics.median(hand):.2f} (bar: 1.30)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
