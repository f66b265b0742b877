"""One round: an application that writes, a migration that goes wrong, and the way back."""

import contextlib
import random
import threading
from dataclasses import dataclass, field
from typing import Protocol, Self

import psycopg

from tests.loss.judge import Case, Recorded, judge
from tests.loss.migrations import Migration
from tests.loss.shop import Shop, quoted
from tests.loss.witness import read_catalogue
from tests.loss.writers import Application

WRITES = 40  # acknowledged in each phase, at the least
PHASES = ("before", "opened", "migrated", "restoring", "restored")


class Engine(Protocol):
    """What takes a checkpoint and goes back to it, however often it is killed."""

    def open(self, shop: Shop) -> None:
        """Take a checkpoint of the covered tables."""

    def migrate(self, shop: Shop, migration: Migration) -> None:
        """Run the migration."""

    def restore(self, shop: Shop) -> list[Recorded]:
        """Go back; return the conflicts that were recorded."""

    def discard(self, shop: Shop) -> None:
        """Take away what is left of the checkpoint."""


@dataclass
class Round:
    """How a round went.

    Attributes:
        faults: What was lost or differs.
        told: Acknowledged statements of the application, by phase.
    """

    shop: Shop
    migration: Migration | None
    faults: list[str] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    lost: int = 0

    def __str__(self) -> str:
        """Say all that a report needs."""
        migration = self.migration.labels if self.migration else ()
        failed = self.migration.failed if self.migration else {}
        return (
            f"migration {migration}, refused of it {failed}, features {self.shop.features}, "
            f"statements {self.told}, lost answers {self.lost}\n  " + "\n  ".join(self.faults)
        )


def play(
    shop: Shop,
    engine: Engine,
    migration: Migration | None,
    seed: int,
    *,
    patience: float = 5.0,
) -> Round:
    """Play a round and judge it; `patience` are seconds for the writes of each phase."""
    before, traces = read_catalogue(shop), read_traces(shop)
    sequences = read_sequences(shop)
    application = Application(shop, seed)
    conflicts: list[Recorded] = []
    with application, Disturber(shop, random.Random(seed)):
        application.wait_for("before", WRITES, patience)
        engine.open(shop)
        application.wait_for("opened", WRITES, patience)
        if migration is not None:
            application.learn(migration.new)
            engine.migrate(shop, migration)
        application.wait_for("migrated", WRITES, patience)
        sequences |= read_sequences(shop)
        application.wait_for("restoring", WRITES, patience)
        conflicts += engine.restore(shop)
        application.wait_for("restored", WRITES, patience)
    case = Case(shop, application.base, before, application.histories, conflicts, sequences)
    told = {phase: application.told(phase, "ok") for phase in PHASES}
    lost = sum(application.told(phase, "lost") for phase in PHASES)
    faults = judge(case)
    engine.discard(shop)
    faults += [f"left: {each}" for each in sorted(read_traces(shop) - traces)]
    return Round(shop, migration, faults, told, lost)


_TRACES = """
SELECT 'relation ' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = 'whimbrel' AND c.relname ~ '^(clone|kept|journal)_'
UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p
  JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = 'whimbrel'
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgname ~ 'whimbrel'
UNION ALL SELECT 'role ' || rolname FROM pg_roles WHERE rolname ~ '^whimbrel'
"""


def read_traces(shop: Shop) -> set[str]:
    """Return what there is of checkpoints, besides their rows in the ledger."""
    return {each for (each,) in shop.admin.run(_TRACES)}


def read_sequences(shop: Shop) -> dict[str, int]:
    """Return where the sequences stand, by qualified name."""
    asked = "SELECT schemaname, sequencename, coalesce(last_value, 0) FROM pg_sequences"
    with shop.superuser() as session:
        session.execute("SET lock_timeout = '1s'")
        try:
            rows = session.execute(
                f"{asked} WHERE schemaname = %s AND increment_by > 0", [shop.schema]
            )
        except psycopg.errors.LockNotAvailable:
            return {}  # the migration is dropping one at the moment
        return {f"{quoted(schema)}.{quoted(name)}": at for schema, name, at in rows}


class Disturber:
    """Ends connections of the application now and then: some answers are lost."""

    def __init__(self, shop: Shop, draw: random.Random) -> None:
        self._shop = shop
        self._draw = draw
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        one = (
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE datname = current_database() AND usename = %s ORDER BY random() LIMIT 1) s"
        )
        while not self._stop.wait(self._draw.uniform(0.1, 0.6)):
            with contextlib.suppress(psycopg.Error):  # the server may be down just now
                self._shop.admin.run(one, self._shop.logins.application)
