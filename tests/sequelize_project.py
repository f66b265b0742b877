"""The example of Sequelize as its image holds it."""

import shutil
from pathlib import Path

from tests.npm_projects import made
from tests.processes import ROOT

EXAMPLE = ROOT / "examples/tools/sequelize"
ONE, TWO, THREE = (
    "20260101090000-create-people.js",
    "20260102090000-fill-email.js",
    "20260103090000-email-is-unique.js",
)


def copied(folder: Path) -> Path:
    """Copy the project, with a link to its packages."""
    packages = made(EXAMPLE) / "node_modules"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules"))
    (folder / "node_modules").symlink_to(packages)
    return folder


def write(project: Path, name: str, *up: str, down: str = "SELECT 1") -> Path:
    """Write a migration of SQL statements, each of which commits by itself."""
    forth = " ".join(f"await q.sequelize.query(`{each}`);" for each in up)
    path = project / "migrations" / name
    path.write_text(
        f"module.exports = {{\n  async up(q) {{ {forth} }},\n"
        f"  async down(q) {{ await q.sequelize.query(`{down}`); }},\n}};\n"
    )
    return path
