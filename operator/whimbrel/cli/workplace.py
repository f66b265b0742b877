"""The place of a run at a terminal: database, files, tool, and a way to stop."""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from whimbrel.cli.dump import dumps_here
from whimbrel.cli.embedded import describe, embedded_postgres
from whimbrel.cli.manifest import Manifest
from whimbrel.cli.options import Connection
from whimbrel.cli.project import sql_files, variables
from whimbrel.cli.record import EMBEDDED
from whimbrel.cli.screen import Report, progress
from whimbrel.model.errors import RefusedError
from whimbrel.planning.tools.registry import file_tool
from whimbrel.runner.dump import DumpPlace
from whimbrel.runner.local_tool import LocalTool
from whimbrel.runner.stopping import stop_on_signals
from whimbrel.runner.surroundings import Surroundings
from whimbrel.runner.target import Target
from whimbrel.runner.tool import OnLine, Sink, Tool, ToolEnd
from whimbrel.runner.urls import parse_target

RUN_ROLE_VARIABLE: Final = "WHIMBREL_RUN_ROLE_URL"


@dataclass(frozen=True)
class Workplace:
    """What stays the same for every attempt of one command."""

    target: Target
    report: Report
    stopping: threading.Event


@contextmanager
def workplace(connection: Connection, state_dir: Path) -> Iterator[Workplace]:
    """Give the database that is asked for: the one of --url, or the embedded one."""
    stopping = stop_on_signals()
    with progress() as report:
        if connection.url:
            target = parse_target(connection.url, ca_file=connection.ca_file or None)
            yield Workplace(target, report, stopping)
            return
        with embedded_postgres(state_dir, keep=connection.keep) as server:
            report(describe(server, keep=connection.keep))
            yield Workplace(parse_target(server.url), report, stopping)


@dataclass(frozen=True)
class Material:
    """What of the user's project a run needs; looked for before a server is started."""

    files: Mapping[str, str] | None
    tool: Tool | None
    dumps: DumpPlace | None = None


def material(manifest: Manifest, project: Path | None, dumps: Path) -> Material:
    """Return files or tool, and where dumps go.

    Raises:
        RefusedError: They are not at hand, or their names and pairs are wrong.
    """
    files = sql_files(manifest, project)
    if files is not None:
        file_tool(manifest.spec.migrations.tool).read(files)
    return Material(files, _tool(manifest, project), dumps_here(manifest.spec, dumps))


def surroundings(place: Workplace, brought: Material) -> Surroundings:
    """Return what the runner needs beside the order."""
    return Surroundings(
        target=place.target,
        run_target=_prepared(place.target),
        files=brought.files,
        tool=brought.tool,
        report=place.report,
        stopping=place.stopping,
        dumps=brought.dumps,
    )


def _prepared(target: Target) -> Target | None:
    """Return the prepared login for a tool, with the certificate authority of the database."""
    url = os.environ.get(RUN_ROLE_VARIABLE, "")
    ca_file = dict(target.parameters).get("sslrootcert")
    return parse_target(url, ca_file=ca_file) if url else None


def database_label(connection: Connection) -> str:
    """Return where the database is, without a login."""
    if not connection.url:
        return EMBEDDED
    return str(parse_target(connection.url, ca_file=connection.ca_file or None))


def _tool(manifest: Manifest, project: Path | None) -> Tool | None:
    tool = manifest.spec.migrations.tool
    if not tool.is_foreign:
        return None
    if project is None or not project.is_dir():
        raise RefusedError(
            "ProjectMissing",
            f"tool {tool} needs your project here: name its directory with --project DIR",
        )
    return ToolWithVariables(LocalTool(project), variables(manifest, os.environ))


class ToolWithVariables:
    """A tool that gets the variables of `migrations.env`, as its container would have them."""

    def __init__(self, tool: Tool, own: Mapping[str, str]) -> None:
        self._tool = tool
        self._own = own

    def run(
        self, argv: Sequence[str], env: Mapping[str, str], cwd: str, on_line: OnLine
    ) -> ToolEnd:
        """Start a program; what the runner says wins over what the object says."""
        return self._tool.run(argv, {**self._own, **env}, cwd, on_line)

    def look(self, cwd: str, words: Sequence[str], sink: Sink) -> str:
        """Read files of the place."""
        return self._tool.look(cwd, words, sink)

    def signal(self, number: int) -> None:
        """Send a signal to the tool's processes."""
        self._tool.signal(number)

    def close(self) -> None:
        """Let the place go."""
        self._tool.close()
