"""What a tool's wrapper says, line by line: the project, or what went wrong."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from whimbrel.model.errors import RefusedError
from whimbrel.planning.tools.foreign import ForeignTool, Problem
from whimbrel.planning.tools.project import Look, Project, Revision, WayBack

MARK: Final = "@whimbrel "  # begins the lines that a file of whimbrel.runner.wrappers writes for us


def parse_project(tool: ForeignTool, lines: Iterable[str]) -> Project:
    """Return the project that `inspect` told.

    Raises:
        RefusedError: The image or the project cannot be used; the sentence says what to change.
    """
    told = tuple(_messages(lines))
    problem = _find_problem(tool, told)
    if problem is not None:
        raise tool.sentences.refusal(problem)
    ends = [message for message in told if message["kind"] == "inspected"]
    if not ends:
        raise RefusedError(
            "ProjectUnreadable",
            f"{tool.title} ended without telling its revisions; the log of the container has its "
            "words",
        )
    texts = _texts(told)
    found = (message for message in told if message["kind"] == "revision")
    revisions = (_revision(each, texts.get(each["sha256"], "")) for each in found)
    heads = tuple(sorted(ends[-1]["heads"]))
    return Project({each.id: each for each in revisions}, heads, _look(told, ends[-1]))


def parse_problem(tool: ForeignTool, lines: Iterable[str]) -> Problem | None:
    """Return why the wrapper ended early, or None when it said nothing of the kind."""
    return _find_problem(tool, _messages(lines))


def parse_stays(lines: Iterable[str]) -> tuple[str, ...] | None:
    """Return the statements of the migration at work that stay, whatever becomes of it.

    None where the wrapper tells nothing of the kind; it ends each migration with a line `whole`,
    and says one before the first.
    """
    found: list[str] | None = None
    for message in _messages(lines):
        if message["kind"] == "whole":
            found = []
        elif message["kind"] == "stays" and found is not None:
            found.append(f"{message['migration']}: {message['statement']}")
    return None if found is None else tuple(found)


def is_for_us(line: str) -> bool:
    """Say whether a line of output is the wrapper's and not the project's."""
    return line.startswith(MARK)


def _messages(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        with suppress(json.JSONDecodeError):  # a line that was too long and has been cut
            if is_for_us(line):
                yield json.loads(line.removeprefix(MARK))


def _texts(told: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the texts of files, by their digests."""
    pieces = {(each["sha256"], each["start"]): each["text"] for each in told if "start" in each}
    texts: dict[str, str] = {}
    for (sha256, _), text in sorted(pieces.items()):
        texts[sha256] = texts.get(sha256, "") + text
    return texts


def _look(told: Iterable[Mapping[str, Any]], end: Mapping[str, Any]) -> Look | None:
    """Return what `inspect` has read, if it tells, and no line of that is missing."""
    lines = [message for message in told if message["kind"] == "look"]
    if end.get("looks") != len(lines):
        return None
    files, folders = ({path for line in lines for path in line[name]} for name in _LOOKS)
    return Look(tuple(sorted(files)), tuple(sorted(folders)))


_LOOKS: Final = ("files", "folders")


def _revision(message: Mapping[str, Any], text: str) -> Revision:
    return Revision(
        id=message["id"],
        down=tuple(message["down"]),
        depends=tuple(message["depends"]),
        file=message["file"],
        sha256=message["sha256"],
        way_back=WayBack(message["downgrade"]),
        title=message.get("title", ""),
        replaces=tuple(message.get("replaces", ())),
        atomic=message.get("atomic", True),
        library=message.get("library", False),
        text=text,
    )


def _find_problem(tool: ForeignTool, messages: Iterable[Mapping[str, Any]]) -> Problem | None:
    for message in messages:
        if message["kind"] == "problem":
            return _problem(tool, message)
    return None


def _problem(tool: ForeignTool, message: Mapping[str, Any]) -> Problem:
    reason = message["reason"]
    if sentence := tool.sentences.problem(message):
        return Problem(reason, sentence)
    place = message.get("file", "")
    place += f", line {message['line']}" if "line" in message else ""
    return Problem(reason, message["text"], place, message["sqlstate"], message["statement"])
