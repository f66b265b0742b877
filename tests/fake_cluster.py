"""The whole loop in memory: controller, API server, node, and a clock that the test moves."""

from collections.abc import Callable
from typing import Any

from tests.fake_api import FakeApi
from tests.fake_application import FakeApplication
from tests.fake_runner import FakeNode, Ledger
from whimbrel.controller import paths
from whimbrel.controller.client import Client
from whimbrel.controller.metrics import Metrics
from whimbrel.controller.reconcile import reconcile
from whimbrel.controller.settings import Settings
from whimbrel.controller.world import World

Body = dict[str, Any]
START = 1_800_000_000.0
KEY = ("shop", "shop-schema")
PATH = paths.migration(*KEY)


class Killed(BaseException):
    """The operator's process is gone."""


class FakeCluster:
    """One object in one cluster."""

    def __init__(self, script: list[str] | None = None) -> None:
        self.now = START
        self.api = FakeApi(lambda: self.now)
        self.ledger = Ledger()
        self.node = FakeNode(self.api, self.ledger, script)
        self.application = FakeApplication(self.api)
        self.client: Client = self.api
        self.world = self.new_operator()
        self.turns = 0
        self.shown: list[Body] = []

    def new_operator(self) -> World:
        """A process that knows nothing but what the API server says."""
        settings = Settings(image="whimbrel:1")
        return World(self.client, settings, Metrics(), "cluster-1", clock=lambda: self.now)

    async def apply(self, **changes: Any) -> None:
        """`kubectl apply`: create or change the spec."""
        if PATH in self.api.objects:
            await self.api.patch(PATH, {"spec": spec(**changes)})
        else:
            namespace = {"metadata": {"name": KEY[0], "finalizers": ["kubernetes"]}}
            await self.api.create("/api/v1/namespaces", namespace)
            await self.api.create(PATH.rpartition("/")[0], manifest(**changes))

    async def annotate(self, **values: str) -> None:
        marks = {f"whimbrel.dev/{key.replace('_', '-')}": value for key, value in values.items()}
        await self.api.patch(PATH, {"metadata": {"annotations": marks}})

    async def turn(self) -> float | None:
        """One turn of the operator; a killed one starts again with an empty memory."""
        self.turns += 1
        try:
            again = await reconcile(self.world, KEY)
        except Killed:
            self.world = self.new_operator()
            again = 0.0
        if PATH in self.api.objects:
            self.shown.append(self.api.objects[PATH]["status"])
        return again

    async def run(self, until: Callable[[], bool] = lambda: False, *, limit: int = 400) -> None:
        """Go on until nothing moves any more, or until a condition holds."""
        for _ in range(limit):
            again = await self.turn()
            if until():
                return
            moved = await self.application.step() or await self.node.step()
            if again is None and not moved:
                return
            if not moved and again:
                self.now += again
        raise AssertionError(f"does not come to rest; last: {self.status()}")

    def status(self) -> Body:
        return self.api.objects[PATH]["status"] if PATH in self.api.objects else {}

    def condition(self, kind: str) -> str:
        found = {each["type"]: each["status"] for each in self.status()["conditions"]}
        return found.get(kind, "")

    def jobs(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self.api.objects if "/jobs/" in path]


def spec(**changes: Any) -> Body:
    return {
        "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
        "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "SELECT 1"}}},
    } | changes


def manifest(**changes: Any) -> Body:
    return {
        "apiVersion": "whimbrel.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": KEY[1], "namespace": KEY[0]},
        "spec": spec(**changes),
    }
