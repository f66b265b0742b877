"""What the application was told about each row: acknowledged, refused, or no answer at all.

Each row has one writer, so what may be there at the end is simple: a set of possible rows, of
which an acknowledged change leaves only changed ones, a refused one all as they were, and one
without an answer both.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

Key = tuple[str, ...]
Row = Mapping[str, str | None]
State = Row | None  # None: the row is not there
Change = Callable[[State], State]

# What a trigger or a sequence gave while the answer was lost.
ANYTHING: Final = "\0anything"


@dataclass(frozen=True)
class Effect:
    """What one statement does to one row, if it takes place.

    Attributes:
        role: The table's role in the shop.
        key: The row.
        change: From the row as it was to the row as it is then.
        owed: Values in columns that only the new shape has, by column.
        ends: Whether values that were owed before are of no interest any more.
        finds: Whether the server found the row, so that it was there.
    """

    role: str
    key: Key
    change: Change
    owed: Mapping[str, str | None] = field(default_factory=dict)
    ends: bool = False
    finds: bool = False


@dataclass
class Fate:
    """What may have become of one row.

    Attributes:
        possible: The states it may be in.
        owed: Values that must stand in a conflict (one of each list), by column.
    """

    possible: list[State]
    owed: dict[str, list[str]] = field(default_factory=dict)

    def acknowledge(self, effect: Effect) -> None:
        """Take an effect for certain."""
        known = self.possible
        if effect.finds and any(known):
            known = [each for each in known if each is not None]
        self.possible = _distinct(effect.change(each) for each in known)
        if effect.ends:
            self.owed = {}
        for column, value in effect.owed.items():
            self.owed.pop(column, None)
            if value is not None:  # else the application has taken back itself what it wrote
                self.owed[column] = [value]

    def doubt(self, effect: Effect) -> None:
        """Take an effect that may have taken place."""
        self.possible = _distinct(
            [*self.possible, *(effect.change(each) for each in self.possible)]
        )
        for column in self.owed if effect.ends else ():
            self.owed[column].append(ANYTHING)
        for column, value in effect.owed.items():
            self.owed.setdefault(column, [ANYTHING]).append(ANYTHING if value is None else value)


def _distinct(states) -> list[State]:
    found: list[State] = []
    for each in states:
        if each not in found:
            found.append(each)
    return found


@dataclass
class History:
    """All that one writer knows.

    Attributes:
        fates: Of its rows, by role and key.
        loose: Inserts without an answer whose key the database draws, by token.
        ids: Keys that sequences handed out, by role.
        audits: What must stand in the audit: (op, touched or account).
        former: The key that a row had before its key was changed, by role and key.
        parents: Accounts to which a row was ever to refer.
        doubts: How many statements more may stand there.
        told: How many statements had which end, by phase.
    """

    fates: dict[tuple[str, Key], Fate] = field(default_factory=dict)
    loose: dict[str, Row] = field(default_factory=dict)
    ids: dict[str, list[int]] = field(default_factory=dict)
    audits: Counter[Key] = field(default_factory=Counter)
    former: dict[tuple[str, Key], Key] = field(default_factory=dict)
    parents: set[str] = field(default_factory=set)
    doubts: int = 0
    told: Counter[tuple[str, str]] = field(default_factory=Counter)

    def fate(self, role: str, key: Key) -> Fate:
        """Return what may have become of a row that was not there at the beginning, or was."""
        return self.fates.setdefault((role, key), Fate([None]))

    def acknowledge(self, effects: list[Effect]) -> None:
        """The server said that it is done."""
        for each in effects:
            if each.role == "audit":
                self.audits[each.key] += 1
            else:
                self.fate(each.role, each.key).acknowledge(each)

    def doubt(self, effects: list[Effect]) -> None:
        """The connection was lost before the server said anything."""
        self.doubts += 1
        for each in effects:
            if each.role != "audit":
                self.fate(each.role, each.key).doubt(each)


def gone(_: State) -> State:
    """A delete."""
    return None


def put(row: Row) -> Change:
    """An insert."""
    return lambda _: row


def patch(columns: Row) -> Change:
    """An update of some columns; of a row that only the migration made, nothing stays."""
    return lambda row: None if row is None else {**row, **columns}
