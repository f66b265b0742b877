"""Applied migrations whose file is another one now: what is kept of them, and the refusal."""

from collections.abc import Collection, Mapping
from typing import Final

from whimbrel.model.errors import RefusedError
from whimbrel.model.facts import Facts
from whimbrel.planning.tools.foreign import ForeignTool, Rows
from whimbrel.planning.tools.project import Project, Revision

Digests = Mapping[str, str]  # sha256 (hex) of the file by revision

_NAMED: Final = 3  # files in a sentence


def refuse_edited(tool: ForeignTool, owner: str, facts: Facts, project: Project) -> None:
    """Refuse a project in which the file of an applied revision is not what was applied.

    Raises:
        RefusedError: ``EditedFile``, naming the files.
    """
    if tool.books.unknown(project, facts.revisions):
        return  # an older image cannot say what is applied
    files = edited(project, tool.books.applied(project, facts.revisions), facts.digests)
    if not files:
        return
    namespace, _, name = owner.partition("/")
    were, their = ("was", "its") if len(files) == 1 else ("were", "their")
    raise RefusedError(
        "EditedFile",
        f"{listed(files)} {were} edited after {their} revision was applied: restore {their} text "
        "and put the change into a new migration; or retry, if what is written there now is what "
        f"was applied (reformatted, or tidied up after a squash): {their} text is then kept anew",
        command=f"whimbrel retry {name} -n {namespace}",
    )


def edited(project: Project, applied: Collection[str], known: Digests) -> tuple[str, ...]:
    """Return the files of applied revisions that have another digest than the one that is known."""
    return tuple(
        each.file
        for each in project.in_order(applied)
        if is_compared(each) and known.get(each.id, each.sha256) != each.sha256
    )


def is_compared(revision: Revision) -> bool:
    """Tell whether the file of a revision must stay as it is.

    Not that of an installed package, which its next release may change, and not that of a squash:
    its author takes `replaces` out of it one day, as its tool says.
    """
    return not revision.library and not revision.replaces


def kept(
    project: Project, applied: Collection[str], known: Digests, anew: Collection[str] = ()
) -> dict[str, str]:
    """Return the digests to keep when these revisions are applied.

    Args:
        project: It may share the table with others: what it does not have stays.
        applied: Revisions of the project.
        known: Digests that were kept before.
        anew: Revisions whose file counts as it is now, whatever is known of it.
    """
    theirs = {name: digest for name, digest in known.items() if name not in project.revisions}
    ours = {
        each.id: each.sha256 if each.id in anew else known.get(each.id, each.sha256)
        for each in project.in_order(applied)
        if is_compared(each)
    }
    return theirs | ours


def expected(
    tool: ForeignTool, project: Project, rows: tuple[Rows, Rows], known: Digests
) -> dict[str, str]:
    """Return what to keep before a start that leads from the first rows to the second.

    Kept beforehand: nobody knows the text of a file that a killed runner has had applied.
    """
    before, after = (tool.books.applied(project, each) for each in rows)
    return kept(project, before | after, known, anew=after - before)


def listed(files: tuple[str, ...]) -> str:
    """Return names of files for a sentence."""
    more = f" and {len(files) - _NAMED} more" if len(files) > _NAMED else ""
    return ", ".join(files[:_NAMED]) + more
