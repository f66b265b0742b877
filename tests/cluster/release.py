"""Drives a blue-green release of examples/blue-green, as its README says to do it by hand."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.kube import ROOT, Namespace, wait_until
from tests.cluster.load import Load, answers, load
from tests.cluster.watching import Seen, watched
from tests.gitops import argo_health, flux_complaints, kstatus

Body = dict[str, Any]
EXAMPLES = ROOT / "examples/blue-green"
BLUE, GREEN = ({"app": "shop", "track": track} for track in ("blue", "green"))
MARK = "whimbrel.dev/switched-by"  # another one at the Service with each write of its selector
REPLICAS = 2
PROPAGATION = 3.0  # seconds, propagationDelay of every release here
INTERVAL, TIMEOUT, THRESHOLD = 2.0, 2.0, 3  # of every check here, in seconds, and in a row
DECIDES = INTERVAL * THRESHOLD + TIMEOUT  # seconds from the first red answer to the decision
FAULTS = (
    "CREATE TABLE faults (track text, path text, status int, PRIMARY KEY (track, path)); "
    "ALTER TABLE faults OWNER TO {owner}"
)
HAS_COLUMN = (
    "SELECT count(*) FROM information_schema.columns "
    "WHERE table_name = 'customers' AND column_name = 'full_name'"
)


def example(name: str) -> list[Body]:
    """Return the objects of a file of the example."""
    return list(yaml.safe_load_all((EXAMPLES / f"{name}.yaml").read_text()))


def migration_of(name: str = "release-2", **spec: Any) -> Body:
    """Return a DatabaseMigration of the example, with shorter waits; `spec` replaces parts."""
    (body,) = example(name)
    body["spec"] |= {"soak": "15s", **spec}
    options = body["spec"]["strategy"]["blueGreen"]
    options |= {"drain": "3s", "propagationDelay": f"{PROPAGATION:.0f}s"}
    return body


def without_check(body: Body, name: str) -> Body:
    """Return the object without one of its checks."""
    body["spec"]["healthChecks"] = [x for x in body["spec"]["healthChecks"] if x["name"] != name]
    return body


def deployment(name: str, *, wrong: str = "", **spec: Any) -> Body:
    """Return a Deployment of the example; `wrong` is what it answers wrongly from its start."""
    (body,) = example(name)
    body["spec"] |= spec
    if wrong:
        (container,) = body["spec"]["template"]["spec"]["containers"]
        container["env"].append({"name": "FAULTS", "value": wrong})
    return body


class Release:
    """The shop in a namespace, with version 1 on blue and all traffic there.

    Attributes:
        seen: Every version of the DatabaseMigration.
        services: Every version of the active Service.
    """

    def __init__(self, shop: Namespace, name: str, folder: Path) -> None:
        self.shop, self.name, self._folder = shop, name, folder
        self.seen: list[Seen] = []
        self.services: list[Seen] = []

    def prepare(self) -> None:
        """Bring the shop to where a release begins."""
        self.shop.sql(FAULTS.format(owner=self.shop.database))
        self.shop.apply(example("release-1")[0])
        self.shop.wait("shop-1")
        for body in example("service"):
            self.shop.apply(body)
        self.deploy("blue")
        self.point_at("blue")
        self.rolled_out("blue")
        wait_until("blue is reached", lambda: len(self.endpoints()) == REPLICAS)
        wait_until("blue answers", lambda: answers(self.shop, "shop"))

    def deploy(self, file: str, *, wrong: str = "", replicas: int = REPLICAS, **spec: Any) -> None:
        """Apply a Deployment of the example and scale it, as its README says."""
        body = deployment(file, wrong=wrong, **spec)
        self.shop.apply(body)
        self.scale(body["metadata"]["name"], replicas)

    def scale(self, name: str, replicas: int) -> None:
        """`kubectl scale`."""
        self.shop.kubectl("scale", f"deploy/{name}", f"--replicas={replicas}")

    def rolled_out(self, track: str) -> None:
        """`kubectl rollout status`."""
        self.shop.kubectl("rollout", "status", f"deploy/shop-{track}", "--timeout=120s")

    def point_at(self, track: str) -> None:
        """Set the Service's selector by hand."""
        change = {"spec": {"selector": {"app": "shop", "track": track}}}
        self.shop.kubectl("patch", "service", "shop", "-p", json.dumps(change))

    def go_wrong(self, track: str, *paths: str, status: int = 500) -> float:
        """Let a side answer some paths wrongly from now on; return when that began."""
        values = ", ".join(f"('{track}', '{path}', {status})" for path in paths)
        at = time.time()
        self.shop.sql(f"INSERT INTO faults VALUES {values}")
        return at

    def go(self, body: Body | None = None, *, wrong: str = "", **green: Any) -> None:
        """Apply the object and green with it: one `kubectl apply` of a user."""
        self.shop.apply(body or migration_of())
        self.deploy("green", wrong=wrong, **green)

    def status(self) -> Body:
        """Return the status of the object."""
        return self.shop.status(self.name)

    def run(self) -> Body:
        """Return what the run keeps of its release."""
        return self.status()["run"]["release"]

    def reason(self) -> str:
        """Return the reason of Ready."""
        return self.shop.condition(self.name, "Ready").get("reason", "")

    def reaches(self, *phases: str, seconds: float = 180.0) -> Body:
        """Wait until the object is in one of some phases; return its status."""
        wait_until(
            f"phase {' or '.join(phases)}; last: {self.told()}",
            lambda: self.status().get("phase") in phases,
            seconds=seconds,
        )
        return self.status()

    def completes(self, seconds: int = 180) -> None:
        """Wait for the condition Completed."""
        self.shop.wait(self.name, "Completed", seconds=seconds)

    def told(self) -> str:
        """Return the last words of the object that were seen."""
        status = self.seen[-1].status if self.seen else {}
        return f"{status.get('phase')}: {status.get('message')}"

    def selector(self) -> Body:
        """Return the Service's selector."""
        return self.shop.get("service", "shop")["spec"].get("selector", {})

    def endpoints(self) -> list[str]:
        """Return the names of the ready Pods behind the Service."""
        label = "kubernetes.io/service-name=shop"
        words = ("get", "endpointslices", "-l", label, "-o", "json")
        slices = json.loads(self.shop.kubectl(*words))["items"]
        ends = [each for part in slices for each in part.get("endpoints") or ()]
        return [each["targetRef"]["name"] for each in ends if each["conditions"].get("ready")]

    def jobs(self) -> list[str]:
        """Return the names of the object's Jobs; those of release 1 are there too."""
        names = [each["metadata"]["name"] for each in self.shop.get("jobs")["items"]]
        return [each for each in names if each.startswith(f"{self.name}-")]

    def replicas(self, track: str) -> int:
        """Return the number that a Deployment asks for."""
        return self.shop.get("deploy", f"shop-{track}")["spec"]["replicas"]

    def is_expanded(self) -> bool:
        """Tell whether the schema is as version 2 needs it."""
        return self.shop.sql(HAS_COLUMN) == "1"

    def is_at(self, track: str) -> bool:
        """Tell whether all traffic is at one side, by selector and endpoints."""
        names = self.endpoints()
        here = [each for each in names if each.startswith(f"shop-{track}-")]
        return self.selector().get("track") == track and len(here) == len(names) >= REPLICAS

    def selectors(self) -> list[str]:
        """Return the sides that the Service showed, in order, each change once."""
        tracks = [each.body["spec"].get("selector", {}).get("track", "") for each in self.services]
        return [each for n, each in enumerate(tracks) if n == 0 or tracks[n - 1] != each]

    def writes(self) -> list[str]:
        """Return the sides that the operator wrote, in order, each write once: by its mark."""
        first: dict[str, str] = {}
        for each in self.services:
            mark = (each.body["metadata"].get("annotations") or {}).get(MARK, "")
            first.setdefault(mark, each.body["spec"].get("selector", {}).get("track", ""))
        return [track for mark, track in first.items() if mark]

    def switched_at(self, track: str) -> float:
        """Return when the Service was seen to show a side for the last time anew."""
        shown = [(each.at, each.body["spec"].get("selector", {})) for each in self.services]
        changes = [
            at
            for number, (at, selector) in enumerate(shown)
            if selector.get("track") == track and (number == 0 or shown[number - 1][1] != selector)
        ]
        return changes[-1]

    def first(self, phase: str) -> float:
        """Return when a phase was seen first."""
        return next(each.at for each in self.seen if each.status.get("phase") == phase)

    def reasons(self) -> set[str]:
        """Return every reason of Ready that was seen."""
        conditions = (each.status.get("conditions", []) for each in self.seen)
        return {one["reason"] for each in conditions for one in each if one["type"] == "Ready"}

    def steps(self) -> list[str]:
        """Return the segments that came to their end."""
        return [each["name"] for each in self.run()["steps"]]

    @contextmanager
    def load(self, rate: float = 50.0) -> Iterator[Load]:
        """Keep a load on the Service from outside of the Pods."""
        with load(self.shop, "shop", self._folder / "load.jsonl", rate=rate) as found:
            yield found

    def complaints(self) -> list[str]:
        """Return where a version of the object's status is not what Flux and Argo CD take."""
        found = []
        touched = (each.body for each in self.seen if each.status.get("observedGeneration", -1) > 0)
        for body in touched:
            named = (body["status"].get("phase"), kstatus(body), argo_health(body))
            agreed = {"Failed": ("Degraded",), "Current": ("Healthy", "Suspended")}
            if named[2] not in agreed.get(named[1], ("Progressing", "Suspended")):
                found.append(f"{named}")
            found += [f"{named} {each}" for each in flux_complaints(body)]
        return found


@contextmanager
def released(shop: Namespace, name: str, folder: Path) -> Iterator[Release]:
    """Give a release that has not begun, watched until the end of the block."""
    release = Release(shop, name, folder)
    with (
        watched(shop, "dbm", name) as release.seen,
        watched(shop, "service", "shop") as release.services,
    ):
        release.prepare()
        yield release
