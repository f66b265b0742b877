"""Every question is answered at a terminal that keeps its records in either place."""

from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal


@pytest.fixture(params=["default place", "--state-dir"])
def terminal(request, tmp_path: Path, database: Postgres) -> Terminal:
    more = {} if request.param == "default place" else {"WHIMBREL_STATE_DIR": "kept here/state"}
    return Terminal(tmp_path, database.url, more)
