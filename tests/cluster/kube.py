"""kubectl for tests: every story talks to the cluster as a user would."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
NODE = ROOT / "tests/cluster/node/node.py"
KUBECTL = Path(sys.executable).parent / "kubectl"


class KubectlError(RuntimeError):
    """kubectl refused; the text is what a user would read."""


def kubectl_command() -> list[str]:
    """Return the words in front of every kubectl call, for the cluster that the tests use."""
    kubeconfig = os.environ.get("WHIMBREL_TEST_KUBECONFIG")
    if kubeconfig:
        return [str(KUBECTL), "--kubeconfig", kubeconfig]
    if os.environ.get("KUBECONFIG"):  # already inside `node.py enter`
        return [str(KUBECTL)]
    name = os.environ.get("WHIMBREL_CLUSTER", "whimbrel")
    return [sys.executable, str(NODE), "enter", "--name", name, "--", str(KUBECTL)]


def kubectl(*words: str, given: str | None = None, fine: bool = True) -> str:
    """Run kubectl and return what it printed.

    Raises:
        KubectlError: It failed and `fine` is True.
    """
    done = subprocess.run(
        [*kubectl_command(), *words], input=given, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and fine:
        raise KubectlError(f"kubectl {' '.join(words)}: {done.stderr}{done.stdout}")
    return done.stdout if done.returncode == 0 else done.stderr + done.stdout


def wait_until(what: str, condition: Callable[[], Any], *, seconds: float = 60.0) -> Any:
    """Return the first truthy value of a condition; a failing kubectl call counts as not yet."""
    deadline = time.monotonic() + seconds
    seen: Any = None
    while time.monotonic() < deadline:
        try:
            seen = condition()
        except (KubectlError, KeyError, IndexError) as error:
            seen = error
        else:
            if seen:
                return seen
        time.sleep(0.1)  # between two looks at the condition
    raise AssertionError(f"not within {seconds:.0f} s: {what}; last seen: {seen!r}")


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test, with a database of its own."""

    name: str
    database: str
    server: tuple[str, ...]  # kubectl words that reach psql in the database's Pod

    def kubectl(self, *words: str, given: str | None = None, fine: bool = True) -> str:
        """Run kubectl in this namespace."""
        return kubectl("-n", self.name, *words, given=given, fine=fine)

    def apply(self, manifest: dict[str, Any] | str, *, fine: bool = True) -> str:
        """`kubectl apply -f -`."""
        text = manifest if isinstance(manifest, str) else json.dumps(manifest)
        return self.kubectl("apply", "-f", "-", given=text, fine=fine)

    def get(self, kind: str, name: str = "") -> dict[str, Any]:
        """`kubectl get -o json`."""
        return json.loads(self.kubectl("get", kind, *([name] if name else []), "-o", "json"))

    def status(self, name: str) -> dict[str, Any]:
        """Return the status of a DatabaseMigration."""
        return self.get("dbm", name).get("status", {})

    def condition(self, name: str, kind: str) -> dict[str, Any]:
        """Return one condition of a DatabaseMigration, or {}."""
        conditions = self.status(name).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), {})

    def wait(self, name: str, condition: str = "Ready", *, seconds: int = 90) -> None:
        """`kubectl wait --for=condition=...`."""
        self.kubectl("wait", f"--for=condition={condition}", f"dbm/{name}", f"--timeout={seconds}s")

    def sql(self, statement: str, *, database: str | None = None) -> str:
        """Run a statement as superuser in this test's database, through `kubectl exec`."""
        target = database or self.database
        return kubectl(*self.server, "-d", target, "-c", statement).strip()

    def active(self, pattern: str) -> bool:
        """Tell whether a statement like this runs in this test's database right now."""
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND state = 'active' AND query LIKE '{pattern}' AND pid <> pg_backend_pid()"
        )
        return self.sql(query) != "0"

    def at_revision(self, name: str, revision: str) -> None:
        """Wait until a revision was read back and the newest generation is Ready."""
        wait_until(revision, lambda: self.status(name).get("revision") == revision, seconds=120)
        self.wait(name)

    def secret(self, name: str = "db", *, password: str = "secret%40#@word") -> None:
        """Create the Secret with the database's URL."""
        url = f"postgresql://{self.database}:{quoted(password)}@{SERVICE}:5432/{self.database}"
        self.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
            | {"stringData": {"url": url}}
        )


SERVICE = "postgresql.databases.svc.cluster.local"
PSQL = (
    *("-n", "databases", "exec", "-i", "deploy/postgresql", "-c", "postgresql", "--"),
    *("psql", "-h", "127.0.0.1", "-U", "postgres", "-v", "ON_ERROR_STOP=1", "-qtAX"),
)


def quoted(text: str) -> str:
    """Percent-encode a password."""
    return "".join(f"%{byte:02X}" for byte in text.encode())


def migration(name: str = "shop", *, files: dict[str, str] | None = None, **spec: Any) -> dict:
    """Return a DatabaseMigration with inline SQL files."""
    migrations = {"tool": "sql", "inline": {"files": files}} if files else spec.pop("migrations")
    migrations |= spec.pop("extra", {})
    return {
        "apiVersion": "whimbrel.dev/v1alpha1",
        "kind": "DatabaseMigration",
        "metadata": {"name": name},
        "spec": {
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
            "migrations": migrations,
            **spec,
        },
    }
