"""The whole runner where nothing has changed: its tool is not started, and what starts it again."""

import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.db.orders import until
from tests.postgres import Postgres
from tests.processes import ROOT
from tests.runner_process import Answer, Attempt

RUN = uuid.uuid4().hex[:12]
SPECS = {
    "alembic": (),
    "django": (("migrations.tool", "django"), ("migrations.databaseURL.scheme", "postgresql")),
}
# It stands where the tool's python is looked for first, and writes down what it was asked for.
STUB = """#!/bin/sh
for last; do :; done
echo "$last" >> {log}
exec {python} "$@"
"""


class Project:
    """A project whose every start of the tool is counted."""

    def __init__(self, database: Postgres, app: Path, folder: Path, tool: str) -> None:
        self.app, self.log, self.number = app, folder / "starts", 0
        self.log.touch()
        program = folder / "bin/python"
        program.parent.mkdir()
        program.write_text(STUB.format(log=self.log, python=sys.executable))
        program.chmod(0o755)
        self.attempt = Attempt(folder, database.url, (), app, spec=SPECS[tool])
        self.attempt = replace(self.attempt, programs=program.parent)

    def run(self, **changes: object) -> tuple[list[str], Answer]:
        """Return what was started, and the answer of a run of its own."""
        self.number += 1
        self.log.write_text("")
        run = replace(self.attempt, run=f"{RUN}-{self.number}", order=(("number", self.number),))
        answer = replace(run, **changes).run_to_end()
        return self.log.read_text().split(), answer

    def age(self) -> None:
        """Wait until the last change of the project is old enough to be told from the next one."""
        paths = [self.app, *self.app.rglob("*")]
        newest = max(each.stat().st_ctime for each in paths)
        until(lambda: time.time() > newest + 0.1)


@pytest.fixture
def project(request, database: Postgres, tmp_path: Path) -> Iterator[Project]:
    ignore = shutil.ignore_patterns("__pycache__")
    app = shutil.copytree(ROOT / f"examples/tools/{request.param}", tmp_path / "app", ignore=ignore)
    # Not tmp_path: a Unix socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="w") as folder:
        yield Project(database, Path(app), Path(folder), request.param)


@pytest.mark.parametrize("project", SPECS, indirect=True)
@pytest.mark.sampled("a tool with nothing new")
def test_a_second_run_does_not_start_the_tool_until_something_is_new(
    project: Project, database: Postgres
):
    project.age()
    started, first = project.run()
    assert (first.code, started[0]) == (0, "inspect"), first
    started, second = project.run()
    assert (second.code, second.result["outcome"], started) == (0, "NothingToDo", []), second
    assert second.result["revision"] == first.result["revision"]
    note = project.app / "note.py"
    note.write_text("")
    project.age()
    started, third = project.run()
    assert (third.result["outcome"], started) == ("NothingToDo", ["inspect"]), third
    assert third.result["planDigest"] == second.result["planDigest"]
    assert project.run()[0] == []


@pytest.mark.parametrize("project", ["alembic"], indirect=True)
@pytest.mark.sampled("a tool with nothing new")
def test_a_run_that_did_not_end_well_is_no_base(project: Project, database: Postgres):
    project.age()
    project.run()
    assert project.run()[0] == []
    back = (*project.attempt.spec, ("migrations.to", "0001"))
    started, lower = project.run(spec=back)
    assert (lower.result["revision"], started[0]) == ("0001", "inspect"), lower
    started, up = project.run()
    assert (up.result["revision"], started[0]) == ("0003", "inspect"), up
    assert project.run()[0] == []
    refused = (*project.attempt.spec, ("migrations.to", "nonsense"))
    assert project.run(spec=refused)[1].result["reason"] == "UnknownRevision"
    assert project.run()[0] == ["inspect"]
