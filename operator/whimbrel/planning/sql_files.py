"""The files of tool `sql`: NNN_name.up.sql and NNN_name.down.sql, paired and ordered.

NNN_name.mariadb.up.sql is meant for one kind of server.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.migrations import DOWN_SUFFIX
from whimbrel.model.steps import MigrationFile
from whimbrel.planning.file_tool import Key

MAX_FILES: Final = 10_000
MAX_FILE_BYTES: Final = 4 * 1024 * 1024  # a ConfigMap holds 1 MiB; data loads belong elsewhere
_NAME: Final = re.compile(r"([0-9]{1,18})_([A-Za-z0-9][-.A-Za-z0-9_]*)\.(up|down)\.sql")
_VARIANT: Final = re.compile(r"\.(postgresql|mariadb|mysql)(?=\.(?:up|down)\.sql$|$)")


def read_files(files: Mapping[str, str]) -> tuple[MigrationFile, ...]:
    """Return the migrations of a project, ordered by their number.

    Args:
        files: File name (without a directory) to its text.

    Raises:
        RefusedError: The files are no project of numbered migrations; the file is named.
    """
    if not files:
        raise RefusedError(
            "NoFiles",
            "there are no migration files: name them NNN_name.up.sql and NNN_name.down.sql",
        )
    for name, text in files.items():
        _check_name(name)
        if not text.strip():
            raise RefusedError("EmptyFile", f"{name} is empty: write its SQL or delete the file")
    check_texts(files)
    files = meant_here(files)
    ups = _by_number(files, "up")
    downs = _by_number(files, "down")
    _check_pairs(ups, downs)
    return tuple(_migration(files, up, downs.get(number)) for number, up in sorted(ups.items()))


def key_of(version: str) -> Key:
    """Return what versions are ordered by: their value."""
    return (int(version), "")


def down_name(up_name: str) -> str:
    """Return the name of the down file that belongs to an up file."""
    return up_name.removesuffix(".up.sql") + DOWN_SUFFIX


def find_version(wanted: str, files: Mapping[Key, str]) -> Key | None:
    """Return the key that a person means by ``005``, ``5`` or ``005_users``, or None.

    Args:
        wanted: What the person wrote.
        files: Key to file name (up) of everything that is known.
    """
    digits, _, rest = wanted.removesuffix(".up.sql").partition("_")
    key = key_of(digits) if re.fullmatch(r"[0-9]{1,18}", digits) else None
    if key is None or key not in files:
        return None
    known = files[key].removesuffix(".up.sql").partition("_")[2]
    return key if rest in {"", known, _VARIANT.sub("", known)} else None


def meant_here(files: Mapping[str, str], variants: Sequence[str] = ()) -> dict[str, str]:
    """Return the files without those that are meant for another kind of server.

    A way back belongs to the file of the same variant: another one would not fit what it did.

    Args:
        files: File name to its text.
        variants: Words for the kind of server, the best first; none for whichever is there.

    Raises:
        RefusedError: ``VariantMissing``.
    """
    offered: dict[str, dict[str, str]] = {}
    for name in sorted(files):
        if name.endswith(".up.sql"):
            offered.setdefault(_VARIANT.sub("", name), {})[_variant(name)] = name
    chosen = {stem: _best(stem, names, variants) for stem, names in offered.items()}
    return {
        name: text
        for name, text in files.items()
        if _variant(name) == _variant(chosen.get(_up_stem(name), name))
    }


def _best(stem: str, names: Mapping[str, str], variants: Sequence[str]) -> str:
    for variant in (*variants, "", *(() if variants else names)):
        if variant in names:
            return names[variant]
    told = " and ".join(sorted(names.values()))
    here = stem.removesuffix(".up.sql")
    raise RefusedError(
        "VariantMissing",
        f"{stem} is there for another kind of server only ({told}): "
        f"write {here}.{variants[0]}.up.sql, or {stem} for every other kind",
    )


def _up_stem(name: str) -> str:
    stem = _VARIANT.sub("", name)
    return stem.removesuffix(DOWN_SUFFIX) + ".up.sql" if stem.endswith(DOWN_SUFFIX) else stem


def _variant(name: str) -> str:
    found = _VARIANT.search(name)
    return found[1] if found else ""


def check_texts(files: Mapping[str, str]) -> None:
    """Refuse files that cannot be SQL text, whatever they are called.

    Raises:
        RefusedError: There are too many, one is too large, or holds what no text holds.
    """
    if len(files) > MAX_FILES:
        raise RefusedError("TooManyFiles", f"{len(files)} files; at most {MAX_FILES} are read")
    for name, text in files.items():
        _check_text(name, text)


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise RefusedError(
            "BadFileName",
            f"{name!r} is not the name of a migration: "
            "it must look like 001_name.up.sql or 001_name.down.sql",
        )


def _check_text(name: str, text: str) -> None:
    if "\0" in text:
        raise RefusedError("NulByte", f"{name} holds a NUL byte, which is no SQL text")
    if len(text.encode(errors="surrogatepass")) > MAX_FILE_BYTES:
        raise RefusedError("FileTooLarge", f"{name} is larger than {MAX_FILE_BYTES >> 20} MiB")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise RefusedError("NotUtf8", f"{name} is not UTF-8")


def _by_number(files: Mapping[str, str], direction: str) -> dict[int, str]:
    found: dict[int, str] = {}
    for name in sorted(files):
        match = _NAME.fullmatch(name)
        if match is None or match[3] != direction:
            continue
        other = found.setdefault(int(match[1]), name)
        if other != name:
            raise RefusedError(
                "SameNumber",
                f"{other} and {name} have the same number {int(match[1])}: renumber one of them",
            )
    return found


def _check_pairs(ups: Mapping[int, str], downs: Mapping[int, str]) -> None:
    for number, down in sorted(downs.items()):
        if number not in ups:
            raise RefusedError("DownWithoutUp", f"{down} has no up file that belongs to it")
        if down != down_name(ups[number]):
            raise RefusedError(
                "DownWithoutUp",
                f"{down} does not belong to {ups[number]}: name it {down_name(ups[number])}",
            )


def _migration(files: Mapping[str, str], up: str, down: str | None) -> MigrationFile:
    text = files[up]
    return MigrationFile(
        version=up.partition("_")[0],
        name=up,
        up=text,
        down=None if down is None else files[down],
        checksum=hashlib.sha256(text.encode()).hexdigest(),
    )
