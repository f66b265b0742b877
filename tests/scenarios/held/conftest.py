"""Every question is answered at a terminal whose records are not in the usual place."""

from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal

ELSEWHERE = {"WHIMBREL_STATE_DIR": "kept here/state"}


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    """A terminal with its records elsewhere: each printed command has to say where."""
    return Terminal(tmp_path, database.url, ELSEWHERE)
