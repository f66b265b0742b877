"""A project of migrations that a tool lists: what is below and above them, newest first."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from whimbrel.model.errors import RefusedError

BASE: Final = "base"  # the word for "nothing is applied", good for every tool
HEAD: Final = "head"
HEADS: Final = frozenset({HEAD, "heads"})


class WayBack(StrEnum):
    """What the author wrote as the way back, as far as it can be told without running it."""

    WRITTEN = "Written"
    EMPTY = "Empty"
    REFUSES = "Refuses"
    MISSING = "Missing"


@dataclass(frozen=True)
class Revision:
    """One migration file.

    Attributes:
        down: Revisions right below it (two or more for a merge).
        depends: Revisions of other branches or apps that it wants first.
        sha256: Of the file, in hex.
        atomic: Nothing of it stays when it fails; otherwise it commits as it goes.
        replaces: Revisions that were squashed into this one.
        library: The file belongs to an installed package, whose next release may change it.
        text: Of the file, if the name of the ledger's schema is in it.
    """

    id: str
    down: tuple[str, ...]
    depends: tuple[str, ...]
    file: str
    sha256: str
    way_back: WayBack
    title: str = ""
    replaces: tuple[str, ...] = ()
    atomic: bool = True
    library: bool = False
    text: str = ""

    @property
    def below(self) -> tuple[str, ...]:
        """Return everything that is applied before it."""
        return self.down + self.depends


@dataclass(frozen=True)
class Look:
    """What an `inspect` read besides the files below its working directory.

    Attributes:
        files: Paths, also of what was not there; of installed packages their lists of files.
        folders: Paths of folders that it listed.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Project:
    """The revisions of a project, newest first, and its heads.

    Attributes:
        look: What decides that the next `inspect` says the same; None where that is not known.
    """

    revisions: Mapping[str, Revision]
    heads: tuple[str, ...]
    look: Look | None = None

    def closure(self, ids: Iterable[str]) -> frozenset[str]:
        """Return the revisions and all that are below them."""
        found: set[str] = set()
        waiting = list(ids)
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(self.revisions[name].below)
        return frozenset(found)

    def tops(self, ids: Iterable[str]) -> tuple[str, ...]:
        """Return the ones that no other of them is built on."""
        names = set(ids)
        covered = {below for name in names for below in self.revisions[name].below}
        return tuple(sorted(names - covered))

    def with_dependents(self, ids: Iterable[str]) -> frozenset[str]:
        """Return the revisions and all that are built on them."""
        found = set(ids)
        for each in self.in_order(self.revisions):
            if found.intersection(each.below):
                found.add(each.id)
        return frozenset(found)

    def above(self, name: str) -> frozenset[str]:
        """Return every revision that is built on this one."""
        return self.with_dependents((name,)) - {name}

    def in_order(self, ids: Iterable[str]) -> tuple[Revision, ...]:
        """Return revisions oldest first."""
        wanted = set(ids)
        newest_first = [each for each in self.revisions.values() if each.id in wanted]
        return tuple(reversed(newest_first))

    def known(self, name: str, words: str) -> str:
        """Return the name of a revision that the project has.

        Raises:
            RefusedError: It has none of that name; `words` say what can be named.
        """
        if name not in self.revisions:
            heads = ", ".join(self.heads) or "none"
            raise RefusedError(
                "UnknownRevision",
                f"the image has no revision {name} (its newest: {heads}): name {words}",
            )
        return name

    def place(self, name: str, words: str) -> tuple[str, ...]:
        """Return the revision that a name of the spec means, where all stand in one row.

        Raises:
            RefusedError: It has none of that name; `words` say what can be named.
        """
        if name in {"", BASE}:
            return ()
        return self.heads if name in HEADS else (self.known(name, words),)


def pieces(revisions: Iterable[Revision]) -> tuple[str, ...]:
    """Return name and digest of each."""
    return tuple(f"{each.id} {each.sha256}" for each in revisions)


def content(revisions: Iterable[Revision]) -> str:
    """Return a digest over the files, part of a step's id: an approval covers them too."""
    text = "\0".join(pieces(revisions))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def named(revision: Revision) -> str:
    """Return file and title."""
    return f"{revision.file} ({revision.title})" if revision.title else revision.file
