"""docs/tools/matrix.md: written by the soak run, and what a run of the tests is held against."""

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.matrix.cases import CASES
from tests.processes import ROOT

FILE = ROOT / "docs/tools/matrix.md"
NOT_RUN = "not run here"
Words = Mapping[tuple[str, str, str], str]  # (tool, database, case) -> word
_HEAD = """# Tools, databases, cases

Written by `make soak` on {date}: each cell is a real process against a real server. `make test`
runs a sample and fails where a cell differs.

- **as before**: the run failed, was read back, and the database is as it was before the run.
- **half stays, held**: the tool, or the database, committed a part by itself. Whimbrel says so,
  takes nothing for applied, and waits for a person; the case goes on as the message says.
- **once**: what the migration does was done exactly once.
- **yes, not started**: nothing was to do, and the tool was not even started.
- **refused**: exit code 2 before anything was touched; the sentence names the file.
- **not run here**: the machine of the run had no interpreter for it (Django 6 needs Python 3.12).

A tool's manifest is the same for both databases, and the Secret's URL decides; but for **prisma**,
whose SQL belongs to one provider: its two manifests differ in `prisma.path`
([why](prisma.md#mariadb)).

Versions: {versions}.

"""


def write_table(words: Words, versions: Iterable[str], file: Path = FILE) -> None:
    """Write the file anew."""
    names = list(CASES)
    lines = [f"| tool | database | {' | '.join(names)} |", "|---" * (len(names) + 2) + "|"]
    for tool, database in dict.fromkeys((tool, database) for tool, database, _ in words):
        cells = " | ".join(words[tool, database, name] for name in names)
        lines.append(f"| {tool} | {database} | {cells} |")
    head = _HEAD.format(
        date=dt.datetime.now(dt.UTC).date(), versions=", ".join(sorted(set(versions)))
    )
    file.write_text(head + "\n".join(lines) + "\n")


def read_table(file: Path = FILE) -> dict[tuple[str, str, str], str]:
    """Return the words of the committed file."""
    rows = [
        [cell.strip() for cell in line.strip("|\n").split("|")]
        for line in file.read_text().splitlines()
        if line.startswith("| ")
    ]
    (_, _, *names), *body = rows
    return {
        (tool, database, name): word
        for tool, database, *words in body
        for name, word in zip(names, words, strict=True)
    }
