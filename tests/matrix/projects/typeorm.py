"""A project of TypeORM: the compiled example, with further migrations of its own SQL."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.matrix.server import Server
from tests.typeorm_shop import ONE, THREE, TWO, copied, migration, query

STAMP = 1767484800000  # of the first one more
SCHEMES = {"postgresql": "postgresql", "mariadb": "mariadb"}


class TypeormProject:
    """The example of docs/tools/typeorm.md."""

    table = "people"
    interpreters = ("node", "nodejs")

    def __init__(self, folder: Path, server: Server) -> None:
        """Copy it."""
        self.folder = copied(folder)
        self.revisions = [ONE, TWO, THREE]
        self.migrations = {
            "tool": "typeorm",
            "image": "shop:1",
            "databaseURL": {"scheme": SCHEMES[server.kind]},
        }

    def add(self, title: str, up: Sequence[str], down: Sequence[str]) -> None:
        """Write one more class."""
        there = [name for name in self.revisions if name.startswith(f"{title.title()}1")]
        name = there[0] if there else f"{title.title()}{STAMP + len(self.revisions)}"
        if not there:
            self.revisions.append(name)
        words = ["\n    ".join(map(query, statements)) for statements in (up, down)]
        migration(self.folder, name, up=words[0], down=words[1])

    def edit(self, revision: str) -> str:
        """Add a comment."""
        (file,) = self.folder.glob(f"dist/migrations/*-{revision[:-13]}.js")
        file.write_text(file.read_text() + "\n// a thought that came later\n")
        return file.name

    def version(self) -> str:
        """Read the installed package's own file."""
        package = json.loads((self.folder / "node_modules/typeorm/package.json").read_text())
        return f"TypeORM {package['version']}"
