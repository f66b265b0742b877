"""`whimbrel watch` on the real cluster: the API server's own watches, gates and ends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator

import pytest

from tests.cluster.kube import KUBECTL, ROOT, Namespace, kubectl_command, migration, wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.sampled("a run that is watched on the cluster")]

FILES = {"001_a.up.sql": "CREATE TABLE a (id int);", "002_slow.up.sql": "SELECT pg_sleep(8);"}
BROKEN = {"001_a.up.sql": "CREATE TABLE a (id int);\nSELECT nonsense();"}


class Watches:
    """Starts `whimbrel watch` in a namespace, where kubectl reaches the cluster."""

    def __init__(self, namespace: str) -> None:
        self.namespace = namespace
        self.started: list[subprocess.Popen[str]] = []

    def start(self, name: str, *words: str) -> subprocess.Popen[str]:
        before = [word for word in kubectl_command() if word != str(KUBECTL)]
        kubeconfig = before[-2:] if "--kubeconfig" in before else []
        entered = before[: len(before) - len(kubeconfig)]
        asked = ["watch", name, "-n", self.namespace, *kubeconfig, *words]
        process = subprocess.Popen(
            [*entered, sys.executable, "-m", "whimbrel.cli", *asked],
            env=os.environ | {"PYTHONPATH": str(ROOT / "operator")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process


@pytest.fixture
def watches(shop: Namespace) -> Iterator[Watches]:
    """Watching processes of a test's namespace; ended with the test."""
    found = Watches(shop.name)
    yield found
    for process in found.started:
        process.kill()
        process.communicate()


def until_part(lines: Iterable[str], part: str) -> Iterator[str]:
    """Yield lines up to the one that holds a text; the process ends at its time-out."""
    for line in lines:
        yield line
        if part in line:
            return


def test_a_run_is_watched_through_its_gate_to_its_end(shop: Namespace, watches: Watches):
    shop.apply(migration(files=FILES, approval={"before": ["Start"]}))
    process = watches.start("shop", "--timeout", "180s")
    wait_until("the plan", lambda: shop.status("shop")["gate"]["token"])
    token = shop.status("shop")["gate"]["token"]
    asks = f" do: whimbrel approve shop {token}"
    # Approved only once it was asked: a watch that starts later sees no question.
    seen = list(until_part(process.stdout, asks))
    shop.kubectl("annotate", "dbm/shop", f"whimbrel.dev/approve={token}")
    rest, problems = process.communicate(timeout=240)
    out = "".join(seen) + rest
    assert process.returncode == 0, out + problems
    positions = [out.index(part) for part in (asks, "Completed")]
    assert positions == sorted(positions)
    moments = [line.split()[0] for line in out.splitlines()]
    assert moments == sorted(moments)
    assert "segment: Migrate" in out


def test_the_documents_of_a_failure_end_with_its_exit_code(shop: Namespace, watches: Watches):
    shop.apply(migration(files=BROKEN))
    process = watches.start("shop", "-o", "json", "--timeout", "180s")
    out, problems = process.communicate(timeout=240)
    assert process.returncode == 1, out + problems
    *earlier, last = map(json.loads, out.splitlines())
    assert {each["exitCode"] for each in earlier} <= {None}
    assert (last["status"]["phase"], last["exitCode"]) == ("Failed", 1)


@pytest.mark.soak
def test_a_watch_outlives_the_streams_of_the_server(shop: Namespace, watches: Watches):
    """A suspended object waits for longer than one stream of the server lasts (60 s)."""
    shop.apply(migration(files={"001_a.up.sql": "SELECT 1;"}, suspend=True))
    wait_until("phase Suspended", lambda: shop.status("shop").get("phase") == "Suspended")
    process = watches.start("shop", "--timeout", "75s")
    out, problems = process.communicate(timeout=120)
    assert process.returncode == 3, out + problems
    assert out.count("phase: Suspended") == 1
    assert "not over after 75s" in problems


def test_what_was_not_applied_is_refused(watches: Watches):
    process = watches.start("nothing")
    out, problems = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert f"there is no nothing in the namespace {watches.namespace}" in problems
