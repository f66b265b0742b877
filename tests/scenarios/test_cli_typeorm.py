"""`whimbrel run --project DIR` with TypeORM: the compiled project, with the node on PATH."""

import json
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal
from tests.typeorm_shop import THREE, copied

pytestmark = pytest.mark.sampled("a tool at the terminal")


def test_plan_and_run(tmp_path: Path, database: Postgres):
    copied(tmp_path / "project")
    terminal = Terminal(tmp_path, database.url)
    source = {"tool": "typeorm", "image": "shop:1", "workingDir": "/app"}
    file = terminal.manifest({}, migrations=source)
    planned = terminal.type(f"whimbrel plan {file} --project project")
    assert planned.code == 0, planned
    assert f"from nothing to {THREE}" in planned.out
    assert "typeorm migration:run" in planned.out
    # `typeorm migration:show` would have made its table.
    assert database.run("SELECT to_regclass('migrations')") == [(None,)]
    said = terminal.type(f"whimbrel run {file} --project project -o json")
    assert said.code == 0, said
    assert json.loads(said.out)["revision"] == THREE
