"""The launcher in the tool's container and its twin at a terminal: one contract, real processes."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.processes import ROOT, built_launcher, is_dead_within
from whimbrel.model.errors import TransientError
from whimbrel.runner.launcher_tool import LauncherTool, encode_request
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.tool import RAW_LINE_LIMIT, LineSplitter, Stage, StartError, Tool, ToolEnd

SHELL = ("/bin/sh", "-c")
# One process in the group, one that left group and session; both ignore SIGTERM. The tool's own
# pid comes last, so whoever has read it knows that the others are ready.
STUBBORN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
def child(leave):
    reader, writer = os.pipe()
    if os.fork() == 0:
        if leave:
            os.setsid()
            if os.fork():
                os._exit(0)
        os.write(writer, str(os.getpid()).encode())
        time.sleep(600)
    os.close(writer)
    return os.read(reader, 20).decode()
print("pids", child(False), child(True), os.getpid(), flush=True)
"""
WAITS = STUBBORN + "time.sleep(600)\n"
RUNNER = """
import sys
from pathlib import Path
from whimbrel.runner.launcher_tool import LauncherTool
from whimbrel.runner.local_tool import LocalTool
kind, place, program = sys.argv[1:]
tool = LocalTool(Path(place)) if kind == "local" else LauncherTool(Path(place))
if kind == "launcher":
    tool.wait_hello(20)
tool.run((sys.executable, "-c", program), {}, "", lambda line: print(line, flush=True))
"""


@contextmanager
def launched(place: Path, **options) -> Iterator[tuple[LauncherTool, subprocess.Popen]]:
    """Start runner's end and launcher; the launcher is dead afterwards."""
    tool = LauncherTool(place / "tool.sock")
    command = [built_launcher(), "serve", place / "tool.sock"]
    with subprocess.Popen(command, **options) as process:
        try:
            tool.wait_hello(20)
            yield tool, process
        finally:
            tool.close()
            process.kill()


@pytest.fixture(params=["launcher", "local"])
def tool(request, tmp_path: Path) -> Iterator[Tool]:
    if request.param == "local":
        local = LocalTool(tmp_path)
        yield local
        local.close()
        return
    with launched(tmp_path, cwd=tmp_path) as (tool, _):
        yield tool


def output_of(tool: Tool, *argv: str, env: dict[str, str] | None = None) -> tuple[str, ToolEnd]:
    lines: list[str] = []
    end = tool.run(argv, env or {}, "", lines.append)
    return "\n".join(lines), end


def pids_in(line: str) -> list[int]:
    assert line.startswith("pids "), line
    return [int(word) for word in line.split()[1:]]


def test_both_streams_arrive_and_the_exit_code_is_told(tool: Tool):
    output, end = output_of(tool, *SHELL, "echo out; echo err >&2; printf last; exit 7")
    assert output.splitlines() == ["out", "err", "last"]
    assert end == ToolEnd(exit_code=7, gone=True)


def test_one_place_runs_several_programs_in_a_row(tool: Tool):
    assert [output_of(tool, *SHELL, f"echo {n}")[0] for n in range(20)] == [
        str(n) for n in range(20)
    ]


def test_variables_come_on_top_of_those_of_the_place(tool: Tool, tmp_path: Path):
    output, _ = output_of(tool, *SHELL, 'echo "$URL"; echo ${PATH:+path}', env={"URL": "a=b%@ #é"})
    assert output.splitlines() == ["a=b%@ #é", "path"]


def test_the_path_that_is_given_finds_the_program(tool: Tool, tmp_path: Path):
    program = tmp_path / "bin/only-here"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)
    output, _ = output_of(tool, "only-here", env={"PATH": f"{program.parent}:/bin"})
    assert output == "found"


def test_it_starts_in_the_directory_that_is_asked_for(tool: Tool, tmp_path: Path):
    (tmp_path / "sub").mkdir()
    lines: list[str] = []
    tool.run((*SHELL, "pwd"), {}, "sub", lines.append)
    assert lines == [str(tmp_path / "sub")]


@pytest.mark.parametrize(
    ("argv", "cwd", "stage"),
    [
        pytest.param(("no-such-program",), "", Stage.PROGRAM, id="no such program"),
        pytest.param((*SHELL, "true"), "no/such/directory", Stage.DIRECTORY, id="no directory"),
    ],
)
def test_a_start_that_fails_names_its_reason(tool: Tool, argv, cwd, stage):
    end = tool.run(argv, {}, cwd, pytest.fail)
    assert end.start_error == StartError(stage, 2)
    assert end.gone
    assert end.start_error.not_found == (stage is Stage.PROGRAM)
    assert output_of(tool, *SHELL, "echo still usable")[0] == "still usable"


def test_a_signal_reaches_the_whole_group(tool: Tool):
    def stop(_line: str) -> None:
        tool.signal(signal.SIGTERM)

    script = "(trap 'echo child; exit' TERM; echo ready; while :; do sleep 0.05; done)"
    lines: list[str] = []
    end = tool.run((*SHELL, script), {}, "", lambda line: (lines.append(line), stop(line)))
    assert end.gone
    assert end.signal == signal.SIGTERM or end.exit_code is not None
    assert lines[0] == "ready"


def test_a_signal_for_nobody_does_no_harm(tool: Tool):
    tool.signal(signal.SIGTERM)
    output_of(tool, *SHELL, "true")
    tool.signal(signal.SIGTERM)
    tool.close()
    tool.signal(signal.SIGTERM)


def test_a_killed_tool_is_told_from_one_that_ended(tool: Tool):
    end = output_of(tool, *SHELL, "kill -9 $$")[1]
    assert end == ToolEnd(signal=signal.SIGKILL, gone=True)


def test_nothing_that_the_tool_started_outlives_it(tool: Tool):
    output, end = output_of(tool, sys.executable, "-c", STUBBORN + "sys.exit(3)")
    assert end == ToolEnd(exit_code=3, gone=True)
    assert all(is_dead_within(pid, 0) for pid in pids_in(output))


def test_closing_kills_a_running_tool_at_a_terminal_too(tmp_path: Path):
    tool, found = LocalTool(tmp_path), []

    def close(line: str) -> None:
        found.extend(pids_in(line))
        tool.close()
        tool.signal(signal.SIGTERM)

    assert tool.run((sys.executable, "-c", WAITS), {}, "", close) == ToolEnd(gone=True)
    assert all(is_dead_within(pid, 0) for pid in found)


def test_closing_kills_a_running_tool_at_once(tmp_path: Path):
    found: list[int] = []
    with launched(tmp_path) as (tool, process):

        def close(line: str) -> None:
            found.extend(pids_in(line))
            tool.close()

        end = tool.run((sys.executable, "-c", WAITS), {}, "", close)
        assert process.wait(5) == 0
    assert not end.gone
    assert all(is_dead_within(pid, 0) for pid in found)


@pytest.mark.parametrize("kind", ["launcher", "local"])
def test_a_killed_runner_leaves_no_process_of_the_tool_behind(kind: str, tmp_path: Path):
    place = tmp_path if kind == "local" else tmp_path / "tool.sock"
    command = [sys.executable, "-c", RUNNER, kind, place, WAITS]
    launcher = [built_launcher(), "serve", place]
    with (
        subprocess.Popen(launcher if kind == "launcher" else ["true"]) as process,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT / "operator")}
        ) as runner,
    ):
        pids = pids_in(runner.stdout.readline())
        runner.kill()
        assert all(is_dead_within(pid, 5) for pid in pids)
        assert process.wait(5) == (3 if kind == "launcher" else 0)


def test_a_killed_launcher_is_told_and_takes_the_tool_along(tmp_path: Path):
    found: list[int] = []
    with launched(tmp_path) as (tool, process):

        def kill(line: str) -> None:
            found.extend(pids_in(line))
            process.kill()

        program = "import os, time; print('pids', os.getpid(), flush=True); time.sleep(600)"
        end = tool.run((sys.executable, "-c", program), {}, "", kill)
    assert end == ToolEnd(gone=False)
    assert is_dead_within(found[0], 5)


def test_a_launcher_that_is_told_to_stop_waits_for_a_tool_that_obeys(tmp_path: Path):
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    lines: list[str] = []
    with launched(tmp_path) as (tool, process):

        def stop(line: str) -> None:
            lines.append(line)
            if line == "ready":
                process.send_signal(signal.SIGTERM)

        end = tool.run((*SHELL, script), {}, "", stop)
        assert process.wait(5) == 143
    assert end == ToolEnd(exit_code=5, gone=True)
    assert (lines[0], lines[-1]) == ("ready", "bye")


def test_a_launcher_that_is_told_to_stop_kills_a_stubborn_tool_after_the_grace(tmp_path: Path):
    found: list[int] = []
    with launched(tmp_path) as (tool, process):

        def stop(line: str) -> None:
            found.extend(pids_in(line))
            process.send_signal(signal.SIGTERM)

        tool.run((sys.executable, "-c", WAITS), {}, "", stop)
        assert process.wait(8) == 143
    assert all(is_dead_within(pid, 0) for pid in found)


def test_an_idle_launcher_stops_at_once(tmp_path: Path):
    with launched(tmp_path) as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 143


def test_a_gigabyte_of_output_needs_no_memory(tmp_path: Path):
    program = "import sys\nfor _ in range(1024): sys.stdout.write('x' * 1048575 + '\\n')"
    count = [0]

    def measure(line: str) -> None:
        assert len(line) == RAW_LINE_LIMIT
        count[0] += 1

    with launched(tmp_path) as (tool, process):
        end = tool.run((sys.executable, "-c", program), {}, "", measure)
        status = Path(f"/proc/{process.pid}/status").read_text()
    assert end == ToolEnd(exit_code=0, gone=True)
    assert count == [1024]
    high = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(high.split()[1]) < 4096, high


def test_a_waiting_launcher_uses_no_processor_time(tmp_path: Path):
    with launched(tmp_path) as (tool, process):
        before = Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]
        output_of(tool, *SHELL, "exec >&- 2>&-; sleep 1.5")
        after = Path(f"/proc/{process.pid}/stat").read_text().split()[13:15]
    assert sum(map(int, after)) - sum(map(int, before)) <= 3  # ticks of 10 ms


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a process the first one")
def test_as_the_first_process_of_a_container_it_keeps_every_promise(tmp_path: Path):
    path = tmp_path / "tool.sock"
    tool = LauncherTool(path)
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", built_launcher(), "serve", path]
    with subprocess.Popen(unshare) as process:
        tool.wait_hello(20)
        assert tool.pid == 1
        (inside,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        end = output_of(tool, sys.executable, "-c", STUBBORN + "sys.exit(3)")[1]
        assert end == ToolEnd(exit_code=3, gone=True)
        assert output_of(tool, "/bin/sh", "-c", "ls -d /proc/[0-9]* | wc -l")[0].strip() <= "4"
        os.kill(int(inside), signal.SIGTERM)
        assert process.wait(5) == 143
    tool.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may start a process of another user")
def test_the_launcher_may_be_another_user():
    nobody = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        launcher = place / "launcher"
        launcher.write_bytes(built_launcher().read_bytes())
        launcher.chmod(0o755)
        tool = LauncherTool(place / "tool.sock")
        command = [launcher, "serve", place / "tool.sock"]
        with subprocess.Popen(
            command, user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], cwd="/"
        ):
            tool.wait_hello(20)
            assert output_of(tool, "id", "-u")[0] == str(nobody.pw_uid)
            tool.close()


def test_a_container_that_never_comes_is_said_before_anything_is_locked(tmp_path: Path):
    tool = LauncherTool(tmp_path / "tool.sock")
    with pytest.raises(TransientError) as refused:
        tool.wait_hello(0.05)
    tool.close()
    assert refused.value.reason == "ToolNotThere"


def test_the_launcher_waits_for_a_runner_that_comes_later(tmp_path: Path):
    path = tmp_path / "tool.sock"
    with subprocess.Popen([built_launcher(), "serve", path]) as process:
        assert not is_dead_within(process.pid, 0.3)
        tool = LauncherTool(path)
        tool.wait_hello(20)
        assert tool.pid == process.pid
        tool.close()


def test_a_word_with_a_nul_is_refused():
    with pytest.raises(ValueError, match="NUL"):
        encode_request(("a\0b",), {}, "")


def test_lines_are_cut_in_any_chunking():
    lines: list[str] = []
    splitter = LineSplitter(lines.append)
    for piece in (b"a", b"b\nc\r\n", b"", b"\n" + b"x" * RAW_LINE_LIMIT, b"yyy", b"\n\xff", b"d"):
        splitter.feed(piece)
    splitter.finish()
    assert lines == ["ab", "c", "", "x" * RAW_LINE_LIMIT, "\ufffdd"]


def copy(source: Path, target: Path) -> subprocess.CompletedProcess:
    command = [built_launcher(), "copy", source, target]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_tree_is_copied_without_a_shell(tmp_path: Path):
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    (source / "001_a.up.sql").write_bytes(os.urandom(200_000))
    (source / "deep/er/b").write_text("b")
    (source / "link.sql").symlink_to("deep/er/b")
    assert copy(source, tmp_path / "target").returncode == 0
    copied = {
        str(path.relative_to(tmp_path / "target")): path.read_bytes()
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert copied == {
        "001_a.up.sql": (source / "001_a.up.sql").read_bytes(),
        "deep/er/b": b"b",
        "link.sql": b"b",
    }
    assert not (tmp_path / "target.error").exists()


def test_a_copy_that_fails_says_why_where_the_runner_reads_it(tmp_path: Path):
    done = copy(tmp_path / "nowhere", tmp_path / "target")
    assert done.returncode == 0
    message = (tmp_path / "target.error").read_text()
    assert message == f"{tmp_path}/nowhere: No such file or directory"


def test_a_pipe_among_the_files_does_not_hang_the_copy(tmp_path: Path):
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source/pipe")
    thread = threading.Thread(target=copy, args=(tmp_path / "source", tmp_path / "target"))
    thread.start()
    thread.join(10)
    assert (tmp_path / "target.error").read_text().endswith("neither a file nor a directory")
