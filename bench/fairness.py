"""Four migrations of 30 s and a small one on another database, against the small one alone.

usage: python -m bench.fairness [ROUNDS]
"""

import statistics
import sys
import time

from bench.ground import ground, machine, say
from tests.cluster.kube import Namespace, migration, wait_until

LONG = 30  # seconds of each long migration


def small(place: Namespace, name: str) -> float:
    """Return seconds from the start of `kubectl apply` to Ready=True of a small migration."""
    files = {"001_x.up.sql": f"CREATE TABLE {name} (id int);"}
    start = time.monotonic()
    place.apply(migration(name, files=files, extra={"history": name}))
    place.wait(name, seconds=180)
    return time.monotonic() - start


def busy(place: Namespace, number: int) -> None:
    """Apply a long migration and wait until its statement runs."""
    files = {"001_long.up.sql": f"SELECT pg_sleep({LONG});"}
    place.apply(migration(f"long{number}", files=files, extra={"history": f"long{number}"}))


def running(place: Namespace) -> bool:
    """Tell whether a long statement runs on this database."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    return place.sql(query + "AND query LIKE 'SELECT pg_sleep%'") != "0"


def beside(places: list[Namespace], quiet: Namespace, name: str) -> float:
    """Return the small one's seconds while four long ones run on four other databases."""
    for number, place in enumerate(places):
        busy(place, number)
    for place in places:
        wait_until("a long one runs", lambda place=place: running(place))
    return small(quiet, name)


def main(rounds: int) -> None:
    """Measure alone and beside, in turn."""
    alone, crowded = [], []
    for number in range(rounds):
        with (
            ground("quiet") as (quiet, _),
            ground("longa") as (a, _),
            ground("longb") as (b, _),
            ground("longc") as (c, _),
            ground("longd") as (d, _),
        ):
            small(quiet, f"warm{number}")
            alone.append(small(quiet, f"alone{number}"))
            crowded.append(beside([a, b, c, d], quiet, f"beside{number}"))
    ratio = statistics.median(crowded) / statistics.median(alone)
    say(f"machine: {machine()}; rounds: {rounds}")
    say(
        f"alone  median {statistics.median(alone):.2f} s; beside {statistics.median(crowded):.2f} s"
    )
    say(f"ratio of medians {ratio:.2f} (bar: 1.50)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
