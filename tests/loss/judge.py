"""Says what was lost, what is too much, and what differs, after everything is over."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

from tests.loss.history import ANYTHING, Fate, History, Key, Row, State
from tests.loss.shop import Shop, Table, quoted
from tests.loss.statements import answer
from tests.loss.witness import Catalogue, differences, read_catalogue
from tests.loss.writers import read_rows

Rows = Mapping[str, Mapping[Key, Row]]
SHOWN = 20  # a broken engine has thousands of them


@dataclass(frozen=True)
class Recorded:
    """A conflict that the engine recorded: a write that the old shape has no place for."""

    role: str
    key: Key
    kind: str
    column: str
    value: str


@dataclass
class Case:
    """What is judged.

    Attributes:
        base: All rows from before.
        before: The catalogue from before.
        sequences: Where the sequences stood when the tables went back, at the least.
    """

    shop: Shop
    base: Rows
    before: Catalogue
    histories: list[History]
    conflicts: list[Recorded] = field(default_factory=list)
    sequences: Mapping[str, int] = field(default_factory=dict)


def judge(case: Case) -> list[str]:
    """Return all faults, at most `SHOWN` of a kind; none means that nothing was lost."""
    found = [f"catalogue: {each}" for each in differences(case.before, read_catalogue(case.shop))]
    with case.shop.superuser() as session:
        bench = Bench(case, session, read_rows(case.shop))
        for check in CHECKS:
            try:
                found += itertools.islice(check(bench), SHOWN)
            except psycopg.Error as error:
                found.append(f"{check.__name__}: it cannot even be asked: {error}")
    return found


@dataclass
class Bench:
    """Where a case is looked at, with the rows that are there now."""

    case: Case
    session: psycopg.Connection
    rows: Rows
    _plain: dict[tuple[str, str, str], str | None] = field(default_factory=dict)
    _types: dict[tuple[str, str], str] = field(default_factory=dict)

    def table(self, role: str) -> Table:
        """Return a covered table."""
        return getattr(self.case.shop, role)

    def fates(self) -> Iterator[tuple[Table, Key, Fate]]:
        """Return what the application knows of each row."""
        for history in self.case.histories:
            for (role, key), fate in history.fates.items():
                if role != "order":
                    yield self.table(role), key, fate

    def type_of(self, table: Table, column: str) -> str:
        """Return the type of a column, as it is now."""
        if not self._types:
            asked = (
                "SELECT attrelid::regclass::text, attname::text, format_type(atttypid, atttypmod)"
                " FROM pg_attribute WHERE attnum > 0 AND attrelid = %s::regclass"
            )
            for each in self.case.shop.covered:
                for _, name, kind in self.session.execute(asked, [each.qualified]):
                    self._types[each.role, name] = kind
        return self._types[table.role, column]

    def plain(self, table: Table, column: str, value: str) -> str | None:
        """Return a value as a column would hold it, None where it cannot."""
        at = (table.role, column, value)
        if at not in self._plain:
            text = sql.SQL("SELECT CAST({} AS {})").format(
                sql.Literal(value), sql.SQL(self.type_of(table, column))
            )
            try:
                said = answer(self.session.execute(text))
                self._plain[at] = next(iter((said or {}).values()), None)
            except psycopg.Error:
                self._plain[at] = None
        return self._plain[at]

    def differing(self, table: Table, now: State, then: State) -> list[str]:
        """Return the columns in which a row is not as it should be; the key stands for all."""
        if now is None or then is None:
            return [] if now is then else [*table.key]
        names = (name for name in table.all() if name in then and then[name] != ANYTHING)
        return [name for name in names if not self._same(table, name, now.get(name), then[name])]

    def _same(self, table: Table, name: str, now: str | None, then: str | None) -> bool:
        if now == then or now is None or then is None:
            return now == then
        return self.plain(table, name, then) == now

    def cannot_be(self, table: Table, now: State, then: State, columns: list[str]) -> bool:
        """Ask the database itself whether a row may be as the application was told."""
        if then is None:
            return False
        where = " AND ".join(f"{quoted(name)} = %s" for name in table.key)
        if now is None:
            row = {name: value for name, value in then.items() if value != ANYTHING}
            row = {name: value for name, value in row.items() if name in table.all()}
            names = ", ".join(quoted(name) for name in row)
            marks = ", ".join(["%s"] * len(row))
            text = (
                f"INSERT INTO {table.qualified} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})"
            )
            values = list(row.values())
        else:
            sets = ", ".join(f"{quoted(name)} = %s" for name in columns)
            text = f"UPDATE {table.qualified} SET {sets} WHERE {where}"
            values = [then[name] for name in (*columns, *table.key)]
        try:
            with self.session.transaction(force_rollback=True):
                self.session.execute(text.encode(), values)
                self.session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error:
            return True
        return False

    def journal(self, table: Table, key: Key) -> list[tuple]:
        """Return what was captured of a row, for a report; nothing where it cannot be had."""
        where = " AND ".join("image ->> %s = %s" for _ in key)
        named = [each for pair in zip(table.key, key, strict=True) for each in pair]
        try:
            ((name,),) = self.session.execute("SELECT journal FROM whimbrel.checkpoint").fetchall()
            asked = f"SELECT seq, xid::text, op::text, old, image::text FROM whimbrel.{name}"
            return self.session.execute(f"{asked} WHERE {where}".encode(), named).fetchall()
        except psycopg.Error:
            return []

    def is_excused(
        self, table: Table, key: Key, states: tuple[State, State], columns: list[str]
    ) -> bool:
        """Whether a write has no place in the old shape, and stands in a conflict."""
        if not self.cannot_be(table, *states, columns):
            return False
        now, then = states
        if now is not None or then is None:
            return all(self.recorded(table, key, name) for name in columns)
        said = " ".join(
            each for name in ("", *table.all()) for each in self.recorded(table, key, name)
        )
        return all(_holds(said, value or "") for value in then.values()) and said != ""

    def recorded(self, table: Table, key: Key, column: str) -> list[str]:
        """Return what the conflicts say of a column of a row, under any key that it had."""
        keys, former = [key], {}
        for each in self.case.histories:
            former |= each.former
        while (table.role, keys[-1]) in former and len(keys) < 99:
            keys.append(former[table.role, keys[-1]])
        return [
            each.value
            for each in self.case.conflicts
            if (each.role == table.role and each.key in keys)
            and (each.column in (column, "") or each.kind == "DoesNotFit")
        ]


def lost_writes(bench: Bench) -> Iterator[str]:
    """What was acknowledged and is not there, or was refused and is; untouched columns too."""
    for table, key, fate in bench.fates():
        now = bench.rows[table.role].get(key)
        found = [(bench.differing(table, now, then), then) for then in fate.possible]
        columns, then = min(found, key=lambda each: len(each[0]))
        if not columns:
            continue
        if now is None or then is None:
            wrong = [] if bench.is_excused(table, key, (now, then), columns) else columns
        else:
            each = ([name] for name in columns)
            wrong = [one[0] for one in each if not bench.is_excused(table, key, (now, then), one)]
        if wrong:
            noted = [
                each for each in bench.case.conflicts if (each.role, each.key) == (table.role, key)
            ]
            yield f"row {table.role} {', '.join(key)}: {_said(wrong, now, then)}; noted: {noted}"


def _said(columns: list[str], now: State, then: State) -> str:
    if now is None or then is None:
        return f"it is gone, must be {then}" if now is None else f"it is there: {now}"
    return "; ".join(f"{name} is {now.get(name)!r}, must be {then[name]!r}" for name in columns)


def surplus_rows(bench: Bench) -> Iterator[str]:
    """Rows that nobody of the application wrote; rows from before that nobody may have touched."""
    known = {(table.role, key) for table, key, _ in bench.fates()}
    loose = {token: row for each in bench.case.histories for token, row in each.loose.items()}
    for table in bench.case.shop.covered:
        for key, now in bench.rows[table.role].items():
            then = bench.case.base[table.role].get(key)
            if (table.role == "audit" and then is None) or (table.role, key) in known:
                continue
            row = then or loose.get(now[table.columns[0].name] or "")
            if row is None:
                yield f"row {table.role} {', '.join(key)}: nobody of the application inserted it"
            elif columns := bench.differing(table, now, row):
                yield f"row {table.role} {', '.join(key)}: {_said(columns, now, row)}"
        for key in bench.case.base[table.role]:
            if (table.role, key) not in known and key not in bench.rows[table.role]:
                yield f"row {table.role} {', '.join(key)}: it is gone, and nobody deleted it"


def audit_of_the_application(bench: Bench) -> Iterator[str]:
    """What a trigger wrote because of the application's writes is there once, and nothing else."""
    base = bench.case.base["audit"]
    now: Counter[Key] = Counter()
    for key, row in bench.rows["audit"].items():
        if key not in base:
            what = row["account"] if row["op"] == "D" else row["touched"]
            now[row["op"] or "", what or ""] += 1
    told: Counter[Key] = Counter()
    for each in bench.case.histories:
        told += each.audits
    for what in (told - now).elements():
        yield f"audit: {what} is missing"
    extra = (now - told).total()
    if extra > sum(each.doubts for each in bench.case.histories):
        yield f"audit: {extra} rows too many, for example {next(iter(now - told))}"


def unrecorded_values(bench: Bench) -> Iterator[str]:
    """Values in columns that only the new shape has must stand in a conflict."""
    for table, key, fate in bench.fates():
        for column, values in fate.owed.items():
            if ANYTHING in values:
                continue
            said = bench.recorded(table, key, column)
            if not any(_holds(each, value) for each in said for value in values):
                yield f"conflict of {table.role} {', '.join(key)}: {column} = {values} is in none"
                yield f"  the journal has {bench.journal(table, key)}"


def _holds(said: str, value: str) -> bool:
    """Whether a conflict holds a value: by its token, where there is one."""
    token = re.search(r"w\d+-\d+", value)
    return token is None or re.search(rf"{token[0]}(?!\d)", said) is not None


def needless_conflicts(bench: Bench) -> Iterator[str]:
    """A conflict is about a row that the application wrote to."""
    known = {(table.role, key) for table, key, _ in bench.fates()}
    for each in bench.case.conflicts:
        loose = each.role in ("account", "note") and any(h.loose for h in bench.case.histories)
        # A cascade of the application's delete may have taken rows of the migration with it.
        is_cascade = each.role == "position" or (each.role == "note" and _left_alone(bench, each))
        is_theirs = each.kind.startswith("MigrationRow") and is_cascade
        if (each.role, each.key) not in known and not loose and not is_theirs:
            yield f"{each.kind} of {each.role} {each.key}: the application never wrote that row"


def _left_alone(bench: Bench, conflict: Recorded) -> bool:
    """Whether all that was written to a note is that its account was deleted (SET NULL)."""
    written = bench.journal(bench.table("note"), conflict.key)
    images = [json.loads(image) for *_, image in written]
    return bool(images) and all(each.get("account") is None for each in images)


def sequences_that_went_back(bench: Bench) -> Iterator[str]:
    """No key is handed out twice, and the next ones are fresh."""
    shop = bench.case.shop
    for role in ("account", "note"):
        ids = [number for each in bench.case.histories for number in each.ids.get(role, [])]
        if twice := [number for number, count in Counter(ids).items() if count > 1]:
            yield f"sequence of {role}: {twice[:3]} handed out twice"
        asked = "SELECT nextval(pg_get_serial_sequence(%s, 'id'))"
        ((following,),) = bench.session.execute(asked, [getattr(shop, role).qualified]).fetchall()
        if following is None:
            yield f"sequence of {role}: there is none"
        elif ids and following <= max(ids):
            yield f"sequence of {role}: gives {following}, and {max(ids)} was handed out"
    for name, least in bench.case.sequences.items():
        ((stands,),) = bench.session.execute(f"SELECT last_value FROM {name}".encode()).fetchall()
        if stands < least:
            yield f"sequence {name}: went back from {least} to {stands}"


def broken_references(bench: Bench) -> Iterator[str]:
    """Foreign keys and generated columns hold, whatever the catalogue says of them."""
    names = bench.case.shop.words()
    for what, text in {
        "position": "SELECT count(*) FROM {P} WHERE konto NOT IN (SELECT id FROM {A})",
        "note": "SELECT count(*) FROM {N} WHERE account NOT IN (SELECT id FROM {A})",
        "order": "SELECT count(*) FROM {O} WHERE account NOT IN (SELECT id FROM {A})",
        "generated": 'SELECT count(*) FROM {A} WHERE "Größe" <> length("Na""me")',
    }.items():
        ((count,),) = bench.session.execute(text.format(**names).encode()).fetchall()
        if count:
            yield f"{what}: {count} rows do not hold"


def copies_that_others_may_read(bench: Bench) -> Iterator[str]:
    """Nobody but the owner has a right on clones, journals and kept tables."""
    asked = (
        "SELECT c.relname, pg_get_userbyid(a.grantee) FROM pg_class c JOIN pg_namespace n"
        " ON n.oid = c.relnamespace, aclexplode(c.relacl) a WHERE n.nspname = 'whimbrel'"
        " AND c.relkind <> 'S' AND c.relname ~ '^(clone|kept|journal)_' AND a.grantee <> c.relowner"
        " AND a.privilege_type <> 'INSERT'"
    )
    for name, who in bench.session.execute(asked).fetchall():
        yield f"copy {name}: {who} has rights on it"


CHECKS = (
    lost_writes,
    surplus_rows,
    audit_of_the_application,
    unrecorded_values,
    needless_conflicts,
    sequences_that_went_back,
    broken_references,
    copies_that_others_may_read,
)
