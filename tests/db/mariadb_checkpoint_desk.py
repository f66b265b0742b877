"""A desk for checkpoints on MariaDB: a database with a ledger, an application, and a migration."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.mariadb import PASSWORD, MariaDB
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.engine import ENGINES
from whimbrel.runner.checkpoint.manifest import read_checkpoint, read_conflicts
from whimbrel.runner.checkpoint.open import Wanted
from whimbrel.runner.ledger import Ledger, install_ledger
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.urls import parse_target

ENGINE = ENGINES["mariadb"]


def application(database: MariaDB) -> MariaDB:
    """Return the database as an application reaches it, which may use its tables and no more."""
    name, admin = f"{database.user}_app", database.admin()
    admin.run("CREATE USER IF NOT EXISTS %s@'127.0.0.1' IDENTIFIED BY %s", name, PASSWORD)
    rights = "SELECT, INSERT, UPDATE, DELETE"
    admin.run(f"GRANT {rights} ON `{database.dbname}`.* TO %s@'127.0.0.1'", name)
    return replace(database, user=name)


@dataclass
class Station:
    """A desk, and the database that it stands in.

    Attributes:
        deploy: The database as the login of the migration reaches it.
        app: As the application does.
    """

    deploy: MariaDB
    app: MariaDB
    desk: Desk
    told: list = field(default_factory=list)
    run_id: str = "run-1"

    def open(self, *tables: str, **options):
        """Open a checkpoint of tables and return it."""
        fields = {"keep_for": 3600.0, "max_journal": 2**30, **options}
        named = tuple((self.deploy.dbname, each) for each in tables)
        wanted = Wanted(self.run_id, self.run_id, named, self.deploy.user, **fields)
        return ENGINE.open(wanted, self.desk)

    def now(self):
        return read_checkpoint(self.desk.ledger, self.run_id)

    def expect(self):
        ENGINE.expect_capture(self.now(), self.desk.session)

    def restore(self, extra=lambda _session: None):
        return ENGINE.restore(self.now(), self.desk, extra)

    def discard(self):
        ENGINE.discard(self.now(), self.desk)

    def migrate(self, *statements: str) -> None:
        """Run a migration as the login whose writes are not captured."""
        for each in statements:
            self.deploy.run(each)

    def conflicts(self):
        return [
            (each.kind, each.key, each.column, each.value)
            for each in read_conflicts(self.desk.ledger, self.run_id)
        ]

    def definition(self, table: str) -> str:
        """Return how a table is defined, without its counter."""
        told = self.deploy.run(f"SHOW CREATE TABLE `{table}`")[0][1]
        head, _, tail = told.rpartition("\n)")
        return head + " ".join(each for each in tail.split() if "AUTO_INCREMENT" not in each)

    def left(self) -> list[str]:
        """Return what there is of checkpoints besides their rows."""
        tables = [name for (name,) in self.deploy.run("SHOW TABLES")]
        triggers = [row[0] for row in self.deploy.run("SHOW TRIGGERS")]
        kinds = ("_journal_", "_clone_", "_kept_", "_capture_", "_go_", "_await_", "_key_")
        return [each for each in (*tables, *triggers) if any(kind in each for kind in kinds)]


@contextmanager
def station(database: MariaDB, **options):
    """Install a ledger and give a desk."""
    place = Station(database, application(database), None)
    with again(place, **options) as opened:
        install_ledger(opened.desk.ledger)
        yield opened


@contextmanager
def again(place: Station, *, lock_timeout=1.0, guard=lambda _session: None, stopping=None):
    """Give a desk with a new session, as the next attempt has one."""
    target, manners = parse_target(place.deploy.url), Manners("whimbrel:test", lock_timeout)
    told, stopping = [], stopping or threading.Event()
    with open_session(target, manners) as session:
        ledger = Ledger(session, "whimbrel")
        desk = Desk(ledger, lambda: open_session(target, manners), guard, told.append, stopping)
        yield Station(place.deploy, place.app, desk, told, place.run_id)
