"""Arranges files into transactions."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from whimbrel.model.spec import Atomicity, Spec
from whimbrel.model.steps import (
    Direction,
    FileRun,
    MigrationFile,
    RunAlone,
    RunFiles,
    Step,
    StepId,
)
from whimbrel.planning.statements import SqlText
from whimbrel.planning.syntax import Parsed


@dataclass(frozen=True)
class Work:
    """A file and the text of it that runs.

    Attributes:
        down_name: Name of the file with its way back, or "".
    """

    file: MigrationFile
    text: SqlText
    down_name: str = ""


@dataclass(frozen=True)
class Group:
    """Files that share a transaction, or one file that runs outside of any."""

    works: tuple[Work, ...]

    def statements(self) -> tuple[Parsed, ...]:
        """Return the statements of all files in order."""
        return tuple(each for work in self.works for each in work.text.parsed)

    def runs_alone(self) -> bool:
        """Return whether this is one statement outside a transaction."""
        return self.works[0].text.alone is not None


def groups(works: Sequence[Work], atomicity: Atomicity) -> tuple[Group, ...]:
    """Return the files in as few transactions as their author allows."""
    return tuple(Group(tuple(each)) for each in _grouped(works, atomicity))


def step(spec: Spec, direction: Direction, group: Group) -> Step:
    """Return the step that carries out a group. Its id depends on the versions alone."""
    first, last = group.works[0], group.works[-1]
    span = first.file.version + (f"-{last.file.version}" if last is not first else "")
    name = StepId(f"{direction}:{spec.migrations.history}:{span}")
    if first.text.alone is not None:
        only = first.text.parsed[0].statement
        return RunAlone(name, direction, first.file, only, first.text.alone)
    files = tuple(FileRun(work.file, work.text.statements()) for work in group.works)
    return RunFiles(name, direction, files)


def _grouped(works: Iterable[Work], atomicity: Atomicity) -> Iterator[list[Work]]:
    for alone, each in groupby(works, key=lambda work: work.text.alone is not None):
        if alone or atomicity is Atomicity.FILE:
            yield from ([work] for work in each)
        else:
            yield list(each)
