"""The tables of a round on MariaDB, and the logins that use them."""

import random
from dataclasses import dataclass, replace

from tests.mariadb import PASSWORD, MariaDB, create_database

TABLES = ("accounts", "entries", "notes")  # that are covered; `branches` and `logs` are not
_MADE = (
    "CREATE TABLE branches (id bigint PRIMARY KEY, town varchar(40))",
    "INSERT INTO branches VALUES (1, 'first')",
    """
CREATE TABLE accounts (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    owner varchar(40) NOT NULL,
    mail varchar(60) COLLATE utf8mb4_bin,
    amount decimal(12,3) NOT NULL DEFAULT 5 CHECK (amount > -1000000),
    seen timestamp(3) NULL,
    data varbinary(64),
    note text,
    doubled decimal(14,3) AS (amount * 2) STORED,
    flag enum('a','b','c') DEFAULT 'b',
    touched datetime NOT NULL DEFAULT current_timestamp() ON UPDATE current_timestamp(),
    branch bigint NOT NULL DEFAULT 1,
    UNIQUE KEY by_mail (mail), KEY by_owner (owner(5)),
    FOREIGN KEY (branch) REFERENCES branches (id) ON DELETE NO ACTION
)""",
    """
CREATE TABLE entries (
    id bigint PRIMARY KEY, account bigint NOT NULL, said varchar(60), before_it bigint,
    CONSTRAINT of_account FOREIGN KEY (account) REFERENCES accounts (id),
    FOREIGN KEY (before_it) REFERENCES entries (id)
)""",
    """
CREATE TABLE logs (
    id bigint PRIMARY KEY, of bigint NOT NULL, line varchar(60),
    FOREIGN KEY (of) REFERENCES accounts (id)
)""",
    """
CREATE TABLE notes (
    kind varchar(10), n int, body text, num double, js json,
    PRIMARY KEY (kind, n), KEY by_num (num)
)""",
)
# What the application may write; each gets its values from `value`.
COLUMNS = {
    "accounts": ("owner", "mail", "amount", "seen", "data", "note", "branch"),
    "entries": ("account", "said", "before_it"),
    "logs": ("of", "line"),
    "notes": ("body", "num", "js"),
}
KEYS = {"accounts": ("id",), "entries": ("id",), "logs": ("id",), "notes": ("kind", "n")}
# Child, its column, parent.
LINKS = (
    ("accounts", "branch", "branches"),
    ("entries", "account", "accounts"),
    ("entries", "before_it", "entries"),
    ("logs", "of", "accounts"),
)
DEFAULTS = {"mail": None, "seen": None, "data": None, "note": None, "body": None, "num": None,
            "js": None, "amount": "5.000", "branch": 1}  # fmt: skip
ROWS = 160
WRITERS = 4


@dataclass(frozen=True)
class Shop:
    """A database, as the migration, the application and root reach it."""

    deploy: MariaDB
    app: MariaDB

    @property
    def admin(self) -> MariaDB:
        """Return it as root reaches it."""
        return self.deploy.admin()


def make_shop(server: MariaDB, name: str) -> Shop:
    """Return a new shop with rows in it."""
    deploy = create_database(server, name)
    app = f"{name}_app"
    server.run("CREATE USER %s@'127.0.0.1' IDENTIFIED BY %s", app, PASSWORD)
    rights = "SELECT, INSERT, UPDATE, DELETE"
    server.run(f"GRANT {rights} ON `{name}`.* TO %s@'127.0.0.1'", app)
    for each in _MADE:
        deploy.run(each)
    with deploy.connect() as session, session.cursor() as cursor:
        for n in range(1, ROWS + 1):
            row = (f"first {n}", f"{n}@x", n, f"2024-01-01 00:00:{n % 60:02d}.5", f"d{n}".encode())
            cursor.execute(
                "INSERT INTO accounts (owner, mail, amount, seen, data, note)"
                " VALUES (%s, %s, %s, %s, %s, 'n')", row
            )  # fmt: skip
            cursor.execute(
                f"INSERT INTO entries VALUES ({n}, {(n - 1) // 9 * 9 + 1}, 'e {n}', NULL)"
            )
            cursor.execute(
                f"INSERT INTO logs VALUES ({n}, {min(n, (n - 1) // 9 * 9 + 2)}, 'l {n}')"
            )
            cursor.execute(
                "INSERT INTO notes VALUES (%s, %s, %s, %s, %s)",
                (f"w{n % WRITERS}", n, f"body {n}", n / 8, f'{{"n": {n}}}'),
            )
    return Shop(deploy, replace(deploy, user=app))


def value(column: str, token: int, draw: random.Random) -> object:
    """Return a value that nobody else writes."""
    match column:
        case "amount":
            return f"{token}.000"
        case "seen":
            month, day, hour = 1 + token % 12, 1 + token % 28, token % 24
            return f"2025-{month:02d}-{day:02d} {hour:02d}:00:00.{token % 1000:03d}"
        case "data":
            return f"{token}".encode() + draw.randbytes(5) + b"\\\0'"
        case "num":
            return token + 0.125
        case "js":
            return f'{{"t": [{token}, 1.0]}}'
        case _:
            return f"tök'en\\ {token}"


def read(shop: Shop, table: str) -> dict[tuple, dict[str, object]]:
    """Return the rows of a table by key, as the application knows them."""
    key = KEYS[table]
    names = (*key, *COLUMNS[table], *(("doubled", "flag") if table == "accounts" else ()))
    listed = ", ".join(
        f"CAST({each} AS CHAR)" if each in {"amount", "seen", "doubled"} else each for each in names
    )
    utc = "SET time_zone = '+00:00'"
    with shop.deploy.connect(init_command=utc) as session, session.cursor() as cursor:
        cursor.execute(f"SELECT {listed} FROM {table}")
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return {tuple(row[each] for each in key): row for row in rows}


def definitions(shop: Shop) -> dict[str, str]:
    """Return how the tables are defined, without their counters."""
    found = {}
    for table in COLUMNS:
        told = shop.deploy.run(f"SHOW CREATE TABLE {table}")[0][1]
        head, _, tail = told.rpartition("\n)")
        found[table] = head + " ".join(e for e in tail.split() if "AUTO_INCREMENT" not in e)
    return found
