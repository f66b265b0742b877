"""An Alembic project: its revisions, what is below and above them, and what a name means."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from whimbrel.model.errors import RefusedError

BASE: Final = "base"  # Alembic's word for "nothing is applied"


class WayBack(StrEnum):
    """What the author wrote as `downgrade`, as far as its text tells."""

    WRITTEN = "Written"
    EMPTY = "Empty"
    REFUSES = "Refuses"
    MISSING = "Missing"


@dataclass(frozen=True)
class Revision:
    """One migration file.

    Attributes:
        down: Revisions right below it (two or more for a merge).
        depends: Revisions of other branches that it wants first (`depends_on`).
        sha256: Of the file, in hex.
    """

    id: str
    down: tuple[str, ...]
    depends: tuple[str, ...]
    file: str
    sha256: str
    way_back: WayBack
    title: str

    @property
    def below(self) -> tuple[str, ...]:
        """Return everything that is applied before it."""
        return self.down + self.depends


@dataclass(frozen=True)
class Project:
    """The revisions of a project, newest first, and its heads."""

    revisions: Mapping[str, Revision]
    heads: tuple[str, ...]

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
        """Return the ones that no other is built on: the rows of Alembic's bookkeeping table."""
        names = set(ids)
        covered = {below for name in names for below in self.revisions[name].below}
        return tuple(sorted(names - covered))

    def above(self, name: str) -> frozenset[str]:
        """Return every revision that is built on this one."""
        return frozenset(
            each for each in self.revisions if each != name and name in self.closure((each,))
        )

    def in_order(self, ids: Iterable[str]) -> tuple[Revision, ...]:
        """Return revisions oldest first."""
        wanted = set(ids)
        newest_first = [each for each in self.revisions.values() if each.id in wanted]
        return tuple(reversed(newest_first))


def resolve(project: Project, name: str) -> tuple[str, ...]:
    """Return the revisions that a name of the spec means; none for "base".

    Raises:
        RefusedError: The project has no such revision, or `head` means several.
    """
    if name in {"", BASE}:
        return ()
    if name == "heads":
        return project.tops(project.heads)
    if name == "head":
        return _single_head(project)
    if name not in project.revisions:
        heads = ", ".join(project.heads) or "none"
        raise RefusedError(
            "UnknownRevision",
            f"the image has no revision {name} (its newest: {heads}): name a whole revision id, "
            "head, heads or base",
        )
    return (name,)


def _single_head(project: Project) -> tuple[str, ...]:
    if len(project.heads) > 1:
        raise RefusedError(
            "SeveralHeads",
            f"the project has several heads ({', '.join(project.heads)}): merge them "
            "(`alembic merge heads`), or name one revision or `heads` in migrations.to",
        )
    return project.heads


def content(revisions: Iterable[Revision]) -> str:
    """Return a digest over the files, part of a step's id: an approval covers them too."""
    text = "\0".join(f"{each.id} {each.sha256}" for each in revisions)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
