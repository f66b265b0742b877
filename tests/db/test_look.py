"""Files of an image, read without starting anything: the launcher, and its twin at a terminal."""

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.processes import built_launcher
from whimbrel.runner.launcher_tool import LauncherTool
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.tool import Tool

PASSED = ("xnode_modules", "x__pycache__")


@dataclass
class Seen:
    """Keeps what a look finds."""

    kinds: dict[str, str] = field(default_factory=dict)
    contents: dict[str, bytearray] = field(default_factory=dict)
    changed: dict[str, float] = field(default_factory=dict)
    path: str = ""

    def entry(self, kind: str, path: str, changed: float) -> None:
        self.path = path
        self.kinds[path], self.contents[path] = kind, bytearray()
        self.changed[path] = changed

    def content(self, data: bytes) -> None:
        self.contents[self.path] += data


@contextmanager
def launched(folder: Path, **options) -> Iterator[LauncherTool]:
    with tempfile.TemporaryDirectory(prefix="w") as place:
        Path(place).chmod(0o755)
        tool = LauncherTool(Path(place) / "tool.sock")
        launcher = Path(place) / "launcher"  # where another user reaches it too
        launcher.write_bytes(built_launcher().read_bytes())
        launcher.chmod(0o755)
        with subprocess.Popen(
            [launcher, "serve", Path(place) / "tool.sock"], cwd=folder, **options
        ) as process:
            tool.wait_hello(20)
            yield tool
            tool.close()
            assert process.wait(5) == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app").mkdir()
    return tmp_path / "app"


@pytest.fixture(params=["launcher", "local"])
def tool(request, folder: Path) -> Iterator[Tool]:
    if request.param == "local":
        yield LocalTool(folder)
        return
    with launched(folder) as tool:
        yield tool


def look(tool: Tool, *words: str) -> tuple[dict[str, tuple[str, bytes]], str]:
    seen = Seen()
    problem = tool.look("", (*PASSED, *words), seen)
    return {path: (kind, bytes(seen.contents[path])) for path, kind in seen.kinds.items()}, problem


def test_a_folder_is_read_whole_but_for_what_is_passed_over(tool: Tool, folder: Path):
    (folder / "deep/er").mkdir(parents=True)
    big = os.urandom(100_000)
    (folder / "deep/er/file").write_bytes(big)
    (folder / "empty é").write_bytes(b"")
    for passed in ("node_modules/a", "deep/__pycache__"):
        (folder / passed).mkdir(parents=True)
        (folder / passed / "x").write_text("x")
    (folder / "env/lib").mkdir(parents=True)
    (folder / "env/pyvenv.cfg").write_text("version = 3")
    (folder / "env/lib/x").write_text("x")
    found, problem = look(tool)
    assert problem == ""
    assert found == {
        str(folder): ("d", b""),
        str(folder / "deep"): ("d", b""),
        str(folder / "deep/er"): ("d", b""),
        str(folder / "deep/er/file"): ("f", big),
        str(folder / "empty é"): ("f", b""),
        str(folder / "env/pyvenv.cfg"): ("f", b"version = 3"),
    }
    assert look(tool) == (found, "")  # as often as one likes


def test_files_and_names_elsewhere_are_read_when_they_are_asked_for(tool: Tool, tmp_path: Path):
    other = tmp_path / "other"
    (other / "pack-1.dist-info").mkdir(parents=True)
    (other / "pack-1.dist-info/RECORD").write_text("pack.py,,")
    (other / "__pycache__").mkdir()
    record, gone = other / "pack-1.dist-info/RECORD", other / "gone"
    found, problem = look(tool, f"f{record}", f"f{gone}", f"n{other}", f"n{gone}/deep")
    assert problem == ""
    del found[str(tmp_path / "app")]
    assert found == {
        str(record): ("f", b"pack.py,,"),
        str(gone): ("m", b""),
        str(other): ("d", b""),
        str(other / "pack-1.dist-info"): ("n", b""),
        f"{gone}/deep": ("m", b""),
    }


def test_the_time_of_the_last_change_is_told(tool: Tool, folder: Path):
    (folder / "old").write_text("x")
    os.utime(folder / "old", (1, 1))  # what a copy does; the kernel keeps its own time
    seen = Seen()
    assert tool.look("", PASSED, seen) == ""
    for path in (folder, folder / "old"):
        assert seen.changed[str(path)] == pytest.approx(path.stat().st_ctime, abs=1e-6)


def test_a_link_that_leads_out_is_a_reason(tool: Tool, folder: Path, tmp_path: Path):
    (tmp_path / "app-of-another").mkdir()
    (folder / "link").symlink_to(tmp_path / "app-of-another")
    assert look(tool)[1].startswith(f"{folder / 'link'}: a link")


def test_links_are_followed_inside_only(folder: Path):
    (folder / "real").mkdir()
    (folder / "real/file").write_text("x")
    (folder / "link").symlink_to("real")
    (folder / "node_modules").mkdir()
    with launched(folder) as tool:
        found, problem = look(tool)
        assert (problem, found[str(folder / "link")]) == ("", ("l", str(folder / "real").encode()))
        assert str(folder / "link/file") not in found
        for target in ("node_modules", "gone", "/"):
            (folder / "link").unlink()
            (folder / "link").symlink_to(target)
            assert look(tool)[1].startswith(f"{folder / 'link'}: a link ")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a process of another user")
def test_what_the_user_of_the_image_may_not_read_is_a_reason():
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        (folder / "secret").write_text("x")
        (folder / "secret").chmod(0o600)
        user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        with launched(folder, **user) as tool:
            assert look(tool)[1] == f"{folder / 'secret'}: Permission denied"


def test_too_much_is_a_reason(tool: Tool, folder: Path):
    with (folder / "big").open("wb") as big:
        big.truncate(65 << 20)
    assert "64 MiB" in look(tool)[1]


@pytest.mark.soak
def test_too_many_are_a_reason(tool: Tool, folder: Path):
    for number in range(20_001):
        (folder / f"f{number}").touch()
    assert "20,000 files" in look(tool)[1]


def test_a_pipe_in_a_folder_hangs_nobody(tool: Tool, folder: Path):
    os.mkfifo(folder / "pipe")
    assert look(tool)[1] == ""


def test_a_tool_runs_before_and_after_a_look(tool: Tool, folder: Path):
    for number in range(3):
        (folder / f"f{number}").write_text("x")
        lines: list[str] = []
        assert tool.run(("/bin/sh", "-c", "echo here"), {}, "", lines.append).exit_code == 0
        assert (lines, len(look(tool)[0])) == (["here"], number + 2)
