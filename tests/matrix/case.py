"""A cell's workplace: a project, a fresh database, and the commands that a person types."""

import json
import shlex
from dataclasses import dataclass

from tests.forked import Process
from tests.matrix.project import Project
from tests.matrix.server import Server
from tests.scenarios.terminal import Said, Terminal

STARTS = "starts"


@dataclass(frozen=True)
class Cell:
    """One cell of the matrix at work."""

    project: Project
    server: Server
    terminal: Terminal

    def manifest(self, to: str = "", name: str = "shop") -> str:
        """Write the manifest, for the newest migration or another, and return its file name."""
        wanted = to or self.project.revisions[-1]
        spec = {**self.project.migrations, "to": wanted}
        return self.terminal.manifest({}, name, migrations=spec)

    def line(self, to: str = "", name: str = "shop") -> str:
        """Return the command that carries the manifest out."""
        folder = shlex.quote(str(self.project.folder))
        file = self.manifest(to, name)
        return f"whimbrel run {file} --project {folder} --state-dir state-{name} -o json"

    def go(self, to: str = "", name: str = "shop") -> Said:
        """Carry it out."""
        return self.terminal.type(self.line(to, name))

    def start(self, to: str = "", name: str = "shop") -> Process:
        """Begin to carry it out."""
        return self.terminal.start(self.line(to, name))

    def retry(self) -> Said:
        """Say that it may go on, and carry it out."""
        said = self.terminal.type("whimbrel retry shop --state-dir state-shop -o json")
        assert said.code == 0, said
        return self.go()

    def record_starts(self) -> None:
        """Put a program that notes its start in front of each one that could start the tool."""
        self.terminal.environment()  # makes the folder
        for program in self.project.interpreters:
            stub = self.terminal.home / "bin" / program
            notes = shlex.quote(str(self.terminal.home / STARTS))
            # The next one on PATH, which is never this folder.
            stub.write_text(
                f'#!/bin/bash\necho {program} >>{notes}\nPATH="${{PATH#*:}}" exec {program} "$@"\n'
            )
            stub.chmod(0o755)

    def starts(self) -> int:
        """Return how often a tool was started."""
        notes = self.terminal.home / STARTS
        return len(notes.read_text().splitlines()) if notes.exists() else 0


def answer(said: Said) -> dict[str, object]:
    """Return the result that was printed."""
    return json.loads(said.out)
