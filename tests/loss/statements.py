"""Statements of the application, each with what it does to which rows if it takes place."""

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import psycopg

from tests.loss.history import ANYTHING, Effect, History, Key, State, gone, patch, put
from tests.loss.shop import MADE_BY_MIGRATION, Shop, Table, quoted

Answer = dict[str, str | None]  # the row as the server returned it


@dataclass(frozen=True)
class NewShape:
    """What only the migrated shape has, as the application knows it.

    Attributes:
        columns: Further columns that hold text, by role.
        renamed: New names of columns, by role and old name.
        mapped: Whether the checkpoint was told of the renames.
        tables: New qualified names of tables, by role.
    """

    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    renamed: Mapping[tuple[str, str], str] = field(default_factory=dict)
    mapped: bool = False
    tables: Mapping[str, str] = field(default_factory=dict)

    def old_name(self, role: str, name: str) -> str | None:
        """Return the column of the old shape that takes a value, or None."""
        for (of, old), new in self.renamed.items():
            if of == role and new == name:
                return old if self.mapped else None
        return None if name in self.columns.get(role, ()) else name


@dataclass(frozen=True)
class Statement:
    """A statement of the application.

    Attributes:
        text: With RETURNING *.
        values: Bound as text.
        planned: What it does, as far as that is known without an answer.
        confirmed: What it did, from the row that came back (None: no row).
        loose: Token and row of an insert whose key only the answer tells.
    """

    text: str
    values: tuple[str | None, ...]
    planned: tuple[Effect, ...]
    confirmed: Callable[[Answer | None], list[Effect]]
    loose: tuple[str, Mapping[str, str | None]] | None = None

    def run(self, session: psycopg.Connection) -> list[Effect]:
        """Run it and return what it did."""
        cursor = session.execute(self.text.encode(), self.values)
        return self.confirmed(answer(cursor))


def answer(cursor: psycopg.Cursor) -> Answer | None:
    """Return the first row as the server wrote it, nothing converted."""
    result = cursor.pgresult
    assert result is not None
    if result.ntuples == 0:
        return None
    found = {}
    for at in range(result.nfields):
        value, name = result.get_value(0, at), result.fname(at)
        assert name is not None
        found[name.decode()] = None if value is None else value.decode()
    return found


@dataclass
class Pen:
    """Writes the statements of one writer."""

    shop: Shop
    new: NewShape
    history: History
    draw: random.Random
    writer: int
    count: int = 0

    def token(self) -> str:
        """Return a text that occurs once in the whole round."""
        self.count += 1
        return f"w{self.writer}-{self.count}"

    def place(self, table: Table) -> str:
        """Return the name of a table, at times the one that it has in the new shape."""
        new = self.new.tables.get(table.role)
        return new if new is not None and self.draw.random() < 0.5 else table.qualified

    def values(self, table: Table, most: int) -> dict[str, str | None]:
        """Return fresh values of some columns, by the names that they have in either shape."""
        token, found = self.token(), {}
        for column in self.draw.sample(
            table.columns, self.draw.randint(1, min(most, len(table.columns)))
        ):
            new = self.new.renamed.get((table.role, column.name))
            name = new if new and self.draw.random() < 0.6 else column.name
            found[name] = column.draw(self.draw, token)
            if "NOT NULL" not in column.words and self.draw.random() < 0.05:
                found[name] = None
        for name in self.new.columns.get(table.role, ()):
            if self.draw.random() < 0.4:
                found[name] = f"{token} neu"
        return found

    def insert(self, table: Table, key: Key, more: Mapping[str, str] | None = None) -> Statement:
        """Return an insert; an empty key is drawn by the database."""
        written = self.values(table, len(table.columns))
        first = table.columns[0].name
        renamed = self.new.renamed.get((table.role, first), first)
        if first not in written:
            written.setdefault(renamed, self.token())
        token = written.get(first) or written.get(renamed) or ""
        named = dict(zip(table.key, key, strict=False)) | dict(more or {})
        self.history.parents |= {named[name] for name in ("konto", "account") if name in named}
        row = self._row(table, named | written, {})
        owed = self._owed(table, written)
        override = " OVERRIDING SYSTEM VALUE" if key and table.role == "account" else ""
        columns = ", ".join(quoted(name) for name in (*named, *written))
        marks = ", ".join(["%s"] * (len(named) + len(written)))
        text = f"INSERT INTO {self.place(table)} ({columns}){override} VALUES ({marks}) RETURNING *"

        def confirmed(said: Answer | None) -> list[Effect]:
            assert said is not None, "an insert returned no row"
            return self._inserted(table, said, row, owed)

        values = tuple(named.values()) + tuple(written.values())
        loose = None if key else (token, row)
        planned = (Effect(table.role, key, put(row), owed, ends=True),) if key else ()
        return Statement(text, values, planned, confirmed, loose)

    def _inserted(
        self, table: Table, said: Answer, row: State, owed: Mapping[str, str]
    ) -> list[Effect]:
        key = tuple(said.get(name) or "" for name in table.key)
        full = self._row(table, said, row or {})
        there = Effect(table.role, key, put(full), owed, ends=True)
        return [there, *_audit(table, "I", said.get("touched"))]

    def _row(self, table: Table, given: Mapping[str, str | None], before: Mapping) -> dict:
        """Return a whole row of the old shape: what is given, what was, else defaults."""
        row = {each.name: each.default for each in table.columns}
        row |= {name: ANYTHING if name == "touched" else None for name in table.kept} | before
        for name, value in given.items():
            old = self.new.old_name(table.role, name)
            if old in table.all():
                row[old] = value
        return row

    def _owed(self, table: Table, written: Mapping[str, str | None]) -> dict[str, str | None]:
        new = (name for name in written if self.new.old_name(table.role, name) is None)
        return {name: written[name] for name in new}

    def update(self, table: Table, key: Key) -> Statement:
        """Return an update of some columns of one row."""
        written = self.values(table, 3)
        plain = {self.new.old_name(table.role, name): value for name, value in written.items()}
        plain.pop(None, None)
        owed = self._owed(table, written)
        sets = ", ".join(f"{quoted(name)} = %s" for name in written)
        text = f"UPDATE {self.place(table)} SET {sets} WHERE {_is(table)} RETURNING *"
        touched = {"touched": ANYTHING} if "touched" in table.kept else {}

        def confirmed(said: Answer | None) -> list[Effect]:
            if said is None:
                return []
            found = {self.new.old_name(table.role, name): said[name] for name in written}
            found.pop(None, None)
            if touched:
                found["touched"] = said["touched"]
            known = any(self.history.fate(table.role, key).possible)
            # What is written to a row of the migration has no place to go back to.
            due = owed if known else {name: said[name] for name in written}
            done = Effect(table.role, key, patch(found), due, finds=not _may_be_made(key))
            return [done, *_audit(table, "U", said.get("touched"))]

        planned = (Effect(table.role, key, patch(plain | touched), owed),)
        return Statement(text, (*written.values(), *key), planned, confirmed)

    def delete(self, table: Table, key: Key) -> Statement:
        """Return a delete, with what the foreign keys do then."""
        text = f"DELETE FROM {self.place(table)} WHERE {_is(table)} RETURNING *"
        effects = [Effect(table.role, key, gone, ends=True)]
        if table.role == "account":
            effects += self._of_children(key[0])

        def confirmed(said: Answer | None) -> list[Effect]:
            if said is None:
                return []
            done = Effect(table.role, key, gone, ends=True, finds=not _may_be_made(key))
            return [done, *effects[1:], *_audit(table, "D", key[0])]

        return Statement(text, key, tuple(effects), confirmed)

    def _of_children(self, account: str) -> Iterator[Effect]:
        for role, key in list(self.history.fates):
            if role == "position" and key[0] == account:
                yield Effect(role, key, gone, ends=True)
            if role == "note":
                yield Effect(role, key, _without(account))

    def children(self, account: str) -> bool:
        """Return whether rows may refer to an account."""
        for (role, key), fate in self.history.fates.items():
            rows = [each for each in fate.possible if each is not None]
            if role == "position" and key[0] == account and rows:
                return True
            if role == "note" and any(each["account"] == account for each in rows):
                return True
        return False

    def move(self, table: Table, key: Key, new: Key) -> Statement:
        """Return a change of a row's key."""
        name = table.key[-1]
        text = f"UPDATE {self.place(table)} SET {quoted(name)} = %s WHERE {_is(table)} RETURNING *"
        touched = {"touched": ANYTHING} if "touched" in table.kept else {}
        before = self.history.fate(table.role, key)
        (row, *others) = [each for each in before.possible if each is not None]
        assert not others, "the row of a move must be known"

        self.history.former[table.role, new] = key

        def effects(found: Mapping[str, str | None]) -> list[Effect]:
            moved = {**row, **found, name: new[-1]}
            owed = {column: values[-1] for column, values in before.owed.items()}
            there = Effect(table.role, new, put(moved), owed, ends=True)
            return [Effect(table.role, key, gone, ends=True), there]

        def confirmed(said: Answer | None) -> list[Effect]:
            if said is None:
                return []
            done = effects({"touched": said["touched"]} if touched else {})
            return [*done, *_audit(table, "U", said.get("touched"))]

        return Statement(text, (new[-1], *key), tuple(effects(touched)), confirmed)


def _audit(table: Table, op: str, what: str | None) -> list[Effect]:
    """What the trigger of the accounts writes into the audit."""
    return [Effect("audit", (op, what or ""), gone)] if table.role == "account" else []


def _may_be_made(key: Key) -> bool:
    """Whether a row with this key, if there is one, may be the migration's."""
    return int(key[0]) <= MADE_BY_MIGRATION


def _is(table: Table) -> str:
    return " AND ".join(f"{quoted(name)} = %s" for name in table.key)


def _without(account: str) -> Callable[[State], State]:
    """What ON DELETE SET NULL does to a note."""

    def change(row: State) -> State:
        return {**row, "account": None} if row is not None and row["account"] == account else row

    return change
