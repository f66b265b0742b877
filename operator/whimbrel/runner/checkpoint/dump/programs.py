"""Runs pg_dump, pg_restore and psql where they are, and reads what they say."""

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from psycopg.conninfo import conninfo_to_dict

from whimbrel.model.errors import RefusedError, TransientError
from whimbrel.planning.checkpoint.dump import programs as words
from whimbrel.runner.dump import DumpPlace
from whimbrel.runner.target import Target, conninfo
from whimbrel.runner.tool import ToolEnd

ENGINE: Final = "postgresql"  # the only one whose programs we know
_TAIL: Final = 20  # lines
_PIECE: Final = 1 << 20  # bytes that are read at once
_IMAGE: Final = "name an image of PostgreSQL in checkpoint.dump.image; at a terminal install it"


@dataclass(frozen=True)
class Said:
    """How a program ended, and its last lines, without secrets.

    Attributes:
        exit_code: None where a signal ended it, or nobody saw its end.
    """

    exit_code: int | None
    lines: tuple[str, ...]

    def sentence(self) -> str:
        """Return its last words."""
        worth = [line.strip() for line in self.lines if line.strip()]
        return " / ".join(worth[-3:])[:600] or f"exit code {self.exit_code}"


@dataclass(frozen=True)
class Programs:
    """The programs of a place, and the database that they are for.

    Attributes:
        name: What their sessions are called.
        clean: Takes secrets out of a text.
    """

    place: DumpPlace
    target: Target
    name: str
    clean: Callable[[str], str]

    def run(self, argv: Sequence[str], *, keep: int = _TAIL) -> Said:
        """Run a program to its end.

        Raises:
            RefusedError: There is no such program.
            TransientError: Its container, or it, went away.
        """
        if self.place.tool is None:
            raise TransientError("DumperNotThere", "the container of the dump is not there")
        told: deque[str] = deque(maxlen=keep)
        parts = {key: str(value) for key, value in conninfo_to_dict(conninfo(self.target)).items()}
        env = words.environment(parts, self.name)
        end = self.place.tool.run(argv, env, "", lambda line: told.append(self.clean(line)))
        return Said(_exit_code(end, argv[0]), tuple(told))

    def version(self, program: str) -> int:
        """Return the major version of a program.

        Raises:
            RefusedError: It is not there, or none of PostgreSQL's.
        """
        said = self.run(words.ask_version(program))
        found = words.major_of(said.lines) if said.exit_code == 0 else None
        if found is None:
            raise RefusedError(
                "DumperWrong", f"{program} does not tell its version ({said.sentence()}): {_IMAGE}"
            )
        return found


def _exit_code(end: ToolEnd, program: str) -> int | None:
    if end.start_error is not None:
        raise RefusedError(
            "DumperWrong", f"{program} cannot be started: {end.start_error}; {_IMAGE}"
        )
    if not end.gone:
        raise TransientError("DumperLost", f"{program} was lost: its container ended")
    return end.exit_code


def read_file(path: Path) -> tuple[int, str]:
    """Return size and sha256 (hex) of a file as it is read back.

    Raises:
        OSError: It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
    return size, digest.hexdigest()
