"""`whimbrel run --project DIR` with Sequelize: node on PATH, the project's own packages."""

import json
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import Terminal
from tests.sequelize_project import ONE, THREE, copied

pytestmark = pytest.mark.sampled("a tool at the terminal")


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    copied(tmp_path / "project")
    return Terminal(tmp_path, database.url)


def manifest(terminal: Terminal, **migrations: object) -> str:
    source = {"tool": "sequelize", "image": "shop:1", "workingDir": "/app"}
    return terminal.manifest({}, migrations=source | migrations)


def test_up_and_back(terminal: Terminal):
    file = manifest(terminal)
    said = terminal.type(f"whimbrel run {file} --project project -o json")
    assert said.code == 0, said
    assert json.loads(said.out)["revision"] == THREE
    # The project is remembered: nothing more has to be said.
    back = terminal.type(f"whimbrel rollback shop --to {ONE} -o json")
    assert (back.code, json.loads(back.out)["revision"]) == (0, ONE), back


def test_a_project_without_its_packages_is_one_sentence(terminal: Terminal, tmp_path: Path):
    (tmp_path / "project/node_modules").unlink()
    said = terminal.type(f"whimbrel run {manifest(terminal)} --project project")
    assert said.code == 2, said
    assert "run npm ci" in said.err
