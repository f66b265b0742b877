"""Without --url: an embedded PostgreSQL whose data stay in the state directory."""

import json
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import is_dead_within
from tests.scenarios.terminal import Terminal

pytestmark = pytest.mark.sampled("an embedded server")

FILES = {
    "001_a.up.sql": "CREATE TABLE a (n int); INSERT INTO a VALUES (1);",
    "001_a.down.sql": "DROP TABLE a;",
}


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """Not below tmp_path: the server's user must get there, and pytest closes that to all others.

    Any other session of pytest that begins meanwhile closes it again.
    """
    with tempfile.TemporaryDirectory(prefix="whimbrel-") as home:
        Path(home).chmod(0o711)
        yield Terminal(Path(home))


def postmaster(terminal: Terminal) -> int | None:
    found = list(terminal.home.glob(".whimbrel/postgresql/data/postmaster.pid"))
    return int(found[0].read_text().split()[0]) if found else None


def test_starts_says_where_and_stops_at_the_end(terminal: Terminal):
    file = terminal.manifest(FILES)
    said = terminal.type(f"whimbrel run {file}")
    assert said.code == 0, said
    assert f"data in {terminal.home}/.whimbrel/postgresql" in said.err
    assert "warning" not in said.err, "its login is the only one, and nothing can be done about it"
    assert postmaster(terminal) is None
    again = terminal.type(f"whimbrel run {file} -o json")
    assert again.code == 0, again
    assert json.loads(again.out)["outcome"] == "NothingToDo"
    password = (terminal.home / ".whimbrel/postgresql/password").read_text().strip()
    assert password not in said.text + again.text
    assert password not in (terminal.home / ".whimbrel/objects/team.shop.json").read_text()


def test_keep_leaves_it_running_and_the_printed_command_connects(terminal: Terminal):
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES)} --keep")
    pid = postmaster(terminal)
    assert pid is not None, said
    psql = said.err.partition("connect: ")[2].splitlines()[0]
    words = f"{psql} -At -c 'SELECT n FROM a'"
    shown = subprocess.run(
        ["bash", "-c", words],
        env=terminal.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout == "1\n"
    assert terminal.type("whimbrel history shop").code == 0
    assert postmaster(terminal) == pid
    subprocess.run(["kill", "-INT", str(pid)], check=True)
    assert is_dead_within(pid, 10)


def test_a_killed_whimbrel_leaves_a_server_that_the_next_one_uses_and_stops(terminal: Terminal):
    files = FILES | {"002_b.up.sql": "SELECT pg_sleep(60);"}
    process = terminal.start(f"whimbrel run {terminal.manifest(files)}")
    assert process.stderr is not None
    for line in process.stderr:
        if "002_b" in line or "embedded" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=10)
    assert postmaster(terminal) is not None
    said = terminal.type(f"whimbrel run {terminal.manifest(FILES)} --wait 60s")
    assert said.code == 0, said
    assert postmaster(terminal) is None


def test_the_data_directory_was_removed_but_the_record_was_not(terminal: Terminal):
    file = terminal.manifest(FILES)
    assert terminal.type(f"whimbrel run {file}").code == 0
    data = terminal.home / ".whimbrel/postgresql/data"
    data.rename(data.with_name("moved"))
    said = terminal.type(f"whimbrel run {file}")
    assert (said.code, "LedgerMissing" in said.err) == (3, True), said
    answer = terminal.type(said.command)
    done = terminal.type(answer.command)
    assert done.code == 0, done
