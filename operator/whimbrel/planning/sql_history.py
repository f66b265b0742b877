"""The files of a project beside the rows of what is applied: pending, edited or out of order."""

from dataclasses import dataclass

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Applied, Facts
from whimbrel.model.steps import MigrationFile
from whimbrel.planning.file_tool import BEFORE_ALL, FileTool, Key

HEAD = "head"


@dataclass(frozen=True)
class History:
    """One history beside the project that speaks of it.

    Attributes:
        owner: namespace/name of the object that asks.
        files: By key, ascending.
        rows: By key, ascending.
        notes: What a person should know of the past.
    """

    tool: FileTool
    owner: str
    files: dict[Key, MigrationFile]
    rows: dict[Key, Applied]
    notes: tuple[str, ...] = ()

    def last_applied(self) -> Key:
        """Return the highest applied key, or the one before all."""
        return max(self.rows, default=BEFORE_ALL)

    def last_file(self) -> Key:
        """Return the highest key of the project, or the one before all."""
        return max(self.files, default=BEFORE_ALL)

    def version(self, key: Key) -> str:
        """Return the version as written, "" where nothing has the key."""
        known = self.rows.get(key) or self.files.get(key)
        return known.version if known else ""

    def key(self, wanted: str) -> Key:
        """Return the key that `to` or `baseline` means.

        Raises:
            RefusedError: ``UnknownRevision``: neither a file nor an applied row has it.
        """
        names = {key: row.name for key, row in self.rows.items()}
        names |= {key: file.name for key, file in self.files.items()}
        found = self.tool.find(wanted, names)
        if found is None:
            known = f"the last file is {names[max(names)]}" if names else "there are no files"
            raise RefusedError("UnknownRevision", f"revision {wanted!r} is not known: {known}")
        return found


def history_of(
    tool: FileTool, owner: str, files: tuple[MigrationFile, ...], facts: Facts
) -> History:
    """Return files and rows by their keys.

    Raises:
        HeldError: The tool began what it did not finish, and a human decides.
    """
    rows = {tool.key(row.version): row for row in facts.applied}
    return History(
        tool,
        owner,
        {tool.key(file.version): file for file in files},
        dict(sorted(rows.items())),
        tool.unfinished(owner, facts, files),
    )


def check_applied(history: History) -> None:
    """Refuse a project whose applied files are not what was applied.

    Raises:
        RefusedError: ``EditedFile``, ``Conflict`` or ``OutOfOrder``, naming the file.
    """
    for key, row in history.rows.items():
        file = history.files.get(key)
        if file is not None and not file.has(row.checksum):
            raise _differs(history.owner, file, row)
    for key, file in history.files.items():
        if key not in history.rows and key < history.last_applied():
            raise _late(history, file)


def pending(history: History, target: Key) -> tuple[MigrationFile, ...]:
    """Return the files up to a key that are not applied."""
    return tuple(
        file for key, file in history.files.items() if key <= target and key not in history.rows
    )


def vanished(history: History) -> tuple[str, ...]:
    """Return notes for applied files that the project no longer has, though it has later ones."""
    return tuple(
        f"{row.name} is applied but no longer in the project"
        for key, row in history.rows.items()
        if key not in history.files and key < history.last_file()
    )


def _differs(owner: str, file: MigrationFile, row: Applied) -> RefusedError:
    if row.owner not in {owner, ""}:
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
    whose = "" if last.owner in {history.owner, ""} else f" by {last.owner}"
    return RefusedError(
        "OutOfOrder",
        f"{file.name} is not applied but {last.name} already is{whose}: {history.tool.later}",
    )
