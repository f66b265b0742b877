"""A project of Alembic: the example, whose migrations decide by dialect where they must."""

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.matrix.server import Server
from tests.processes import ROOT

TEXT = '''"""{title}"""

from alembic import op

revision = "{number:04}"
down_revision = "{below:04}"


def upgrade():
    for statement in {up!r}:
        op.execute(statement)


def downgrade():
    for statement in {down!r}:
        op.execute(statement)
'''
SCHEMES = {"postgresql": "postgresql+psycopg", "mariadb": "mysql+pymysql"}


class AlembicProject:
    """The example of docs/tools/alembic.md."""

    table = "users"
    interpreters = ("python", "python3")

    def __init__(self, folder: Path, server: Server) -> None:
        """Copy it."""
        ignore = shutil.ignore_patterns("__pycache__")
        self.folder = Path(shutil.copytree(ROOT / "examples/tools/alembic", folder, ignore=ignore))
        self.revisions = ["0001", "0002", "0003"]
        self.migrations = {
            "tool": "alembic",
            "image": "shop:1",
            "databaseURL": {"scheme": SCHEMES[server.kind]},
        }

    def add(self, title: str, up: Sequence[str], down: Sequence[str]) -> None:
        """Write one more revision."""
        versions = self.folder / "migrations/versions"
        there = list(versions.glob(f"*_{title}.py"))
        number = int(there[0].name[:4]) if there else len(self.revisions) + 1
        if not there:
            self.revisions.append(f"{number:04}")
        words = {"title": title, "number": number, "below": number - 1, "up": up, "down": down}
        (versions / f"{number:04}_{title}.py").write_text(TEXT.format(**words))

    def edit(self, revision: str) -> str:
        """Add a comment."""
        (file,) = (self.folder / "migrations/versions").glob(f"{revision}_*.py")
        file.write_text(file.read_text() + "\n# a thought that came later\n")
        return file.name

    def version(self) -> str:
        """Ask the installed package."""
        return f"Alembic {version('alembic')}"
