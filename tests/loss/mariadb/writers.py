"""An application on MariaDB that writes all the while, and what it was told is done."""

import random
import threading
from collections import Counter
from dataclasses import dataclass, field

import pymysql

from tests.loss.mariadb.shop import COLUMNS, DEFAULTS, KEYS, ROWS, WRITERS, Shop, read, value

LOST = {0, 2006, 2013, 2014, 1927, 1053, 2003, 2055}
# What the server says because of the migration's shape: such a write is refused and not there.
SHAPE = {1054, 1146, 1364, 1048, 1136, 1406, 1264, 1366, 1292, 1265, 4025, 1062, 1205, 1213, 1412,
         1305, 1347, 1020, 1451, 1452}  # fmt: skip
KEY_ERRORS = {1451, 1452}
# Columns that refer to other rows, by table that of an account.
REFERRING = {"entries": "account", "logs": "of"}
REFERS = {"branch", "before_it", *REFERRING.values()}
Row = dict[str, object]
Key = tuple[str, tuple]


@dataclass
class Known:
    """What may be in a row: one state where every answer was heard, more where some were not."""

    states: list[Row | None]

    def did(self, change: "dict | None", *, sure: bool) -> None:
        """Note a write: the columns that it sets, or None for a delete."""
        before = self.states
        if sure and change is not None and not is_whole(change):
            # The server said that there was a row.
            before = [state for state in before if state is not None] or before
        after = [None if change is None else {**(state or {}), **change} for state in before]
        self.states = after if sure else [*self.states, *after]


def is_whole(change: dict) -> bool:
    """Tell whether a write sets every column of its row."""
    return any(set(names) <= set(change) for names in COLUMNS.values())


@dataclass
class Writer:
    """One thread of the application; no other one writes its rows."""

    shop: Shop
    number: int
    seed: int
    known: dict[Key, Known] = field(default_factory=dict)
    new: dict[Key, dict[str, object]] = field(default_factory=dict)
    errors: Counter = field(default_factory=Counter)
    told: Counter = field(default_factory=Counter)
    numbers: list[tuple[int, str]] = field(default_factory=list)
    phase: str = "before"
    began: str = "before"  # the phase in which its transaction began
    extra: str = ""  # a column that only the new shape has
    over: threading.Event = field(default_factory=threading.Event)
    token: int = 0

    def __post_init__(self) -> None:
        self.draw = random.Random(self.seed * 100 + self.number)
        self.busy: set[Key | tuple[str, None]] = set()
        for table in COLUMNS:
            for key, row in read(self.shop, table).items():
                # Whatever belongs to an account is its owner's.
                of = row.get("account", row.get("of", key[0]))
                owner = int(key[0][1:]) if table == "notes" else int(str(of)) % WRITERS
                if owner == self.number:
                    plain = {name: row[name] for name in COLUMNS[table]}
                    self.known[table, key] = Known([plain])
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self) -> None:
        """Write until told to stop, on one connection after the other."""
        while not self.over.is_set():
            try:
                with self.shop.app.connect(init_command="SET time_zone = '+00:00'") as session:
                    while not self.over.is_set():
                        self._transaction(session)
                        # As an application does: something else between two writes.
                        self.over.wait(self.draw.uniform(0, 0.006))
            except (pymysql.MySQLError, OSError):
                continue

    def _transaction(self, session: pymysql.Connection) -> None:
        several = self.draw.random() < 0.25
        self.busy, self.trying, self.notes, self.began = set(), [], [], self.phase
        try:
            with session.cursor() as cursor:
                self._work_in(cursor, several=several)
        except pymysql.MySQLError as error:
            code = error.args[0] if error.args else 0
            if code in LOST:
                self._note([*self.notes, *self.trying], sure=False)
                raise
            self._refused(code, str(error))
            if several:
                with session.cursor() as cursor:
                    cursor.execute("ROLLBACK")
            return
        self._note(self.notes, sure=True)
        self.told[self.phase] += len(self.notes) or 1

    def _work_in(self, cursor: pymysql.cursors.Cursor, *, several: bool) -> None:
        if not several:
            self.notes += self._write(cursor)
            return
        cursor.execute("BEGIN")
        if self.draw.random() < 0.5:
            cursor.execute("SELECT COUNT(*) FROM accounts WHERE id < 5")
        for _ in range(self.draw.randint(2, 4)):
            self.notes += self._write(cursor)
        if self.draw.random() < 0.2:
            cursor.execute("ROLLBACK")
            self.notes = []
        else:
            cursor.execute("COMMIT")

    def _refused(self, code: int, said: str) -> None:
        # A transaction that began while the migration worked may hear of it later.
        phase = self.began if self.began == "migrating" else self.phase
        self.errors[phase, code, said[: 400 if code in KEY_ERRORS else 90]] += 1
        if code in {1054, 1146}:
            self.told["shape"] += 1

    def _note(self, notes: list[tuple[Key, dict | None]], *, sure: bool) -> None:
        for key, change in notes:
            plain = change
            if change is not None and self.extra_of(change):
                name = self.extra_of(change)
                plain = {k: v for k, v in change.items() if k != name}
                if sure:
                    self.new.setdefault(key, {})[name] = change[name]
            if change is None and sure:
                self.new.pop(key, None)
            self.known.setdefault(key, Known([None])).did(plain, sure=sure)

    @staticmethod
    def extra_of(change: dict) -> str:
        """Return the name of a column in a change that only the new shape has."""
        known = {name for names in COLUMNS.values() for name in names}
        return next((name for name in change if name not in known), "")

    def _write(self, cursor: pymysql.cursors.Cursor) -> list[tuple[Key, dict | None]]:
        self.token += 1
        token = self.token * WRITERS + self.number + 1000 * ROWS
        table = self.draw.choice(["accounts", "accounts", "notes", "entries", "logs"])
        way = self.draw.choice(_WAYS[table])
        return way(self, cursor, table, token)

    def _some(self, table: str) -> tuple | None:
        mine = [k for name, k in self.known if name == table and (name, k) not in self.busy]
        key = self.draw.choice(mine) if mine else None
        self.busy.add((table, key))
        return key

    def _note_key(self) -> tuple | None:
        key = (f"w{self.number}", self.draw.randint(1, ROWS))
        if ("notes", key) in self.busy:
            return None
        self.busy.add(("notes", key))
        return key

    def _values(self, table: str, token: int) -> dict:
        plain = [name for name in COLUMNS[table] if name not in REFERS]
        names = self.draw.sample(plain, self.draw.randint(1, min(2, len(plain))))
        found = {name: value(name, token, self.draw) for name in names}
        if table == "accounts" and self.extra and self.draw.random() < 0.4:
            found[self.extra] = f"extra {token}"
        return found

    def _run(self, cursor, note: list, statement: str, *values: object) -> int:
        self.trying = note
        done: int = cursor.execute(statement, values)
        self.trying = []
        return done

    def update(self, cursor, table: str, token: int) -> list:
        """Set some columns of a row."""
        key = self._some(table)
        if key is None:
            return []
        values = self._values(table, token)
        sets = ", ".join(f"{name} = %s" for name in values)
        note = [((table, key), values)]
        where = " AND ".join(f"{name} = %s" for name in KEYS[table])
        given = (*values.values(), *key)
        return (
            note
            if self._run(cursor, note, f"UPDATE {table} SET {sets} WHERE {where}", *given)
            else []
        )

    def delete(self, cursor, table: str, token: int) -> list:
        """Delete a row."""
        del token
        key = self._some(table)
        if key is None:
            return []
        note = [((table, key), None)]
        where = " AND ".join(f"{name} = %s" for name in KEYS[table])
        return note if self._run(cursor, note, f"DELETE FROM {table} WHERE {where}", *key) else []

    def insert(self, cursor, table: str, token: int) -> list:
        """Add a row, with a number of the server's."""
        values = {"owner": value("owner", token, self.draw), **self._values(table, token)}
        names = ", ".join(values)
        marks = ", ".join(["%s"] * len(values))
        # Whoever loses the answer does not know the number: such a row is found by its owner.
        self.maybe.append(values["owner"])
        self._run(cursor, [], f"INSERT INTO {table} ({names}) VALUES ({marks})", *values.values())
        self.maybe.pop()
        self.numbers.append((cursor.lastrowid, self.phase))
        plain = {name: DEFAULTS.get(name) for name in COLUMNS[table]}
        return [((table, (cursor.lastrowid,)), {**plain, **values})]

    def flash(self, cursor, table: str, token: int) -> list:
        """Add a row and delete it: nothing but its number tells that it was there."""
        notes = self.insert(cursor, table, token)
        ((where, _),) = notes
        self.trying = [*notes, (where, None)]
        # Where the migration deleted it in between, this deletes nothing, and the row comes back.
        done = cursor.execute("DELETE FROM accounts WHERE id = %s", where[1])
        return [*notes, (where, None)] if done else notes

    def put(self, cursor, table: str, token: int) -> list:
        """Add a row, or put it in another's place."""
        key = self._note_key()
        if key is None:
            return []
        values = {name: value(name, token, self.draw) for name in COLUMNS[table]}
        note = [((table, key), values)]
        self._run(
            cursor, note, "REPLACE INTO notes (kind, n, body, num, js) VALUES (%s, %s, %s, %s, %s)",
            *key, *values.values(),
        )  # fmt: skip
        return note

    def upsert(self, cursor, table: str, token: int) -> list:
        """Add a row, or set one column of it."""
        key = self._note_key()
        if key is None:
            return []
        body = value("body", token, self.draw)
        was = {"body": body}
        statement = (
            "INSERT INTO notes (kind, n, body) VALUES (%s, %s, %s)"
            " ON DUPLICATE KEY UPDATE body = %s"
        )
        done = self._run(cursor, [((table, key), was)], statement, *key, body, body)
        plain = dict.fromkeys(COLUMNS[table])
        return [((table, key), {**plain, **was} if done == 1 else was)]

    def move(self, cursor, table: str, token: int) -> list:
        """Give a row another key."""
        key = self._some(table)
        states = self.known[table, key].states if key else [None]
        if len(states) != 1 or states[0] is None or key is None:
            return []
        new = (key[0], token)
        note = [((table, key), None), ((table, new), dict(states[0]))]
        return note if self._run(cursor, note, "UPDATE notes SET n = %s WHERE kind = %s AND n = %s",
                                 new[1], *key) else []  # fmt: skip

    def child(self, cursor, table: str, token: int) -> list:
        """Add a row that belongs to an account, and perhaps follows another one."""
        key, last = self._some("accounts"), None
        if key is None:
            return []
        values: dict[str, object] = {REFERRING[table]: key[0], **self._values(table, token)}
        if table == "entries" and self.draw.random() < 0.5:
            last = self._some("entries")
            values["before_it"] = last[0] if last else None
        plain = {**dict.fromkeys(COLUMNS[table]), **values}
        note = [((table, (token,)), plain)]
        marks = ", ".join(["%s"] * (len(values) + 1))
        names = ", ".join(["id", *values])
        self._run(
            cursor, note, f"INSERT INTO {table} ({names}) VALUES ({marks})", token, *values.values()
        )
        return note

    def branch(self, cursor, table: str, token: int) -> list:
        """Open a branch for an account, and close the one that it had."""
        key = self._some(table)
        states = self.known[table, key].states if key else [None]
        if len(states) != 1 or states[0] is None or key is None:
            return []
        self._run(cursor, [], "INSERT INTO branches VALUES (%s, 'new')", token)
        note = [((table, key), {"branch": token})]
        done = self._run(cursor, note, "UPDATE accounts SET branch = %s WHERE id = %s", token, *key)
        was = states[0].get("branch")  # not known of a row that the migration made
        self.trying = note if done else []
        try:
            cursor.execute("DELETE FROM branches WHERE id = %s AND id > 1", (was,))
        except pymysql.IntegrityError as error:
            self._refused(error.args[0], str(error))  # the account has moved all the same
        return note if done else []

    maybe: list = field(default_factory=list)
    trying: list = field(default_factory=list)
    notes: list = field(default_factory=list)


_WAYS = {
    "accounts": (
        Writer.update,
        Writer.update,
        Writer.update,
        Writer.insert,
        Writer.delete,
        Writer.flash,
        Writer.branch,
    ),
    "entries": (Writer.update, Writer.child, Writer.child, Writer.delete),
    "logs": (Writer.update, Writer.child, Writer.delete),
    "notes": (Writer.update, Writer.update, Writer.put, Writer.upsert, Writer.delete, Writer.move),
}
