"""The files of a project beside the ledger's rows: what is pending, edited or out of order."""

from collections.abc import Sequence
from dataclasses import dataclass

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Applied
from whimbrel.model.steps import MigrationFile
from whimbrel.planning.sql_files import find_version, number_of

HEAD = "head"


@dataclass(frozen=True)
class History:
    """One history of the ledger beside the project that speaks of it.

    Attributes:
        owner: namespace/name of the object that asks.
        files: By number, ascending.
        rows: By number, ascending.
    """

    owner: str
    files: dict[int, MigrationFile]
    rows: dict[int, Applied]

    def last_applied(self) -> int:
        """Return the highest applied number, or -1."""
        return max(self.rows, default=-1)

    def last_file(self) -> int:
        """Return the highest number of the project, or -1."""
        return max(self.files, default=-1)

    def version(self, number: int) -> str:
        """Return the version as written, "" where nothing has the number."""
        known = self.rows.get(number) or self.files.get(number)
        return known.version if known else ""

    def number(self, wanted: str) -> int:
        """Return the number that `to` or `baseline` means.

        Raises:
            RefusedError: ``UnknownRevision``: neither a file nor a ledger row has it.
        """
        names = {number: row.name for number, row in self.rows.items()}
        names |= {number: file.name for number, file in self.files.items()}
        found = find_version(wanted, names)
        if found is None:
            known = f"the last file is {names[max(names)]}" if names else "there are no files"
            raise RefusedError("UnknownRevision", f"revision {wanted!r} is not known: {known}")
        return found


def history_of(owner: str, files: Sequence[MigrationFile], applied: Sequence[Applied]) -> History:
    """Return files and rows by their numbers."""
    rows = sorted(applied, key=lambda row: number_of(row.version))
    return History(
        owner,
        {number_of(file.version): file for file in files},
        {number_of(row.version): row for row in rows},
    )


def check_applied(history: History) -> None:
    """Refuse a project whose applied files are not what was applied.

    Raises:
        RefusedError: ``EditedFile``, ``Conflict`` or ``OutOfOrder``, naming the file.
    """
    for number, row in history.rows.items():
        file = history.files.get(number)
        if file is not None and file.checksum != row.checksum:
            raise _differs(history.owner, file, row)
    for number, file in history.files.items():
        if number not in history.rows and number < history.last_applied():
            raise _late(history, file)


def pending(history: History, target: int) -> tuple[MigrationFile, ...]:
    """Return the files up to a number that are not applied."""
    return tuple(
        file
        for number, file in history.files.items()
        if number <= target and number not in history.rows
    )


def vanished(history: History) -> tuple[str, ...]:
    """Return notes for applied files that the project no longer has, though it has later ones."""
    return tuple(
        f"{row.name} is applied but no longer in the project"
        for number, row in history.rows.items()
        if number not in history.files and number < history.last_file()
    )


def _differs(owner: str, file: MigrationFile, row: Applied) -> RefusedError:
    if row.owner != owner:
        return RefusedError(
            "Conflict",
            f"{file.name}: version {row.version} of history {row.history!r} was applied by "
            f"{row.owner} with other content ({row.name}): give this project its own "
            "spec.migrations.history, or renumber the file",
        )
    return RefusedError(
        "EditedFile",
        f"{file.name} was edited after it was applied: restore its text and put the change into a "
        "new file",
    )


def _late(history: History, file: MigrationFile) -> RefusedError:
    last = history.rows[history.last_applied()]
    whose = "" if last.owner == history.owner else f" by {last.owner}"
    return RefusedError(
        "OutOfOrder",
        f"{file.name} is not applied but {last.name} already is{whose}: "
        "give the file a higher number",
    )
