"""What the wrapper says about an Alembic project, line by line, and what went wrong with it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from whimbrel.model.errors import RefusedError
from whimbrel.planning.tools.alembic_project import Project, Revision, WayBack

MARK: Final = "@whimbrel "  # begins the lines that whimbrel.runner.alembic_wrapper writes for us


@dataclass(frozen=True)
class Problem:
    """Why the wrapper ended early.

    Attributes:
        reason: AlembicMissing, ConfigMissing, or the class of a Python exception.
        text: First line of the error; never a row's values.
        place: File and line of the project, or "".
        sqlstate: SQLSTATE of the database, or "".
        statement: The beginning of the SQL statement, or "".
    """

    reason: str
    text: str = ""
    place: str = ""
    sqlstate: str = ""
    statement: str = ""

    def sentence(self) -> str:
        """Return all of it for a person."""
        words = f"{self.place}: {self.text}" if self.place else self.text
        words += f" (SQLSTATE {self.sqlstate})" if self.sqlstate else ""
        return f"{words} [{self.statement}]" if self.statement else words


def parse_project(lines: Iterable[str]) -> Project:
    """Return the project that `inspect` told.

    Raises:
        RefusedError: The image or the project cannot be used; the sentence says what to change.
    """
    told = tuple(_messages(lines))
    problem = find_problem(told)
    if problem is not None:
        raise refusal(problem)
    ends = [message for message in told if message["kind"] == "inspected"]
    if not ends:
        raise RefusedError(
            "ProjectUnreadable",
            "Alembic ended without telling its revisions; the log of the container has its words",
        )
    revisions = (_revision(message) for message in told if message["kind"] == "revision")
    return Project({each.id: each for each in revisions}, tuple(sorted(ends[-1]["heads"])))


def parse_problem(lines: Iterable[str]) -> Problem | None:
    """Return why the wrapper ended early, or None when it said nothing of the kind."""
    return find_problem(_messages(lines))


def find_problem(messages: Iterable[Mapping[str, Any]]) -> Problem | None:
    """Return the problem among the wrapper's messages, or None."""
    for message in messages:
        if message["kind"] == "problem":
            return _problem(message)
    return None


def refusal(problem: Problem) -> RefusedError:
    """Return the sentence for a project that could not even be read."""
    match problem.reason:
        case "AlembicMissing" | "ConfigMissing":
            return RefusedError(problem.reason, problem.text)
        case "UserWarning":
            return RefusedError("DuplicateRevision", f"{problem.text}: give each file its own id")
        case "CommandError":
            return RefusedError("ConfigWrong", f"Alembic cannot read its project: {problem.text}")
        case name:
            return RefusedError(
                "BrokenMigration",
                f"a file of the project cannot be loaded: {problem.sentence()} ({name})",
            )


def is_for_us(line: str) -> bool:
    """Say whether a line of output is the wrapper's and not the project's."""
    return line.startswith(MARK)


def _messages(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with suppress(json.JSONDecodeError):  # a line that was too long and has been cut
            if is_for_us(line):
                yield json.loads(line.removeprefix(MARK))


def _revision(message: Mapping[str, Any]) -> Revision:
    return Revision(
        id=message["id"],
        down=tuple(message["down"]),
        depends=tuple(message["depends"]),
        file=message["file"],
        sha256=message["sha256"],
        way_back=WayBack(message["downgrade"]),
        title=message["title"],
    )


def _problem(message: Mapping[str, Any]) -> Problem:
    reason = message["reason"]
    if reason == "AlembicMissing":
        text = (
            f"the image's python ({message['python']}) cannot load Alembic ({message['text']}): "
            "install alembic in the image and put that python first on PATH"
        )
        return Problem(reason, text)
    if reason == "ConfigMissing":
        text = (
            f"{message['config']} does not exist in {message['directory']}: "
            "set migrations.alembic.config and migrations.workingDir"
        )
        return Problem(reason, text)
    place = f"{message['file']}, line {message['line']}" if "file" in message else ""
    return Problem(reason, message["text"], place, message["sqlstate"], message["statement"])
