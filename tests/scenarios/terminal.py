"""`whimbrel` at a terminal: the real process, in a directory of its own."""

import json
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.forked import Process, start_module
from tests.postgres import Postgres

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(r"^(?:do|.*go on with): (whimbrel .*)$", re.MULTILINE)
SHELL = re.compile(r"[|&;<>$`*?~{}\[\]()\\\n]")  # what a shell would do more with than take words
# As a URL's password in a Secret: with the characters that break careless code.
PASSWORDS = ("p%40w#1", "p%2540w%231", "p@w#1")


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        """Return everything that a person saw."""
        return self.out + self.err

    @property
    def command(self) -> str:
        """Return the one command that was printed for a human."""
        found = COMMAND.findall(self.text)
        assert len(found) == 1, self.text
        return found[0]


@dataclass(frozen=True)
class Terminal:
    """A directory, and the environment of a shell in it."""

    home: Path
    url: str = ""
    more: dict[str, str] = field(default_factory=dict)
    tools: tuple[Path, ...] = ()  # folders in front of the others on PATH

    def environment(self) -> dict[str, str]:
        """Return the variables; `whimbrel` is on PATH, a kubeconfig is not there."""
        programs = self.home / "bin"
        programs.mkdir(exist_ok=True)
        program = programs / "whimbrel"
        if not program.exists():  # one that is being started may not be written to
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -m whimbrel.cli "$@"\n')
            program.chmod(0o755)
        given = {"WHIMBREL_URL": self.url} if self.url else {}
        return {
            "PATH": os.pathsep.join(
                [
                    *map(str, (programs, *self.tools, Path(sys.executable).parent)),
                    os.environ["PATH"],
                ]
            ),
            "PYTHONPATH": str(ROOT / "operator"),
            "HOME": str(self.home),
            **given,
            **self.more,
        }

    def start(self, line: str) -> Process:
        """Start a command line, exactly as a person would type it."""
        program, *words = shlex.split(line)
        if program == "whimbrel" and not SHELL.search(line):
            environment = self.environment()
            return start_module("whimbrel.cli", words, environment, self.home, err=subprocess.PIPE)
        return subprocess.Popen(
            ["bash", "-c", f"exec {line}"],
            cwd=self.home,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def type(self, line: str, *, seconds: float = 90) -> Said:
        """Run a command line to its end; no password was ever shown, nor a traceback."""
        process = self.start(line)
        out, err = process.communicate(timeout=seconds)
        said = Said(process.returncode, out, err)
        assert not [each for each in PASSWORDS if each in said.text], said
        assert "Traceback" not in said.text, said.text
        return said

    def manifest(self, files: dict[str, str], name: str = "shop", **spec: object) -> str:
        """Write a manifest with inline files and return its file name."""
        source = {"inline": {"files": files}} if files else {}
        migrations = {"tool": "sql", **source, **spec.pop("migrations", {})}
        body = {
            "apiVersion": "whimbrel.dev/v1alpha1",
            "kind": "DatabaseMigration",
            "metadata": {"name": name, "namespace": "team"},
            "spec": {
                "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
                "migrations": migrations,
                **spec,
            },
        }
        (self.home / f"{name}.yaml").write_text(yaml.safe_dump(body))
        return shlex.quote(f"{name}.yaml")


def await_sleeper(database: Postgres) -> None:
    """Wait until the server itself says that the long statement runs."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query ~ '60'"
    with database.connect() as session:
        for _ in range(2_000):
            if session.execute(asked).fetchone() == (1,):
                return
            session.execute("SELECT pg_sleep(0.02)")
    raise AssertionError("the statement never ran")


def half_done(said: Said) -> str:
    """Return what a run says that is Held with half a migration."""
    told = json.loads(said.out)
    assert (said.code, told["outcome"], told["reason"]) == (3, "Held", "HalfDone"), said
    return told["message"]
