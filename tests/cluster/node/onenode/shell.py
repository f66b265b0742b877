"""Running a short command and saying what it said when it failed."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from .errors import NodeError


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    text_in: str = "",
) -> str:
    """Return the command's standard output.

    Raises:
        NodeError: it could not be started or its exit code is not 0.
    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            cwd=cwd,
            env=environment,
            input=text_in,
            text=True,
            capture_output=True,
        )
    except FileNotFoundError as error:
        raise NodeError(f"{command[0]} is not installed: run 'node.py prepare'") from error
    if done.returncode != 0:
        raise NodeError(
            f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr[-3000:]}"
        )
    return done.stdout


def run_logged(
    command: Sequence[str | Path],
    *,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a long command with everything it prints going to a log file.

    Raises:
        NodeError: its exit code is not 0; the text names the log and quotes its end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        code = _wait(command, output, cwd, environment)
    if code != 0:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
        raise NodeError(f"{command[0]}: exit code {code}; its log {log} closes with:\n{end}")


def _wait(
    command: Sequence[str | Path],
    output: IO[str],
    cwd: Path | None,
    environment: Mapping[str, str] | None,
) -> int:
    return subprocess.run(
        [str(part) for part in command],
        check=False,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
    ).returncode
