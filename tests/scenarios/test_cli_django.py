"""`whimbrel run --project DIR` with Django: the project's own manage.py, found on PATH."""

import json
import shutil
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.terminal import ROOT, Terminal

pytestmark = pytest.mark.sampled("a tool at the terminal")

ONE = "people:0001_create_people"


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "examples/tools/django", tmp_path / "project", ignore=ignore)
    return Terminal(tmp_path, database.url)


def manifest(terminal: Terminal, **migrations: object) -> str:
    source = {"tool": "django", "image": "shop:1", "workingDir": "/app"}
    return terminal.manifest({}, migrations=source | migrations)


def test_up_and_back(terminal: Terminal, database: Postgres):
    file = manifest(terminal)
    planned = terminal.type(f"whimbrel plan {file} --project project")
    assert planned.code == 0, planned
    assert "from nothing to people:0003_email_is_unique" in planned.out
    assert database.run("SELECT to_regclass('people')") == [(None,)]
    said = terminal.type(f"whimbrel run {file} --project project -o json")
    assert said.code == 0, said
    assert json.loads(said.out)["revision"] == "people:0003_email_is_unique"
    # The project is remembered: nothing more has to be said.
    back = terminal.type(f"whimbrel rollback shop --to {ONE} -o json")
    assert (back.code, json.loads(back.out)["revision"]) == (0, ONE), back
    assert json.loads(back.out)["salvage"]
    assert terminal.type("whimbrel history shop").code == 0


def test_an_unknown_migration_is_one_sentence(terminal: Terminal):
    said = terminal.type(f"whimbrel run {manifest(terminal, to='people:9999')} --project project")
    assert said.code == 2, said
    assert "people:9999" in said.err
