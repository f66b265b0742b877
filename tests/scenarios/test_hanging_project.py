"""A project that does not come to an end while it is read: a stop ends it, and so does a limit."""

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests import django_project, typeorm_shop
from tests.forked import Process
from tests.postgres import Postgres
from tests.runner_process import Attempt
from tests.scenarios.terminal import Terminal
from tests.scenarios.test_cli_alembic import manifest as alembic_manifest, terminal
from tests.scenarios.tool_runs import first_attempt
from whimbrel.model.errors import TransientError
from whimbrel.model.order import Order
from whimbrel.runner import project as reading
from whimbrel.runner.holding import manners_of
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.urls import parse_target

pytestmark = pytest.mark.sampled("a project that hangs")

SECONDS = 7
HANGS = """
import pathlib, time
pathlib.Path("hangs").touch()
{how}
time.sleep(300)
"""
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
__all__ = ["terminal"]


def wait_for(file: Path, process: Process) -> None:
    """Wait until the project says that it is being read."""
    while not file.exists():
        assert process.poll() is None, process.communicate()
        threading.Event().wait(0.02)


def stopped_within(seconds: float, process: Process, number: int) -> tuple[int, str, str]:
    """Send a signal; return the exit code and what was said, which comes soon."""
    process.send_signal(number)
    try:
        out, err = process.communicate(timeout=seconds)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("how", ["", DEAF], ids=["asleep", "deaf"])
def test_a_signal_at_a_terminal_ends_the_reading(
    command: str, number: int, how: str, terminal: Terminal, database: Postgres
):
    project = terminal.home / "project"
    (project / "migrations/versions/0004_hangs.py").write_text(HANGS.format(how=how))
    process = terminal.start(
        f"whimbrel {command} {alembic_manifest(terminal)} --project project -o json"
    )
    wait_for(project / "hangs", process)
    # It is killed 5 s after it was asked to end.
    code, out, err = stopped_within(4 * SECONDS if how else SECONDS, process, number)
    assert (code, "Traceback" in err) == (75, False), (out, err)
    assert "stopped on request while the project was read" in out + err
    assert database.run("SELECT to_regnamespace('whimbrel')") == [(None,)]
    # For the author of the project; of `plan -o json` only the answer is shown.
    assert how or command == "plan" or '0004_hangs.py", line 5' in err
    (project / "migrations/versions/0004_hangs.py").unlink()
    assert terminal.type(f"whimbrel run {alembic_manifest(terminal)} --project project").code == 0


def hang_in_settings(folder: Path) -> Path:
    settings = django_project.copied(folder) / "shop/settings.py"
    settings.write_text(HANGS.format(how="") + settings.read_text())
    return folder


def hang_in_data_source(folder: Path) -> Path:
    source = typeorm_shop.copied(folder) / "dist/data-source.js"
    touch = 'require("fs").writeFileSync("hangs", "");'
    source.write_text(f"{touch} while (true);\n{source.read_text()}")
    return folder


MADE = {"django": hang_in_settings, "typeorm": hang_in_data_source}


@pytest.mark.parametrize("tool", MADE)
def test_a_pod_that_is_stopped_ends_the_reading(tool: str, database: Postgres, tmp_path: Path):
    project = MADE[tool](tmp_path / "app")
    with first_attempt(database, project, tool) as attempt:
        running = attempt.start()
        wait_for(project / "hangs", running.process)
        running.process.send_signal(signal.SIGTERM)
        answer = running.finish(SECONDS)
    assert (answer.code, answer.result["reason"]) == (75, "Stopped"), answer
    assert "while the project was read" in answer.result["message"]


def place_of(database: Postgres, project: Path) -> Surroundings:
    target = parse_target(database.url)
    return Surroundings(target, None, None, LocalTool(project), lambda _: None, threading.Event())


@pytest.mark.parametrize("tool", MADE)
def test_a_limit_ends_the_reading_and_says_what_hangs(
    tool: str, database: Postgres, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(reading, "READ_LIMIT", 3.0)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    project = MADE[tool](tmp_path / "app")
    with first_attempt(database, project, tool) as attempt:
        order, place = order_of(attempt), place_of(database, project)
        with pytest.raises(TransientError) as hung:
            reading.read_source(order, place, str, manners_of(order))
    assert hung.value.reason == "ProjectHangs"
    title = {"django": "Django", "typeorm": "TypeORM"}[tool]
    assert f"{title} had not read its project after 3 s" in hung.value.message


def order_of(attempt: Attempt) -> Order:
    return Order.model_validate_json(json.dumps(attempt.body()))
