"""A project of Sequelize: the example, with further migrations of SQL statements."""

import json
from collections.abc import Sequence
from pathlib import Path

from tests.matrix.server import Server
from tests.sequelize_project import copied

TEXT = """
module.exports = {{
  async up(q) {{ for (const sql of {up}) await q.sequelize.query(sql); }},
  async down(q) {{ for (const sql of {down}) await q.sequelize.query(sql); }},
}};
"""
SCHEMES = {"postgresql": "postgresql", "mariadb": "mariadb"}


class SequelizeProject:
    """The example of docs/tools/sequelize.md."""

    table = "people"
    interpreters = ("node", "nodejs")

    def __init__(self, folder: Path, server: Server) -> None:
        """Copy it."""
        self.folder = copied(folder)
        self.revisions = sorted(each.name for each in (folder / "migrations").iterdir())
        scheme = SCHEMES[server.kind]
        self.migrations = {
            "tool": "sequelize",
            "image": "shop:1",
            "databaseURL": {"scheme": scheme},
        }

    def add(self, title: str, up: Sequence[str], down: Sequence[str]) -> None:
        """Write one more migration."""
        there = [each for each in self.revisions if each.endswith(f"-{title}.js")]
        name = there[0] if there else f"202601{len(self.revisions) + 1:02}090000-{title}.js"
        if not there:
            self.revisions.append(name)
        text = TEXT.format(up=json.dumps(list(up)), down=json.dumps(list(down)))
        (self.folder / "migrations" / name).write_text(text)

    def edit(self, revision: str) -> str:
        """Add a comment."""
        file = self.folder / "migrations" / revision
        file.write_text(file.read_text() + "\n// a thought that came later\n")
        return file.name

    def version(self) -> str:
        """Ask the installed packages."""
        packages = self.folder / "node_modules"
        found = [
            json.loads((packages / name / "package.json").read_text())["version"]
            for name in ("sequelize", "sequelize-cli")
        ]
        return f"Sequelize {found[0]} with sequelize-cli {found[1]}"
