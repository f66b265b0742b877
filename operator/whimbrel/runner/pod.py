"""The surroundings of a run inside a Job's Pod."""

import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.model.order import Order
from whimbrel.model.plan import WITHOUT_TOOL
from whimbrel.runner import mounts
from whimbrel.runner.dump import DumpPlace, asks_for_dump, dumper_of
from whimbrel.runner.launcher_tool import LauncherTool
from whimbrel.runner.surroundings import Surroundings

SOCKET: Final = "shared/tool.sock"
DUMPER: Final = "shared/dump.sock"
_HELLO_POLL: Final = 1.0  # seconds between two looks at SIGTERM while the tool's image is pulled
_HELLO_LEAST: Final = 120.0  # seconds; a try after the deadline has to pull the image too

log = logging.getLogger(__name__)


@contextmanager
def pod_surroundings(order: Order, root: Path, stopping: threading.Event) -> Iterator[Surroundings]:
    """Gather what the Pod gives. Nothing is locked or written in the database meanwhile.

    Raises:
        TransientError: A Secret, a ConfigMap or the tool's container is not there.
        RefusedError: What is there cannot be used.
    """
    tool, dumper = _tool(order, root), dumper_of(order, root / DUMPER)
    containers = [each for each in (tool, dumper) if each is not None]
    try:
        for each in containers:
            _await_hello(each, stopping, order.deadline)
        files, refused = _files(order, root)
        yield Surroundings(
            target=mounts.read_target(order.spec, root),
            run_target=mounts.read_run_target(order.spec, root),
            files=files,
            tool=tool,
            report=_report,
            stopping=stopping,
            dumps=DumpPlace(dumper, root / "dump") if asks_for_dump(order) else None,
            refused=refused,
        )
    finally:
        for each in containers:
            each.close()


def _files(order: Order, root: Path) -> tuple[Mapping[str, str] | None, RefusedError | None]:
    """Return the files, or why they are refused: a run that has begun may have to go back."""
    try:
        return mounts.read_files(order.spec, root), None
    except RefusedError as error:
        return {}, error


def _tool(order: Order, root: Path) -> LauncherTool | None:
    if not order.spec.migrations.tool.is_foreign or order.segment in WITHOUT_TOOL:
        return None
    return LauncherTool(root / SOCKET)


def _await_hello(tool: LauncherTool, stopping: threading.Event, deadline: float) -> None:
    """Wait as long as it takes to pull the image: nothing is held, and the Pod says why."""
    end = max(deadline, time.time() + _HELLO_LEAST) if deadline else math.inf
    while not stopping.is_set():
        try:
            tool.wait_hello(_HELLO_POLL)
        except TransientError:
            if time.time() > end:
                raise
            continue
        return
    raise TransientError("Stopped", "stopped before anything was touched")


def _report(line: str) -> None:
    log.info("%s", line)
