"""Foreign keys among what is restored: what they would have done, and rows that refer to none."""

from collections.abc import Iterable, Mapping
from typing import Final

from whimbrel.model.errors import HeldError
from whimbrel.planning.checkpoint.facts import foreign_keys, is_checked
from whimbrel.planning.dialects import postgresql_references as words
from whimbrel.planning.dialects.postgresql import quote_name
from whimbrel.planning.dialects.postgresql_references import Reference
from whimbrel.planning.dialects.postgresql_replay import Replayed
from whimbrel.runner.checkpoint.manifest import Checkpoint
from whimbrel.runner.session import Session
from whimbrel.runner.sessions import own

_MOST: Final = 10_000  # rows; more are no accident

# For each foreign key, by number, the keys of rows that seem to refer to none, as JSON.
Suspects = Mapping[int, frozenset[str]]
Window = tuple[int, int]  # first and last place in a patch; between two of them a key changed
_FOLLOWED: Final = (0, 0)  # the place of rows that went because of others


def references(checkpoint: Checkpoint, tables: Iterable[Replayed]) -> tuple[Reference, ...]:
    """Return the foreign keys of the covered tables and on them."""
    places = [(each.schema, each.table) for each in checkpoint.tables]
    clones = dict(zip(places, tables, strict=True))
    found = []
    for each in foreign_keys(table.manifest for table in checkpoint.tables):
        ends = (each["schema"], each["table"]), (each["target"][0], each["target"][1])
        child, parent = (clones.get(end) for end in ends)
        names = [
            clone.target if clone else quote_name(*end)
            for clone, end in zip((child, parent), ends, strict=True)
        ]
        found.append(Reference(each, child, parent, names[0], names[1], is_checked(each)))
    return tuple(found)


def follow(
    session: Session, known: Iterable[Reference], windows: Mapping[int, Iterable[Window]]
) -> None:
    """Do in the clones what the foreign keys would have done in this round, change after change."""
    pairs = [(each, each.child, each.parent) for each in known]
    both = [(each, child, parent) for each, child, parent in pairs if child and parent]
    for number in {parent.number: None for _, _, parent in both}:
        ours = [each for each in both if each[2].number == number]
        deletes = list(filter(None, (words.follow_delete(*each) for each in ours)))
        changes = list(filter(None, (words.follow_update(*each) for each in ours)))
        again = list(filter(None, (words.follow_delete(*each) for each in both)))
        for window in windows[number] if deletes or changes else ():
            more = _run(session, deletes, window)
            while more:
                more = _run(session, again, _FOLLOWED)
            _run(session, changes, window)


def _run(session: Session, statements: Iterable[str], window: Window) -> bool:
    """Run statements for a part of the patch; tell whether one has returned a row."""
    return bool([row for each in statements for row in own(session, each, *window)])


def new_suspects(session: Session, known: Iterable[Reference], before: Suspects) -> Suspects:
    """Return the rows that seem to refer to none, with those of this round."""
    found = dict(before)
    for number, each in enumerate(known):
        if each.child and each.is_checked:
            rows = own(session, words.find_new_orphans(each, each.child))
            found[number] = found.get(number, frozenset()) | {key for (key,) in rows}
    return found


def all_suspects(session: Session, known: Iterable[Reference]) -> Suspects:
    """Return all rows that refer to none; in a transaction that sees all tables at one time.

    Raises:
        HeldError: They are in a table that is not restored, or too many.
    """
    found = {}
    for number, each in enumerate(known):
        if not each.is_checked:
            continue
        if each.child is None:
            ((count,),) = own(session, words.count_orphans(each))
        else:
            rows = own(session, words.find_orphans(each, each.child, most=_MOST))
            found[number] = frozenset(key for (key,) in rows)
            count = len(rows) if len(rows) == _MOST else 0
        if count:
            raise _orphaned(each, count)
    return found


def _orphaned(reference: Reference, count: int) -> HeldError:
    facts = reference.facts
    return HeldError(
        "RestoreBlocked",
        f"{count} rows of {facts['schema']}.{facts['table']} would refer to rows that the restore "
        f"takes away (foreign key {facts['name']}); nothing has been changed back: delete them, or "
        "let them refer to others, then retry",
    )


def record_orphans(session: Session, known: Iterable[Reference], suspects: Suspects) -> None:
    """Record the rows that refer to none as conflicts, and those that refer to these, and so on."""
    checked = [(number, each) for number, each in enumerate(known) if each.is_checked]
    children = [(number, each, each.child) for number, each in checked if each.child]
    more = True
    while more:
        more = False
        for number, reference, child in children:
            keys = f"[{','.join(suspects.get(number, ()))}]"
            more = bool(own(session, words.remove_orphans(reference, child), keys)) or more
