"""What the place of a run gives and the order does not: secrets, files, tool, a way to stop."""

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from whimbrel.model.errors import RefusedError
from whimbrel.runner.dump import DumpPlace
from whimbrel.runner.target import Target
from whimbrel.runner.tool import Tool


@dataclass(frozen=True)
class Surroundings:
    """The place of a run: a Job's Pod, or a terminal.

    Attributes:
        target: The database and the login.
        run_target: The login that a DBA prepared for this object's runs, or None.
        files: File name to text for tool sql; None for a foreign tool.
        tool: The foreign tool, already there (its launcher said hello), or None.
        report: Shows one line of progress to a person; never a secret.
        dumps: Where dumps are kept, or None.
        refused: Why the files cannot be used, or None.
        stopping: Set by SIGTERM or Ctrl-C; the run then stops at the next safe point.
    """

    target: Target
    run_target: Target | None
    files: Mapping[str, str] | None
    tool: Tool | None
    report: Callable[[str], None]
    stopping: threading.Event
    dumps: DumpPlace | None = None
    refused: RefusedError | None = None

    def programs(self) -> Iterator[Tool]:
        """Yield every place where a program of somebody else may run."""
        yield from filter(None, (self.tool, self.dumps and self.dumps.tool))
