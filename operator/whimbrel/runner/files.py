"""Reads the SQL files of a project from a directory."""

from pathlib import Path
from typing import Final

from whimbrel.model.errors import RefusedError

FILE_LIMIT: Final = 16 * 1024 * 1024  # bytes of one migration file


def read_directory(folder: Path, patterns: tuple[str, ...]) -> dict[str, str]:
    """Return the texts of files by their names in a folder; a folder in it is a name with a "/".

    Raises:
        RefusedError: A file cannot be read, is too large, or is no UTF-8.
    """
    found = [path for pattern in patterns for path in folder.glob(pattern)]
    return {_name(path, folder): "" if path.is_dir() else _text(path) for path in sorted(found)}


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() + ("/" if path.is_dir() else "")


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > FILE_LIMIT:
            raise RefusedError(
                "FileTooLarge",
                f"{path.name}: {size} bytes; a migration file may hold {FILE_LIMIT} bytes: "
                "load bulk data outside of migrations",
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(
            "NotText", f"{path.name}: byte {error.start} is no UTF-8; save the file as UTF-8"
        ) from None
    except OSError as error:
        raise RefusedError(
            "NotReadable", f"{path.name}: cannot be read: {error.strerror}"
        ) from None
