"""A migration directory of Prisma's."""

from collections.abc import Sequence
from pathlib import Path

from tests.matrix.projects.sql import FIRST, TEXT
from tests.matrix.server import Server


class PrismaProject:
    """Folders with migration.sql and down.sql."""

    table = "people"
    interpreters = ()

    def __init__(self, folder: Path, server: Server) -> None:
        """Write the first three."""
        self.folder = folder
        self.revisions: list[str] = []
        self.migrations = {"tool": "prisma", "image": "shop:1"}
        text = TEXT[server.kind]
        for title, up, down in FIRST:
            self.add(title, [each.format(text=text) for each in up], down)

    def add(self, title: str, up: Sequence[str], down: Sequence[str]) -> None:
        """Write one more folder."""
        there = [each for each in self.revisions if each.endswith(f"_{title}")]
        name = there[0] if there else f"202601{len(self.revisions) + 1:02}090000_{title}"
        if not there:
            self.revisions.append(name)
        place = self.folder / "prisma/migrations" / name
        place.mkdir(parents=True, exist_ok=True)
        for word, statements in (("migration", up), ("down", down)):
            (place / f"{word}.sql").write_text("".join(f"{each};\n" for each in statements))

    def edit(self, revision: str) -> str:
        """Add a comment."""
        name = f"{revision}/migration.sql"
        file = self.folder / "prisma/migrations" / name
        file.write_text(file.read_text() + "-- a thought that came later\n")
        return name

    def version(self) -> str:
        """Return what the directory is: no Prisma is started."""
        return "migration directory of Prisma 6 and 7"
