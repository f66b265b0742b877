"""Tool x database x case; whoever sees all cells writes the table, as `make soak` does."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import NUMBERS
from tests.mariadb import create_database as create_mariadb
from tests.matrix.case import Cell
from tests.matrix.cases import CASES
from tests.matrix.projects import PROGRAMS, PROJECTS
from tests.matrix.server import MariadbServer, PostgresServer, Server
from tests.matrix.table import FILE, NOT_RUN, read_table, write_table
from tests.postgres import Postgres, create_database
from tests.scenarios.terminal import Terminal

# What is carried on each kind of server.
CARRIED = {
    "postgresql": tuple(PROJECTS),
    "mariadb": tuple(PROJECTS),
}
Key = tuple[str, str, str]
ROWS = [(tool, kind) for tool in PROJECTS for kind in CARRIED if tool in CARRIED[kind]]
ALL: list[Key] = [(*row, case) for row in ROWS for case in CASES]
HERE = [key for key in ALL if key[0] not in PROGRAMS or PROGRAMS[key[0]].exists()]


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
    tools = (PROGRAMS[request.param],) if request.param in PROGRAMS else ()
    return Cell(project, server, Terminal(tmp_path, server.url, tools=tools))


def cells(keys: list[Key]) -> pytest.MarkDecorator:
    """Parametrize by cells."""
    names = [" x ".join(key).replace(" ", "-") for key in keys]
    values = [(tool, kind, case) for tool, kind, case in keys]
    return pytest.mark.parametrize(
        ("cell", "server", "case"), values, indirect=["cell", "server"], ids=names
    )


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[Key, tuple[str, tuple[str, str]]]]:
    """Collect the words; when all cells were seen, the table is written."""
    words: dict[Key, tuple[str, tuple[str, str]]] = {}
    yield words
    if set(words) == set(HERE):
        versions = [each for _, both in words.values() for each in both]
        table = {key: words[key][0] if key in words else NOT_RUN for key in ALL}
        write_table(table, versions)


@cells(HERE)
@pytest.mark.sampled("the matrix")
def test_a_cell_is_as_the_table_says(
    cell: Cell, case: str, request: pytest.FixtureRequest, seen: dict
):
    tool, kind = request.node.callspec.params["cell"], request.node.callspec.params["server"]
    word = CASES[case](cell)
    seen[tool, kind, case] = word, (cell.project.version(), cell.server.version())
    table = read_table() if FILE.exists() else {}
    there = table.get((tool, kind, case), NOT_RUN)
    is_new = os.environ.get("WHIMBREL_SOAK") and there == NOT_RUN
    assert is_new or there == word
