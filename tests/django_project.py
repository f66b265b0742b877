"""The example of Django as its image holds it, and further migrations of SQL."""

import shutil
from pathlib import Path

from tests.processes import ROOT

ONE, TWO, THREE = (
    "people:0001_create_people",
    "people:0002_fill_email",
    "people:0003_email_is_unique",
)
MIGRATION = """
from django.db import migrations
class Migration(migrations.Migration):
    atomic = {atomic}
    dependencies = [("people", "{below}")]
    operations = [migrations.RunSQL({up!r}, {down!r})]
"""


def copied(folder: Path) -> Path:
    """Copy the project."""
    ignore = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "examples/tools/django", folder, ignore=ignore))


def write(project: Path, name: str, up: str, **further: object) -> Path:
    """Write a migration after the example's last one; `below` names another."""
    words = {"below": THREE.partition(":")[2], "down": "SELECT 1", "atomic": True, **further}
    path = project / f"people/migrations/{name}.py"
    path.write_text(MIGRATION.format(up=up, **words))
    return path
