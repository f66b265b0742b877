"""Migrations that go wrong on MariaDB, drawn statement by statement."""

import random
from dataclasses import dataclass, field

import pymysql

from tests.loss.mariadb.shop import Shop

# Label, statement, and the column that only the new shape has.
_PARTS = (
    ("wrong update", "UPDATE accounts SET owner = CONCAT('no ', id), amount = amount + 7000", ""),
    ("wrong some", "UPDATE accounts SET mail = CONCAT('b', id), seen = NULL WHERE id % 3 = 0", ""),
    ("delete", "DELETE FROM accounts WHERE id % 5 = 0 AND id NOT IN (SELECT account FROM entries)"
     " AND id NOT IN (SELECT of FROM logs)", ""),
    ("entries gone", "DELETE FROM entries WHERE id % 3 > 0 AND id NOT IN"
     " (SELECT before_it FROM (SELECT before_it FROM entries WHERE before_it > 0) e)", ""),
    ("entries wrong", "UPDATE entries SET said = 'wrong', before_it = NULL", ""),
    ("no keys", "ALTER TABLE entries DROP FOREIGN KEY of_account, DROP KEY of_account,"
     " DROP FOREIGN KEY entries_ibfk_1", ""),
    ("no key of others", "ALTER TABLE accounts DROP FOREIGN KEY accounts_ibfk_1", ""),
    ("other key", "ALTER TABLE logs DROP FOREIGN KEY logs_ibfk_1, ADD CONSTRAINT other"
     " FOREIGN KEY (of) REFERENCES accounts (id) ON UPDATE NO ACTION", ""),
    ("more keys", "ALTER TABLE notes ADD COLUMN about bigint, ADD FOREIGN KEY (about)"
     " REFERENCES accounts (id)", ""),
    ("entries column", "ALTER TABLE entries DROP COLUMN said", ""),
    ("insert", "INSERT INTO accounts (owner) SELECT CONCAT('made ', n) FROM notes LIMIT 20", ""),
    ("drop column", "ALTER TABLE accounts DROP COLUMN note", ""),
    ("add column", "ALTER TABLE accounts ADD COLUMN extra varchar(60) DEFAULT 'x'", "extra"),
    ("add first", "ALTER TABLE accounts ADD COLUMN extra varchar(60) FIRST, ADD KEY (extra)",
     "extra"),
    ("rename column", "ALTER TABLE accounts CHANGE mail email varchar(70)", "email"),
    ("lossy type", "ALTER TABLE accounts DROP COLUMN doubled,"
     " MODIFY amount int NOT NULL DEFAULT 5", ""),
    ("wider type", "ALTER TABLE accounts DROP COLUMN doubled,"
     " MODIFY amount varchar(40) NOT NULL DEFAULT '5'", ""),
    ("drop index", "ALTER TABLE accounts DROP KEY by_mail, DROP KEY by_owner", ""),
    ("add index", "ALTER TABLE accounts ADD KEY many (owner, amount), ADD KEY s (seen)", ""),
    ("rebuild", "ALTER TABLE accounts ENGINE = InnoDB, ALGORITHM = COPY", ""),
    ("charset", "ALTER TABLE notes MODIFY body longtext CHARACTER SET utf16", ""),
    ("notes wrong", "UPDATE notes SET body = 'wrong', num = -1, js = '{}'", ""),
    ("notes gone", "DELETE FROM notes WHERE n % 2 = 0", ""),
    ("truncate", "TRUNCATE TABLE notes", ""),
    ("notes column", "ALTER TABLE notes DROP COLUMN js, ADD COLUMN more int DEFAULT 1", ""),
    ("rename table", "RENAME TABLE notes TO remarks", ""),
    ("drop table", "DROP TABLE notes", ""),
    ("trigger", "CREATE TRIGGER theirs BEFORE UPDATE ON accounts FOR EACH ROW"
     " SET NEW.touched = NOW()", ""),
)  # fmt: skip
_ONLY_ONE = ({"add column", "add first"}, {"lossy type", "wider type"},
             {"rename table", "drop table"}, {"add column", "rename column"},
             {"add first", "rename column"},
             {"notes column", "charset"})  # fmt: skip


@dataclass
class Migration:
    """What runs, in order."""

    parts: tuple[tuple[str, str, str], ...]
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> tuple[str, ...]:
        """Return what it does."""
        return tuple(label for label, _, _ in self.parts)

    @property
    def extra(self) -> str:
        """Return the column that only the new shape has, or ""."""
        return next((name for _, _, name in self.parts if name), "")

    def run(self, shop: Shop) -> None:
        """Run it as its login; what the server refuses is noted."""
        with shop.deploy.connect(init_command="SET lock_wait_timeout = 2") as session:
            for label, statement, _ in self.parts:
                for _ in range(20):
                    try:
                        with session.cursor() as cursor:
                            cursor.execute(statement)
                    except pymysql.MySQLError as error:
                        self.refused[label] = str(error)
                        if error.args[0] in {1205, 1213}:
                            continue
                    else:
                        self.refused.pop(label, None)
                    break


def parts(*labels: str) -> tuple[tuple[str, str, str], ...]:
    """Return parts by their labels."""
    return tuple(part for part in _PARTS if part[0] in labels)


def draw_migration(draw: random.Random) -> Migration:
    """Return a migration that does several things."""
    drawn = draw.sample(_PARTS, draw.randint(3, 8))
    labels = {label for label, _, _ in drawn}
    for group in _ONLY_ONE:
        if group <= labels:
            gone = draw.choice(sorted(group))
            drawn = [part for part in drawn if part[0] != gone]
            labels.discard(gone)
    # What takes a table away comes last: nothing after it would run.
    drawn.sort(key=lambda part: part[0] in {"rename table", "drop table"})
    return Migration(tuple(drawn))
