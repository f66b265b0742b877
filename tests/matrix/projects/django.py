"""A project of Django: the example, with further migrations of its own SQL."""

import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from tests.matrix.server import Server
from tests.processes import ROOT

TEXT = """
from django.db import migrations
class Migration(migrations.Migration):
    dependencies = [("people", "{below}")]
    operations = [migrations.RunSQL({up!r}, {down!r})]
"""
SCHEMES = {"postgresql": "postgresql", "mariadb": "mysql"}


class DjangoProject:
    """The example of docs/tools/django.md."""

    table = "people"
    interpreters = ("python", "python3")

    def __init__(self, folder: Path, server: Server) -> None:
        """Copy it."""
        ignore = shutil.ignore_patterns("__pycache__")
        self.folder = Path(shutil.copytree(ROOT / "examples/tools/django", folder, ignore=ignore))
        names = sorted(each.stem for each in self._migrations().glob("0*.py"))
        self.revisions = [f"people:{name}" for name in names]
        scheme = SCHEMES[server.kind]
        self.migrations = {
            "tool": "django",
            "image": "shop:1",
            "databaseURL": {"scheme": scheme},
        }

    def _migrations(self) -> Path:
        return self.folder / "people/migrations"

    def add(self, title: str, up: Sequence[str], down: Sequence[str]) -> None:
        """Write one more migration of the app."""
        there = list(self._migrations().glob(f"*_{title}.py"))
        name = there[0].stem if there else f"{len(self.revisions) + 1:04}_{title}"
        if not there:
            self.revisions.append(f"people:{name}")
        below = self.revisions[self.revisions.index(f"people:{name}") - 1].partition(":")[2]
        text = TEXT.format(below=below, up=list(up), down=list(down))
        (self._migrations() / f"{name}.py").write_text(text)

    def edit(self, revision: str) -> str:
        """Add a comment."""
        file = self._migrations() / f"{revision.partition(':')[2]}.py"
        file.write_text(file.read_text() + "\n# a thought that came later\n")
        return file.name

    def version(self) -> str:
        """Ask the installed package."""
        return f"Django {version('django')}"
