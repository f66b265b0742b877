"""A desk for restores: a database with a ledger, an application, and a login for migrations."""

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.checkpoint_shop import migrator
from tests.db.orders import target_of
from tests.postgres import Postgres
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import read_checkpoint, read_conflicts
from whimbrel.runner.checkpoint.open import Wanted, open_checkpoint
from whimbrel.runner.checkpoint.restore import restore
from whimbrel.runner.ledger import Ledger, install_ledger
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session


@dataclass
class Station:
    """A desk, and the database that it stands in.

    Attributes:
        database: As its owner reaches it, who is the application here.
        deploy: As the login of the migration reaches it.
    """

    database: Postgres
    deploy: Postgres
    desk: Desk
    told: list = field(default_factory=list)
    number: int = 1

    @property
    def run_id(self) -> str:
        """Return an id that no other database of the server has: it names a role."""
        return f"run-{self.database.dbname}-{self.number}"

    def open(self, *tables, **options):
        """Open a checkpoint of tables (schema, name) and return it."""
        fields = {"keep_for": 3600.0, "max_journal": 2**30, "own_login": True, **options}
        wanted = Wanted(self.run_id, self.run_id, tables, self.deploy.user, **fields)
        return open_checkpoint(wanted, self.desk)

    def now(self):
        return read_checkpoint(self.desk.ledger, self.run_id)

    def restore(self, extra=lambda _session: None):
        return restore(self.now(), self.desk, extra)

    def migrate(self, text: str) -> None:
        """Run a migration as the login whose writes are not captured."""
        self.deploy.run(text)

    def conflicts(self):
        return [
            (each.kind, each.key, each.column, each.value)
            for each in read_conflicts(self.desk.ledger, self.run_id)
        ]


@contextmanager
def station(database: Postgres, **options):
    """Install a ledger and give a desk."""
    place = Station(database, migrator(database), None)
    with again(place, **options) as opened:
        install_ledger(opened.desk.ledger)
        yield opened


@contextmanager
def again(place: Station, *, lock_timeout=1.0, guard=lambda _session: None, stopping=None):
    """Give a desk with a new session, as the next attempt has one."""
    target, manners = target_of(place.deploy), Manners("whimbrel:test", lock_timeout)
    told, stopping = [], stopping or threading.Event()
    with open_session(target, manners) as session:
        ledger = Ledger(session, "whimbrel")
        desk = Desk(ledger, lambda: open_session(target, manners), guard, told.append, stopping)
        yield Station(place.database, place.deploy, desk, told, place.number)
