"""What the cases of the matrix ask of a project, whatever its tool."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Project(Protocol):
    """A user's project with three migrations: create, data transformation, constraint.

    Attributes:
        folder: Where it lies.
        revisions: Names of its migrations as `migrations.to` takes them, oldest first.
        table: Where the two people of the example are.
        interpreters: Programs that would have to be started to start the tool.
        migrations: `spec.migrations` of a manifest for it.
    """

    folder: Path
    revisions: list[str]
    table: str
    interpreters: tuple[str, ...]
    migrations: Mapping[str, object]

    def add(self, title: str, up: Sequence[str], down: Sequence[str]) -> None:
        """Write the next migration, or the newest one again if it has that title."""

    def edit(self, revision: str) -> str:
        """Change the text of a migration so that it means the same; return its file's name."""

    def version(self) -> str:
        """Return the tool's name and version as the table shows it."""
