"""`whimbrel run` at a real terminal: drawn while it works, and left as it was found."""

import os
import pty
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tests.scenarios.held.asking import GATE, await_that, await_waiter, closed_gate
from tests.scenarios.terminal import PASSWORDS, Terminal

FILES = {
    "001_a.up.sql": "CREATE TABLE a (n int);\nINSERT INTO a VALUES (1);",
    "002_b.up.sql": f"{GATE}\nCREATE TABLE b (n int);",
}
PATIENT = {"limits": {"lockTimeout": "60s", "lockHold": "60s"}}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
WORDS = re.compile(rf"{CONTROL.pattern}|\r|\n|[^\r\n\x1b]+")
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


@dataclass
class Screen:
    """A process whose standard error is a terminal, and what came there."""

    process: subprocess.Popen
    seen: bytearray

    def text(self) -> str:
        return self.seen.decode()

    def shows(self, words: str) -> bool:
        return words in CONTROL.sub("", self.text())


@contextmanager
def at_terminal(terminal: Terminal, *words: str) -> Iterator[Screen]:
    """Start `whimbrel`; its standard output is a file, as in `whimbrel run ... > answer`."""
    ours, theirs = pty.openpty()
    environment = terminal.environment() | {"TERM": "xterm"}
    with subprocess.Popen(
        ["whimbrel", *words],
        cwd=terminal.home, env=environment, text=True, executable=terminal.home / "bin/whimbrel",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        screen = Screen(process, bytearray())
        reader = threading.Thread(target=_read, args=(ours, screen.seen))
        reader.start()
        try:
            yield screen
        finally:
            process.kill()
            reader.join(timeout=30)
            os.close(ours)


def _read(terminal: int, seen: bytearray) -> None:
    while True:
        try:
            seen.extend(os.read(terminal, 65536))
        except OSError:  # nobody writes there any more
            return


@pytest.fixture
def terminal(tmp_path: Path, database: Postgres) -> Terminal:
    return Terminal(tmp_path, database.url)


def left_clean(screen: Screen) -> list[str]:
    """Check that the cursor is back, and return the lines that the terminal then shows."""
    assert screen.text().rfind(SHOWN) > screen.text().rfind(HIDDEN) >= 0
    assert not [each for each in PASSWORDS if each in screen.text()]
    return [each for each in shown(screen.text()) if each]


def shown(text: str) -> list[str]:
    """Return the lines of a terminal after what was written, as it carries out the few words."""
    lines, row, column = [""], 0, 0
    for word in WORDS.findall(text):
        if word == "\r":
            column = 0
        elif word == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif word == "\x1b[2K":
            lines[row] = ""
        elif word == "\x1b[1A":
            row -= 1
        elif not word.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + word + lines[row][column + len(word) :]
            column += len(word)
    return lines


def test_a_run_is_drawn_with_its_time_and_leaves_its_lines(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES, **PATIENT)
    with closed_gate(database) as gate, at_terminal(terminal, "run", file) as screen:
        await_waiter(database, "advisory")
        # The drawn line is about the statement that runs, and its time goes on.
        await_that(lambda: screen.shows("0:00:01 002_b.up.sql, line 1"), "a second is shown")
        gate.execute("SELECT pg_advisory_unlock(42)")
        out, _ = screen.process.communicate(timeout=60)
    assert (screen.process.returncode, out.startswith("Done: 2 applied")) == (0, True), out
    assert "\x1b" not in out
    places = ["001_a.up.sql, line 1", "001_a.up.sql, line 2"]
    places += ["002_b.up.sql, line 1", "002_b.up.sql, line 2"]
    assert left_clean(screen) == ["step 1 of 1: up:default:001-002", *places]


def test_a_run_that_is_interrupted_gives_the_terminal_back(terminal: Terminal, database: Postgres):
    file = terminal.manifest(FILES, **PATIENT)
    with closed_gate(database), at_terminal(terminal, "run", file) as screen:
        await_waiter(database, "advisory")
        screen.process.send_signal(signal.SIGINT)
        out, _ = screen.process.communicate(timeout=60)
    assert (screen.process.returncode, out) == (75, ""), out
    assert any("NotFinished (Stopped)" in each for each in left_clean(screen))


def test_words_in_brackets_are_no_markup(terminal: Terminal, database: Postgres):
    odd = '"[bold]odd[/bold] :warning:"'
    files = {
        "001_a.up.sql": f"CREATE TABLE {odd} (n int); INSERT INTO {odd} VALUES (1);",
        "001_a.down.sql": f"DROP TABLE {odd};",
    }
    assert terminal.type(f"whimbrel run {terminal.manifest(files)}").code == 0
    with at_terminal(terminal, "rollback", "shop") as screen:
        screen.process.communicate(timeout=60)
    assert screen.process.returncode == 0, screen.text()
    kept = [each for each in left_clean(screen) if each.startswith("salvage: ")]
    assert ["[bold]odd[/bold] :warning:" in each for each in kept] == [True]
