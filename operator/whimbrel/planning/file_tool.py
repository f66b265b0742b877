"""What differs between the tools whose SQL files Whimbrel runs itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from whimbrel.model.facts import Applied, Facts
from whimbrel.model.spec import Tool
from whimbrel.model.steps import MigrationFile

Key = tuple[int, str]  # by which revisions are ordered
BEFORE_ALL: Key = (-1, "")


@dataclass(frozen=True)
class KeptTable:
    """The tool's own table on one kind of server, which we keep as the tool would.

    The row of a file is written in its transaction, or, where a file runs statement by statement,
    before and after it. In every statement `{t}` is the quoted name of the table.

    Attributes:
        name: Where the project does not say otherwise.
        columns: By which it is recognized.
        create: What the tool creates it with.
        read: Rows (id, revision, its file's name, checksum, "applied" or "unfinished", when it
            began, what was said), oldest first.
        begin: Writes the row of a file that begins ($1 revision, $2 checksum) and returns it, or
            nothing where there is one; "" where a file is one transaction.
        apply: Writes the row of a file that ran (the same values) or ends the one that began, and
            returns it; returns nothing where the tool has written one meanwhile.
        adopt: The same for a file that did not run.
        remove: Deletes the rows of a revision ($1) and returns those that said "applied".
        undo: Says of unfinished rows ($1 ids) what the tool says of one that was rolled back.
        fail: Writes why a file that began ($1 revision) failed and left a part ($2).
        forget: Deletes the row of a file that began ($1 revision) and left nothing.
        try_lock: Takes the tool's own lock until the end of the transaction, or of the
            session; returns whether.
        is_locked: Returns whether another session has that lock.
    """

    name: str
    columns: tuple[str, ...]
    create: str
    read: str
    apply: str
    adopt: str
    remove: str
    undo: str
    try_lock: str
    is_locked: str
    begin: str = ""
    fail: str = ""
    forget: str = ""


Choose = Callable[[Mapping[str, str], Sequence[str]], Mapping[str, str]]


def _all(files: Mapping[str, str], variants: Sequence[str]) -> Mapping[str, str]:
    del variants
    return files


@dataclass(frozen=True)
class FileTool:
    """A tool whose files we run.

    Attributes:
        title: Its name as its users write it.
        patterns: What is read of the project's directory; a folder is read as a name with "/".
        read: The migrations of a project in their order, from file texts by name.
        key: The place of a revision in that order.
        find: The place that a name of the spec means, among those known (with their file names).
        down_name: Name of the down file that belongs to a file.
        no_down: What the plan says of a file (%s) without a down file.
        later: What makes a file run after those that are applied.
        unfinished: Notes on what the tool itself began and did not finish, where the facts prove
            that nothing of it stayed; else the error that holds.
        tables: Its own table by kind of server; none where the ledger is all it has.
        choose: What of the files is meant for a kind of server, by words for it.
    """

    tool: Tool
    title: str
    patterns: tuple[str, ...]
    read: Callable[[Mapping[str, str]], tuple[MigrationFile, ...]]
    key: Callable[[str], Key]
    find: Callable[[str, Mapping[Key, str]], Key | None]
    down_name: Callable[[str], str]
    no_down: str
    later: str
    unfinished: Callable[[str, Facts, tuple[MigrationFile, ...]], tuple[str, ...]]
    tables: Mapping[str, KeptTable] = field(default_factory=dict)
    choose: Choose = _all

    def newest(self, rows: tuple[Applied, ...]) -> str:
        """Return the last revision of rows, "" for none."""
        return max((row.version for row in rows), key=self.key, default="")
