"""The real runner as a process, with the folders that Kubernetes would mount."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.forked import Process, start_module
from tests.postgres import Postgres
from tests.processes import built_launcher
from whimbrel.model.release.health import Moment

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Attempt:
    """What one runner process is told."""

    folder: Path
    url: str
    files: tuple[tuple[str, str], ...]
    project: Path | None = None
    resolver: Path | None = None  # what stands in /etc/resolv.conf there
    machine: str = ""  # host name of another machine, where the runner seems to run
    run: str = "run1"
    attempt: int = 1
    segment: str = "Migrate"
    uid: str = "uid-shop"
    name: str = "shop"
    spec: tuple[tuple[str, Any], ...] = ()
    order: tuple[tuple[str, Any], ...] = ()
    programs: Path | None = None  # a folder that comes first on the tool's PATH
    dumper: Path | None = None  # a folder that comes first on the PATH of the dump's container
    anew: bool = False  # starts Python as a Pod does, which is what a measurement is about

    def next(self, **changes: Any) -> "Attempt":
        """Return the following attempt of the same run."""
        return replace(self, attempt=self.attempt + 1, **changes)

    def body(self) -> dict[str, Any]:
        """Return the order as the controller writes it."""
        spec = {
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
            "migrations": {"tool": "sql", "inline": {"files": dict(self.files)}},
        }
        if self.project is not None:
            spec["migrations"] = {"tool": "alembic", "image": "shop:1"}
            spec["migrations"]["databaseURL"] = {"scheme": "postgresql+psycopg"}
        for path, value in self.spec:
            *parents, leaf = path.split(".")
            place = spec
            for each in parents:
                place = place.setdefault(each, {})
            place[leaf] = value
        return {
            "segment": self.segment,
            "namespace": "team",
            "name": self.name,
            "uid": self.uid,
            "cluster": "cluster-1",
            "number": 1,
            "run": self.run,
            "attempt": self.attempt,
            "spec": spec,
        } | dict(self.order)

    @property
    def root(self) -> Path:
        """The folder of what Kubernetes would mount: the sockets in it may have 107 bytes."""
        whole = f"{self.name}-{self.run}-{self.segment}-{self.attempt}"
        return self.folder / hashlib.sha256(whole.encode()).hexdigest()[:6]

    def mount(self) -> Path:
        """Write what Kubernetes would mount; return the folder."""
        root = self.root
        for part in ("order", "database", "shared"):
            (root / part).mkdir(parents=True, exist_ok=True)
        (root / "order/order.json").write_text(json.dumps(self.body()))
        if self.url:
            (root / "database/url").write_text(self.url + "\n")
        if self.dumper is not None and not (root / "dump").exists():
            (root / "dump").symlink_to(self.folder / "claim")
        return root

    def start(self) -> "RunnerProcess":
        """Start the runner; `finish` gives its answer."""
        root = self.mount()
        message = root / "message"
        message.write_text("")
        environment = os.environ | {
            "PYTHONPATH": str(ROOT / "operator"),
            "WHIMBREL_ROOT": str(root),
            "WHIMBREL_TERMINATION_LOG": str(message),
        }
        measures = self.segment in {moment.value for moment in Moment}
        module = "whimbrel.runner.probes" if measures else "whimbrel.runner"
        if self.anew or self.machine or self.resolver is not None:
            process = self._start_anew(module, environment)
        else:
            process = start_module(module, [], environment, err=subprocess.STDOUT)
        return RunnerProcess(process, message, self._start_tool(root), self._start_dumper(root))

    def _start_anew(self, module: str, environment: dict[str, str]) -> subprocess.Popen:
        """Start Python, with another host name or another resolver if that is asked for."""
        command = [sys.executable, "-m", module]
        if self.machine:
            script = 'hostname "$0" && exec "$@"'
            command = ["unshare", "--uts", "sh", "-c", script, self.machine, *command]
        if self.resolver is not None:
            script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", script, str(self.resolver), *command]
        return subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _start_tool(self, root: Path) -> subprocess.Popen | None:
        """Start the launcher, as the container of the user's image does."""
        if self.project is None:
            return None
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        if self.programs is not None:
            path = f"{self.programs}:{path}"
        return subprocess.Popen(
            [built_launcher(), "serve", str(root / "shared/tool.sock")],
            cwd=self.project,
            env={"PATH": path, "HOME": str(self.folder), "LANG": "C.UTF-8"},
        )

    def _start_dumper(self, root: Path) -> subprocess.Popen | None:
        """Start the launcher, as the container of the dump's image does; one claim for all."""
        if self.dumper is None:
            return None
        claim = self.folder / "claim"
        if not claim.exists():
            claim.mkdir()
        return subprocess.Popen(
            [built_launcher(), "serve", str(root / "shared/dump.sock")],
            env={"PATH": f"{self.dumper}:{os.environ['PATH']}", "HOME": str(self.folder)},
        )

    def run_to_end(self) -> "Answer":
        """Start the runner and wait for its end."""
        return self.start().finish()


@dataclass(frozen=True)
class Answer:
    """What a Job would show."""

    code: int
    result: dict[str, Any]
    log: str


@dataclass(frozen=True)
class RunnerProcess:
    """A running runner."""

    process: Process
    message: Path
    tool: subprocess.Popen | None = None
    dumper: subprocess.Popen | None = None

    def finish(self, seconds: float = 60) -> Answer:
        """Wait for the end."""
        try:
            log, _ = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
            self.process.stdout.close()
        for each in filter(None, (self.tool, self.dumper)):
            each.wait(timeout=10)
        text = self.message.read_text()
        return Answer(self.process.returncode, json.loads(text) if text else {}, log)


def attempt_on(database: Postgres, folder: Path, files: dict[str, str], **more: Any) -> Attempt:
    """Return the first attempt at applying files to a database."""
    return Attempt(folder, database.url, tuple(files.items()), **more)
