"""A blue-green release under load: what its users feel, and how fast a bad one is taken back.

usage: python -m bench.switch [ROUNDS]
"""

import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from bench.footprint import metrics, operator
from bench.ground import ground, machine, say
from tests.cluster.kube import ROOT, wait_until
from tests.cluster.one_node import provide_image
from tests.cluster.release import DECIDES, PROPAGATION, Release, migration_of, released

REQUESTS = 10_000
RATE = 200.0
EVERYTHING = ("/", "/orders", "/healthz")
ALLOWANCE = 5.0  # seconds that the bar adds to what the spec says
WRITES = ("POST", "PUT", "PATCH", "DELETE")
COUNTED = re.compile(r'whimbrel_api_requests_total\{code="(\d+)",verb="(\w+)"\}')


@contextmanager
def begun() -> Iterator[Release]:
    """Give a release that has not begun, in a namespace of its own."""
    with ground("switch") as (place, password), tempfile.TemporaryDirectory() as folder:
        place.secret("shop-db", password=password)
        with released(place, "shop-2", Path(folder)) as release:
            yield release


def writes() -> Counter[str]:
    """Return what the operator has written so far, by verb and answer."""
    found = ((COUNTED.fullmatch(name), value) for name, value in metrics(operator()).items())
    return Counter(
        {f"{each[2]} {each[1]}": int(value) for each, value in found if each and each[2] in WRITES}
    )


def good() -> None:
    """Say what the users of a good release saw, and what the operator wrote for it."""
    with begun() as release:
        before = writes()
        with release.load(RATE) as load:
            release.go()
            release.completes(300)
            load.wait_for(REQUESTS)
        told = ", ".join(f"{verb} {count}" for verb, count in sorted((writes() - before).items()))
        changes = len(release.selectors()) - 2  # none, then blue by hand, then ours
        lost = len(load.not_there_once(release.shop))
    say(f"good     {load.told()} (bar: 0 failed)")
    say(f"         {lost} acknowledged orders lost or doubled; selector changed {changes} time(s)")
    say(f"         writes of the operator from apply to Completed: {told}")


def first_red(release: Release) -> float:
    """Return when the first measurement was made that failed, as status says it."""
    checks = (check for each in release.seen for check in each.status.get("checks", ()))
    failed = (
        one["at"] for check in checks for one in check.get("last", ()) if one["verdict"] == "Fail"
    )
    return min(datetime.fromisoformat(at).timestamp() for at in failed)


def ended(release: Release, segment: str) -> float:
    """Return when a segment came to its end."""
    at = next(each["at"] for each in release.run()["steps"] if each["name"] == segment)
    return datetime.fromisoformat(at).timestamp()


def bad() -> None:
    """Say how long a release that turns bad in its soak kept the traffic."""
    with begun() as release:
        release.go(migration_of(soak="60s"))
        release.reaches("Soaking")
        with release.load(RATE) as load:
            time.sleep(5)  # under load for a while, as it would be
            since = release.go_wrong("green", *EVERYTHING)
            release.reaches("RolledBack", seconds=300)
            wait_until("blue is reached", lambda: release.is_at("blue"))
        red, selector = first_red(release), release.switched_at("blue")
        verified, lost = ended(release, "SwitchBack"), len(load.not_there_once(release.shop))
        after = load.failed(since=release.first("RollingBack") + PROPAGATION)
    bar = DECIDES + ALLOWANCE
    say(f"bad      first red answer to selector back {selector - red:.1f} s (bar: {bar:.0f} s)")
    say(
        f"         to the verified old side {verified - red:.1f} s (bar: {bar + PROPAGATION:.0f} s)"
    )
    say(
        f"         {len(load.failed(since=since))} requests failed meanwhile, {len(after)} of them "
        f"after the decision and propagation (bar: 0); {lost} orders lost or doubled"
    )


def main(rounds: int) -> None:
    """Measure a good and a bad release in turn."""
    for version in (1, 2):
        tag = f"whimbrel-example-shop:{version}"
        provide_image(ROOT / "tests/cluster/shop", tag, f"VERSION={version}")
    for _ in range(rounds):
        good()
        bad()
    say(f"machine: {machine()}; rate {RATE:.0f}/s; rounds: {rounds}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
