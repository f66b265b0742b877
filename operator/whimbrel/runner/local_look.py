"""Reads a project at a terminal as the launcher reads one in an image (launcher/launcher.c)."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from whimbrel.runner.tool import Sink

MOST_BYTES: Final = 64 << 20
MOST_ENTRIES: Final = 20_000
_VENV_MARK: Final = "pyvenv.cfg"
# An environment that a tool is started with, as the kernel shows it.
ENVIRON: Final = "/proc/self/environ"


class UnreadableError(Exception):
    """Not everything can be read; the words say what and why."""


def read_all(words: Sequence[str], sink: Sink) -> None:
    """Read what the words ask for, as `Tool.look` has them, with ``t`` and a folder to read whole.

    Raises:
        UnreadableError: It cannot be read, or is too much, or there is a link in the folder.
    """
    left_out = frozenset(word[1:] for word in words if word.startswith("x"))
    entries = bytes_read = 0
    try:
        for kind, path in _found(words, left_out):
            there = path.exists()
            entries += 1
            bytes_read += path.stat().st_size if there and kind == "f" else 0
            if entries > MOST_ENTRIES or bytes_read > MOST_BYTES:
                raise UnreadableError(f"{path}: more than 20,000 files, or 64 MiB")
            sink.entry(kind if there else "m", str(path), path.stat().st_ctime if there else 0.0)
            if there and kind == "f":
                sink.content(_content(path))
    except OSError as error:
        raise UnreadableError(f"{error.filename}: {error.strerror}") from error


def _found(words: Sequence[str], left_out: frozenset[str]) -> Iterator[tuple[str, Path]]:
    for word in words:
        kind, path = word[:1], Path(word[1:])
        if kind == "t":
            yield from _tree(path.resolve(strict=True), left_out)
        elif kind == "n":
            yield "d", path
            names = sorted(path.iterdir()) if path.is_dir() else []
            yield from (("n", each) for each in names if each.name not in left_out)
        elif kind == "f":
            yield "f", path


def _tree(folder: Path, left_out: frozenset[str]) -> Iterator[tuple[str, Path]]:
    yield "d", folder
    for each in sorted(folder.iterdir()):
        if each.name in left_out:
            continue
        if each.is_symlink():
            raise UnreadableError(f"{each}: a link")
        if each.is_file():
            yield "f", each
        elif (each / _VENV_MARK).exists():
            yield "f", each / _VENV_MARK
        elif each.is_dir():
            yield from _tree(each, left_out)


def _content(path: Path) -> bytes:
    if str(path) == ENVIRON:  # what the kernel shows is of the start of this process
        return b"\0".join(b"%b=%b" % each for each in os.environb.items())
    return path.read_bytes()
