"""A schema of a shop with nasty names, drawn from a seed: what a checkpoint must give back.

Covered by the checkpoint: accounts, their positions (composite key, cascade), notes (serial,
SET NULL) and an audit that a trigger of the accounts writes. Beside them, and not covered: orgs
(outbound foreign key) and orders (inbound).
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import psycopg
from psycopg import sql

from tests.loss import values
from tests.loss.features import FEATURES, Feature
from tests.loss.values import Column
from tests.postgres import Postgres

ROWS = 150
HIDDEN = 10  # rows that row level security hides from the application
MADE_BY_MIGRATION = -5_000_000  # keys from here on downwards are rows that a migration inserts


@dataclass(frozen=True)
class Table:
    """A covered table as the application sees it.

    Attributes:
        role: What it is in the shop: account, position, note or audit.
        key: Bare names of the key's columns.
        columns: What the application writes besides the key.
        kept: What triggers write; the application reads it back.
    """

    role: str
    schema: str
    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    kept: tuple[str, ...] = ()

    @property
    def qualified(self) -> str:
        """Return the quoted name."""
        return f"{quoted(self.schema)}.{quoted(self.name)}"

    def all(self) -> tuple[str, ...]:
        """Return the names of all columns that are compared one by one."""
        return (*self.key, *(each.name for each in self.columns), *self.kept)


@dataclass(frozen=True)
class Logins:
    """Who is who in one database."""

    owner: str
    application: str
    clerk: str
    migration: str


@dataclass(frozen=True)
class Shop:
    """The schema of one round.

    Attributes:
        database: As its owner reaches it.
        admin: As a superuser reaches it.
        account: Its key is an identity; the others refer to it.
        features: Labels of the decorations that were drawn.
        rekeys: Whether the application changes keys.
    """

    database: Postgres
    admin: Postgres
    logins: Logins
    schema: str
    account: Table
    position: Table
    note: Table
    audit: Table
    features: tuple[str, ...] = ()

    @property
    def covered(self) -> tuple[Table, ...]:
        """Return what the checkpoint must cover."""
        return (self.account, self.position, self.note, self.audit)

    def words(self) -> dict[str, str]:
        """Return what stands for the names in the text of features and migrations."""
        return {
            "S": quoted(self.schema),
            "A": self.account.qualified,
            "P": self.position.qualified,
            "N": self.note.qualified,
            "U": self.audit.qualified,
            "O": f"{quoted(self.schema)}.orders",
            "a": quoted(self.account.name),
            "ns": f"{quoted(self.schema)}.{quoted(self.note.name + '_id_seq')}",
            "nnn": quoted(self.note.name + "_token_not_null"),
            "npk": quoted(self.note.name + "_pkey"),
            "apk": quoted(self.account.name + "_pkey"),
            "made": str(MADE_BY_MIGRATION),
            "pub": quoted(f"{self.database.dbname} Pub"),
            "part": quoted(f"{self.database.dbname} Part"),
            "app": quoted(self.logins.application),
            "clerk": quoted(self.logins.clerk),
            "owner": quoted(self.logins.owner),
        }

    def as_login(self, login: str) -> Postgres:
        """Return the database as another login reaches it; all have one password."""
        return replace(self.database, user=login)

    def connect(self, login: str, **options: str) -> psycopg.Connection:
        """Open an autocommit session of a login, with texts that never depend on a setting."""
        server = self.database
        words = {"user": login, "password": "p%40w#1", "dbname": server.dbname, **options}
        session = psycopg.connect(host="127.0.0.1", port=server.port, autocommit=True, **words)
        session.execute(PLAIN)
        return session

    def superuser(self) -> psycopg.Connection:
        """Open a session that sees everything."""
        return self.connect(self.admin.user, password=self.admin.password)


PLAIN = (
    "SET search_path = pg_catalog, pg_temp; SET datestyle = 'ISO, YMD'; SET timezone = 'UTC';"
    " SET intervalstyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1"
)


def quoted(name: str) -> str:
    """Return a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


ACCOUNT: tuple[Column, ...] = (
    Column('Na"me', "text", values.text, "nobody", "NOT NULL DEFAULT 'nobody'"),
    Column("balance", "numeric(12,2)", values.amount, "0.00", "NOT NULL DEFAULT 0"),
    Column("exact", "numeric", values.exact),
    Column("Stimmung", "{S}.mood", values.mood, "sad", "DEFAULT 'sad'"),
    Column("mail", "{S}.mail", values.mail),
    Column("doc", "json", values.json_text),
    Column("meta", "jsonb", values.json_text, "{}", "NOT NULL DEFAULT '{}'"),
    Column("tags", "text[]", values.tags, "{}", "DEFAULT '{}'"),
    Column("at", "timestamptz", values.moment),
    Column("blob", "bytea", values.blob),
)
POSITION: tuple[Column, ...] = (
    Column("note", "text", values.text),
    Column("amount", "numeric(12,2)", values.amount, "1.00", "DEFAULT 1"),
    Column("doc", "json", values.json_text),
)
NOTE: tuple[Column, ...] = (
    Column("token", "text", values.text, None, "NOT NULL"),
    Column("doc", "jsonb", values.json_text),
)


def draw_shop(
    database: Postgres,
    admin: Postgres,
    draw: random.Random,
    features: tuple[str, ...] | None = None,
) -> Shop:
    """Create the schema of a round in an empty database, with rows, and return it.

    `features` are labels of the decorations; they are drawn where none are named.
    """
    schema = draw.choice(("public", "public", "Der Laden"))
    odd = tuple(draw.sample(values.ODD, 4))
    name = draw.choice(("account", 'Kunden "A"', "Größen", "order", "x'); DROP TABLE y; --"))
    owner = database.user
    shop = Shop(
        database,
        replace(admin, dbname=database.dbname),
        Logins(owner, f"{owner}_app", f'{owner} "Clerk"', f"{owner}_mig"),
        schema,
        Table("account", schema, name, ("id",), (*ACCOUNT, *odd), ("touched",)),
        Table("position", schema, "position", ("konto", "Nr"), POSITION),
        Table("note", schema, draw.choice(("note", "Näte")), ("id",), NOTE, ("account",)),
        Table("audit", schema, "audit", ("id",), (), ("op", "account", "touched")),
    )
    _make_logins(shop, draw)
    with shop.connect(owner) as session:
        for statement in (*_core(shop, draw), *_rows(shop)):
            session.execute(statement.encode())
        drawn = _drawn(admin.version, draw, features)
        for feature in drawn:
            for statement in feature.statements:
                session.execute(fill(statement, shop).encode())
    return replace(shop, features=tuple(each.label for each in drawn))


def _drawn(
    version: int, draw: random.Random, labels: tuple[str, ...] | None
) -> tuple[Feature, ...]:
    known = [each for each in FEATURES if each.since <= version]
    if labels is not None:
        found = tuple(each for each in known if each.label in labels)
        assert len(found) == len(labels), f"not all of {labels} are features of {version}"
        return found
    return tuple(each for each in known if not each.is_refused and draw.random() < each.chance)


def fill(text: str, shop: Shop) -> str:
    """Return a statement with the names of the shop in it; `<A>` is the account's table."""
    for word, name in shop.words().items():
        text = text.replace(f"<{word}>", name)
    return text


def _make_logins(shop: Shop, draw: random.Random) -> None:
    logins = shop.logins
    with shop.admin.connect() as session:
        for login in (logins.application, logins.clerk, logins.migration):
            clause = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            session.execute(clause.format(sql.Identifier(login), sql.Literal("p%40w#1")))
        owner, migration = quoted(logins.owner), quoted(logins.migration)
        session.execute(f"GRANT {owner} TO {migration}")
        session.execute(f"ALTER ROLE {migration} SET role = {owner}")
        session.execute(f"ALTER ROLE {owner} CREATEROLE")


def _core(shop: Shop, draw: random.Random) -> Iterator[str]:
    always = draw.choice(("ALWAYS", "BY DEFAULT"))
    identity = f"bigint GENERATED {always} AS IDENTITY (START 1000 INCREMENT 3 CACHE 5)"
    update = draw.choice(("", " ON UPDATE CASCADE"))
    yield from (fill(each, shop) for each in (
        "CREATE SCHEMA IF NOT EXISTS <S>" if shop.schema != "public" else "SELECT",
        "CREATE TYPE <S>.mood AS ENUM ('sad', 'so so', 'Glück')",
        "CREATE TYPE <S>.pair AS (number int, word text)",
        "CREATE DOMAIN <S>.mail AS text CHECK (VALUE LIKE '%@%')",
        "CREATE SEQUENCE <S>.touches START 1",
        "CREATE TABLE <S>.orgs (id int PRIMARY KEY, name text)",
        "INSERT INTO <S>.orgs SELECT n, 'org ' || n FROM generate_series(1, 5) n",
        # A dropped column before the key: the numbers of the columns have a hole.
        f"CREATE TABLE <A> (hole int, id {identity} PRIMARY KEY, {_columns(shop.account)},"
        ' "Größe" int GENERATED ALWAYS AS (length("Na""me")) STORED, touched bigint,'
        " org int REFERENCES <S>.orgs, hidden boolean NOT NULL DEFAULT false)",
        "ALTER TABLE <A> DROP COLUMN hole",
        f"CREATE TABLE <P> (konto bigint NOT NULL REFERENCES <A>{update} ON DELETE CASCADE,"
        f' {_columns(shop.position)}, "Nr" int NOT NULL, PRIMARY KEY (konto, "Nr"))',
        f"CREATE TABLE <N> (id serial PRIMARY KEY, {_columns(shop.note)},"
        f" account bigint REFERENCES <A>{update} ON DELETE SET NULL)",
        "CREATE TABLE <U> (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, op text NOT NULL,"
        " account bigint, touched bigint)",
        "CREATE TABLE <O> (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " account bigint NOT NULL REFERENCES <A>, token text)",
        "CREATE FUNCTION <S>.touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.touched := nextval('<S>.touches'); RETURN NEW; END $$",
        "CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON <A>"
        " FOR EACH ROW EXECUTE FUNCTION <S>.touch()",
        "CREATE FUNCTION <S>.note_down() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO <U> (op, account, touched) VALUES (left(TG_OP, 1), coalesce(NEW.id, OLD.id),"
        " coalesce(NEW.touched, OLD.touched)); RETURN NULL; END $$",
        'CREATE TRIGGER "Note down" AFTER INSERT OR UPDATE OR DELETE ON <A>'
        " FOR EACH ROW EXECUTE FUNCTION <S>.note_down()",
        "GRANT USAGE ON SCHEMA <S> TO <app>, <clerk>",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON <A>, <P>, <N>, <U>, <O>, <S>.orgs TO <app>",
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA <S> TO <app>",
    ))  # fmt: skip
    if draw.random() < 0.5:
        yield fill("ALTER TABLE <A> ENABLE ROW LEVEL SECURITY", shop)
        yield fill('CREATE POLICY "Nicht alles" ON <A> TO <app> USING (NOT hidden)', shop)


def _columns(table: Table) -> str:
    return ", ".join(
        f"{quoted(each.name)} {each.type} {each.words}".replace("{S}", quoted(table.schema))
        for each in table.columns
    )


def _rows(shop: Shop) -> Iterator[str]:
    """Rows of before; keys below zero are the application's own, from each writer's range."""
    draw = random.Random(7)
    for number in range(1, ROWS + 1):
        values_of = {each.name: each.draw(draw, f"base{number}") for each in shop.account.columns}
        values_of |= {
            "id": str(-number),
            "org": str(number % 5 + 1),
            "hidden": str(number > ROWS - HIDDEN),
        }
        yield _insert(shop.account, values_of)
        for at in range(number % 3):
            more = {
                each.name: each.draw(draw, f"base{number}p{at}") for each in shop.position.columns
            }
            yield _insert(shop.position, more | {"konto": str(-number), "Nr": str(at)})
        noted = {each.name: each.draw(draw, f"base{number}n") for each in shop.note.columns}
        yield _insert(shop.note, noted | {"account": str(-number)})
    yield fill("INSERT INTO <O> (account, token) SELECT id, 'base' FROM <A> WHERE id % 7 = 0", shop)


def _insert(table: Table, row: dict[str, str]) -> str:
    names = ", ".join(quoted(name) for name in row)
    literals = ", ".join("'" + value.replace("'", "''") + "'" for value in row.values())
    override = " OVERRIDING SYSTEM VALUE" if table.role == "account" else ""
    return f"INSERT INTO {table.qualified} ({names}){override} VALUES ({literals})"
