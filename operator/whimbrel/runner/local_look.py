"""Reads a project at a terminal as the launcher reads one in an image (launcher/launcher.c)."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from whimbrel.planning.tools.image_digest import ENVIRON
from whimbrel.runner.tool import Sink

_MOST_BYTES: Final = 64 << 20
_MOST_ENTRIES: Final = 20_000


class UnreadableError(Exception):
    """Not everything can be read; the words say what and why."""


def read_all(words: Iterable[str], sink: Sink) -> None:
    """Read what the words ask for, as `Tool.look` has them, with ``t`` and a folder to read whole.

    Raises:
        UnreadableError: It is too much, or there is a link in the folder.
        OSError: It cannot be read.
    """
    asked = [(word[:1], Path(word[1:])) for word in words]
    left_out = {path.name for kind, path in asked if kind == "x"}
    read = 0
    for number, (kind, path) in enumerate(_found(asked, left_out)):
        there = path.stat() if path.exists() else None
        is_file = there is not None and kind == "f"
        read += there.st_size if there and is_file else 0
        if number >= _MOST_ENTRIES or read > _MOST_BYTES:
            raise UnreadableError(f"{path}: more than 20,000 files, or 64 MiB")
        sink.entry(kind if there else "m", str(path), there.st_ctime if there else 0.0)
        if is_file:
            sink.content(_environ() if str(path) == ENVIRON else path.read_bytes())


def _found(asked: Iterable[tuple[str, Path]], left_out: set[str]) -> Iterator[tuple[str, Path]]:
    for kind, path in asked:
        if kind == "f":
            yield kind, path
        elif kind == "n":
            yield "d", path
            names = path.iterdir() if path.is_dir() else ()
            yield from ((kind, each) for each in names if each.name not in left_out)
        elif kind == "t":
            yield from _tree(path.resolve(strict=True), left_out)


def _tree(folder: Path, left_out: set[str]) -> Iterator[tuple[str, Path]]:
    yield "d", folder
    for each in folder.iterdir():
        if each.name in left_out:
            continue
        if each.is_symlink():
            raise UnreadableError(f"{each}: a link")
        mark = each / "pyvenv.cfg"  # of an environment for Python only what it is made from
        if each.is_file() or mark.exists():
            yield "f", each if each.is_file() else mark
        elif each.is_dir():
            yield from _tree(each, left_out)


def _environ() -> bytes:
    # What the kernel shows is of the start of this process.
    return b"\0".join(b"%b=%b" % each for each in os.environb.items())
