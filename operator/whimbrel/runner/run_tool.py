"""Carries out `RunTool`: starts the tool, shows its words, judges by the database."""

import re
import signal
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from whimbrel.model.errors import RefusedError, TransientError, WhimbrelError
from whimbrel.model.spec import Spec
from whimbrel.model.steps import RunTool
from whimbrel.planning.tools.foreign import ForeignTool, Problem, Started, command, environment
from whimbrel.planning.tools.output import is_for_us, parse_problem, parse_project, parse_stays
from whimbrel.planning.tools.project import Project
from whimbrel.planning.tools.registry import foreign_tool
from whimbrel.runner.tool import Stage, StartError, Tool, ToolEnd

LINE_LIMIT: Final = 8192  # characters, far below tool.RAW_LINE_LIMIT: no secret is cut in two
_TAIL: Final = 50  # lines
_SHOWN: Final = 3  # lines of the tool in a message
_WRAPPERS: Final = Path(__file__).with_name("wrappers")
_FUTURE: Final = "from __future__ import annotations\n"


class ToolFailedError(WhimbrelError):
    """The tool did not lead to the revisions that were planned.

    Attributes:
        before: Revisions before it started.
        after: Revisions as read back after its end.
        sqlstate: SQLSTATE of the error that stopped it, or "".
        stays: Statements that the migration which failed has committed; None where the tool's
            wrapper does not tell.
        cut_off: Whether it was killed, so that it could not tell all.
    """

    def __init__(self, message: str, step: RunTool, after: tuple[str, ...], end: "Ended") -> None:
        super().__init__("ToolFailed", message)
        self.step = step
        self.before = step.before
        self.after = after
        self.sqlstate = end.problem.sqlstate if end.problem else ""
        self.stays = end.stays
        self.cut_off = end.end.exit_code is None


@dataclass(frozen=True)
class ToolPlace:
    """Where and how the tool of one attempt runs.

    Attributes:
        url: The database's URL as the tool wants it, with the password.
        application_name: What its sessions are called.
        options: Settings of its sessions, as command-line options for the server.
        clean: Takes secrets out of a text.
        report: Shows one line to a person.
    """

    tool: Tool
    spec: Spec
    url: str
    application_name: str
    options: str
    clean: Callable[[str], str]
    report: Callable[[str], None]


@dataclass(frozen=True)
class Ended:
    """The end of the tool together with what it said; all words are clean."""

    end: ToolEnd
    problem: Problem | None
    tail: tuple[str, ...]
    stays: tuple[str, ...] | None = None


def read_project(place: ToolPlace) -> Project:
    """Return what the image's project holds; opens no database.

    Raises:
        RefusedError: The image or the project cannot be used.
        TransientError: The tool's container went away meanwhile.
    """
    lines: list[str] = []

    def keep(line: str) -> None:
        if is_for_us(line):
            lines.append(line)
        elif line.strip():
            place.report(line)

    tool = foreign_tool(place.spec.migrations.tool)
    end = _start(place, (tool.command, "inspect"), keep)
    if end.start_error is not None:
        raise _cannot_start(place, end.start_error)
    if not end.gone or end.signal is not None:
        raise TransientError(
            "ToolLost", "the tool's container ended while its migrations were read"
        )
    return parse_project(tool, lines)


class ReadBack(Protocol):
    """Reads what the bookkeeping shows once no session of the tool is left."""

    def __call__(self, *, answered: bool) -> tuple[str, ...]:
        """Return the revisions; `answered`: the tool heard the end of each of its statements."""


def run_tool(place: ToolPlace, step: RunTool, read: ReadBack) -> tuple[str, ...]:
    """Start the tool once; return warnings.

    Args:
        place: Where it runs.
        step: What it must lead to.
        read: Called after the tool's end.

    Raises:
        RefusedError: It could not even be started.
        TransientError: Nobody saw that no process of it is left; `read` was not called.
        ToolFailedError: The bookkeeping does not show what was planned.
    """
    tool = foreign_tool(place.spec.migrations.tool)
    told: deque[str] = deque(maxlen=_TAIL)
    problems: list[str] = []

    def show(line: str) -> None:
        if is_for_us(line):
            problems.append(line)
        elif line.strip():
            told.append(line)
            place.report(line)

    end = _start(place, step.argv, show)
    if end.start_error is not None:
        raise _cannot_start(place, end.start_error)
    told_stays = parse_stays(problems)
    stays = None if told_stays is None else tuple(map(place.clean, told_stays))
    ended = Ended(end, _clean_problem(place, parse_problem(tool, problems)), tuple(told), stays)
    if not end.gone:
        raise TransientError(
            "ToolLost",
            f"{_command(step)} {_how(ended)}; that nothing of it is left is proven, and what it "
            "did is read back, before anything else is done",
        )
    after = read(answered=end.exit_code == 0)
    if not same(after, step.revisions):
        raise ToolFailedError(_failure(place, step, ended), step, after, ended)
    if end.exit_code == 0:
        return ()
    return (
        f"ToolExit: {_command(step)} {_how(ended)}, yet the database is at {_words(tool, after)}",
    )


def _start(place: ToolPlace, argv: tuple[str, ...], on_line: Callable[[str], None]) -> ToolEnd:
    tool = foreign_tool(place.spec.migrations.tool)
    wrapper = wrapper_text(tool.started)
    env = environment(place.spec, place.url, place.application_name, place.options)
    cwd = place.spec.migrations.working_dir or ""

    def clean_line(line: str) -> None:
        # Our wrapper's own lines are a protocol: their words are cleaned when they are shown.
        on_line(line if is_for_us(line) else place.clean(line)[:LINE_LIMIT])

    end = ToolEnd()
    for interpreter in tool.started.runtime.names:
        words = command(tool, place.spec, argv, wrapper, interpreter=interpreter)
        end = place.tool.run(words, env, cwd, clean_line)
        if end.start_error is None or not end.start_error.not_found:
            break
    return end


def _clean_problem(place: ToolPlace, problem: Problem | None) -> Problem | None:
    if problem is None:
        return None
    shown = {name: place.clean(getattr(problem, name)) for name in ("text", "place", "statement")}
    return replace(problem, **shown)


def wrapper_text(started: Started) -> str:
    """Return the wrapper as it is sent: one text, which imports nothing of ours."""
    runtime = started.runtime
    text = (_WRAPPERS / started.wrapper).read_text(encoding="utf-8")
    for name in runtime.protocols:
        protocol = (_WRAPPERS / name).read_text(encoding="utf-8").replace(_FUTURE, "")
        parts = re.split(runtime.imports.format(name), text, maxsplit=1)
        # The protocol stands where the wrapper imports it.
        text = _between(runtime.protocol_frame, protocol).join(parts)
    return _between(runtime.frame, text)


def _between(frame: tuple[str, str], text: str) -> str:
    return frame[0] + text + frame[1]


def same(found: tuple[str, ...], planned: tuple[str, ...]) -> bool:
    """Tell whether two tables say the same; the order of rows says nothing about that."""
    return sorted(found) == sorted(planned)


def expect_before(tool: ForeignTool, step: RunTool, found: tuple[str, ...]) -> None:
    """Check that the bookkeeping is what the plan was made for.

    Raises:
        TransientError: It is not; a new plan is made.
    """
    if not same(found, step.before):
        raise TransientError(
            "DatabaseChanged",
            f"the database is at {_words(tool, found)}, the plan was made for "
            f"{_words(tool, step.before)}: somebody else migrates it; a new plan is made",
        )


def _cannot_start(place: ToolPlace, error: StartError) -> RefusedError:
    if error.stage is Stage.DIRECTORY:
        directory = place.spec.migrations.working_dir
        return RefusedError(
            "WorkingDirMissing", f"migrations.workingDir {directory} cannot be entered: {error}"
        )
    tool = foreign_tool(place.spec.migrations.tool)
    runtime = tool.started.runtime
    if error.not_found:
        names = " nor ".join(runtime.names)
        return RefusedError(
            runtime.missing,
            f"there is {'neither' if ' ' in names else 'no'} {names} on PATH where {tool.title} "
            "should run: is it the right image?",
        )
    return RefusedError(runtime.missing, f"{runtime.names[0]} cannot be started: {error}")


def _failure(place: ToolPlace, step: RunTool, ended: Ended) -> str:
    tool = foreign_tool(place.spec.migrations.tool)
    words = [f"{_command(step)} {_how(ended)}"]
    if ended.problem is not None:
        words.append(f": {ended.problem.sentence()}{tool.sentences.advice(ended.problem)}")
    elif ended.end.exit_code == 0:
        words.append(
            f", but it did not lead to {_words(tool, step.revisions)}: "
            f"{tool.sentences.elsewhere(place.spec)}"
        )
    elif sensible := _sensible(ended.tail):
        words.append(f": {sensible}")
    return "".join(words)


def _how(ended: Ended) -> str:
    end = ended.end
    if end.signal is not None:
        return f"was killed by {signal.Signals(end.signal).name}"
    if end.exit_code is None:
        return "was lost: its container ended and nobody saw the end of it"
    return "failed" if end.exit_code else "ended"


def _sensible(lines: Iterable[str]) -> str:
    worth = [line.strip() for line in lines if not line.startswith(("INFO ", "  "))]
    return " / ".join(worth[-_SHOWN:])[:600]


def _command(step: RunTool) -> str:
    return " ".join(step.argv)


def _words(tool: ForeignTool, revisions: tuple[str, ...]) -> str:
    return tool.books.shown(revisions) or "no revision"
