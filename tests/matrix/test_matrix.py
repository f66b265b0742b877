"""Tool x database x case. `make test` draws a sample, `make soak` takes all and writes the table.

The sample holds every tool, every database and every case at least once.
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.mariadb import create_database as create_mariadb
from tests.matrix.case import Cell
from tests.matrix.cases import CASES
from tests.matrix.projects import PROJECTS
from tests.matrix.server import MariadbServer, PostgresServer, Server
from tests.matrix.table import FILE, read_table, write_table
from tests.postgres import Postgres, create_database
from tests.scenarios.terminal import Terminal

SEED = int(os.environ.get("WHIMBREL_SEED", "1"))
# What is carried on each kind of server.
CARRIED = {
    "postgresql": tuple(PROJECTS),
    "mariadb": tuple(PROJECTS),
}
Key = tuple[str, str, str]
ROWS = [(tool, kind) for tool in PROJECTS for kind in CARRIED if tool in CARRIED[kind]]
ALL: list[Key] = [(*row, case) for row in ROWS for case in CASES]


def sample() -> list[Key]:
    """Return cells in which every tool, every database and every case comes."""
    draw = random.Random(SEED)
    rows = list(ROWS)
    cases = list(CASES)
    draw.shuffle(rows)
    draw.shuffle(cases)
    count = max(len(rows), len(cases))
    return [(*rows[at % len(rows)], cases[at % len(cases)]) for at in range(count)]


@pytest.fixture
def server(request) -> Server:
    name = f"matrix{next(NUMBERS)}"
    if request.param == "mariadb":
        return MariadbServer(create_mariadb(request.getfixturevalue("mariadb_server"), name))
    start: Callable[[int], Postgres] = request.getfixturevalue("postgres_server")
    return PostgresServer(create_database(start(16), name))


@pytest.fixture
def cell(request, tmp_path: Path, server: Server) -> Cell:
    project = PROJECTS[request.param](tmp_path / "project", server)
    return Cell(project, server, Terminal(tmp_path, server.url))


def cells(keys: list[Key]) -> pytest.MarkDecorator:
    """Parametrize by cells."""
    names = [" x ".join(key).replace(" ", "-") for key in keys]
    values = [(tool, kind, case) for tool, kind, case in keys]
    return pytest.mark.parametrize(
        ("cell", "server", "case"), values, indirect=["cell", "server"], ids=names
    )


@cells(sample())
def test_a_sample_is_as_the_table_says(cell: Cell, case: str, request: pytest.FixtureRequest):
    tool, kind, _ = request.node.callspec.id.split("-x-")
    assert CASES[case](cell) == read_table()[tool, kind, case]


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[Key, tuple[str, tuple[str, str]]]]:
    """Collect the words; when all cells were seen, the table is written."""
    words: dict[Key, tuple[str, tuple[str, str]]] = {}
    yield words
    if set(words) == set(ALL):
        versions = [each for _, both in words.values() for each in both]
        table = {key: words[key][0] for key in ALL}
        write_table(table, versions)


@pytest.mark.soak
@cells(ALL)
def test_every_cell(cell: Cell, case: str, request: pytest.FixtureRequest, seen: dict):
    tool, kind, _ = request.node.callspec.id.split("-x-")
    word = CASES[case](cell)
    seen[tool, kind, case] = word, (cell.project.version(), cell.server.version())
    assert not FILE.exists() or read_table().get((tool, kind, case), word) == word
