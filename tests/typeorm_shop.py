"""The example of TypeORM as its image holds it, and further migrations, in plain JavaScript."""

from pathlib import Path
from typing import Final

from tests.npm_projects import made
from tests.processes import ROOT

ONE, TWO, THREE = (
    "CreatePeople1767225600000",
    "FillEmail1767312000000",
    "EmailIsUnique1767398400000",
)
OLD: Final = ROOT / "tests/npm/typeorm03"
CLASS: Final = """
exports.{name} = class {name} {{
  {transaction}
  async up(q) {{
    {up}
  }}
  async down(q) {{
    {down}
  }}
}};
"""


def copied(folder: Path, *, old: bool = False) -> Path:
    """Return a copy of what the image holds; `old`: with TypeORM 0.3."""
    built = made(ROOT / "examples/tools/typeorm", "build")
    for file in (built / "dist").rglob("*.js"):
        copy = folder / file.relative_to(built)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    modules = made(OLD) if old else built
    (folder / "node_modules").symlink_to(modules / "node_modules")
    return folder


def migration(folder: Path, name: str, up: str = "", **further: str) -> Path:
    """Write a migration; `name` ends in its time stamp."""
    words = {"transaction": "", "down": "", **further}
    file = folder / f"dist/migrations/{name[-13:]}-{name[:-13]}.js"
    file.write_text(CLASS.format(name=name, up=up, **words))
    return file


def query(statement: str, *parameters: object) -> str:
    """Return the JavaScript that runs a statement."""
    return f"await q.query({statement!r}, {[*parameters]!r});"
