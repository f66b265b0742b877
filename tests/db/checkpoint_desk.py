"""A desk for work on checkpoints, in a database with a ledger."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.postgres import Postgres
from whimbrel.planning.dialects import postgresql_checkpoint as names, postgresql_manifest
from whimbrel.runner.checkpoint.desk import Desk
from whimbrel.runner.checkpoint.manifest import read_checkpoint, read_conflicts, short_id
from whimbrel.runner.checkpoint.restore import restore
from whimbrel.runner.checkpoint.transplant import describe_table
from whimbrel.runner.ledger import Ledger, install_ledger
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.urls import parse_target

RUN = "run1"


@dataclass
class Station:
    """A desk, and the database that it stands in."""

    database: Postgres
    desk: Desk
    told: list = field(default_factory=list)

    def open(self, *tables, on_conflict="Record", mappings=(), keys=None):
        """Open a checkpoint of tables (schema, name) and return it."""
        return open_by_hand(self, tables, on_conflict, mappings, keys or {})

    def now(self):
        return read_checkpoint(self.desk.ledger, RUN)

    def restore(self, extra=lambda _session: None):
        return restore(self.now(), self.desk, extra)

    def migrate(self, text: str) -> None:
        """Run a migration as the login whose writes are not captured."""
        with self.database.connect() as session:
            session.execute("SET SESSION AUTHORIZATION DEFAULT")
            session.execute("SET whimbrel.test = 'migration'")
            session.execute(text)

    def conflicts(self):
        return [
            (each.kind, each.key, each.column, each.value)
            for each in read_conflicts(self.desk.ledger, RUN)
        ]


@contextmanager
def station(database: Postgres, *, lock_timeout=1.0, guard=lambda _session: None):
    """Install a ledger and give a desk."""
    target, manners = parse_target(database.url), Manners("whimbrel:test", lock_timeout)
    with open_session(target, manners) as session:
        ledger = Ledger(session, "whimbrel")
        install_ledger(ledger)
        told = []
        desk = Desk(
            ledger, lambda: open_session(target, manners), guard, told.append, threading.Event()
        )
        yield Station(database, desk, told)


def open_by_hand(place, tables, on_conflict, mappings, keys):
    short, session, ledger = short_id(RUN), place.desk.session, place.desk.ledger
    journal = names.journal_name(short)
    ledger.rows(
        postgresql_manifest.INSERT_CHECKPOINT,
        *(
            RUN,
            RUN,
            "nobody",
            True,
            journal,
            3600.0,
            10**9,
            on_conflict,
            json.dumps(list(mappings)),
        ),
    )
    place.database.run(
        f"CREATE TABLE whimbrel.{journal} (seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
        " xid xid8 NOT NULL DEFAULT pg_current_xact_id(), number int NOT NULL,"
        ' op "char" NOT NULL, old json, new json, old_tid tid, new_tid tid, late boolean)'
    )
    place.database.run(
        f"CREATE FUNCTION whimbrel.capture_{short}() RETURNS trigger LANGUAGE plpgsql"
        " SET DateStyle = 'ISO' SET TimeZone = 'UTC' SET extra_float_digits = 1"
        f" SECURITY DEFINER AS $$ BEGIN INSERT INTO whimbrel.{journal}"
        " (number, op, old, new, late) VALUES (TG_ARGV[0]::int, left(TG_OP, 1),"
        " CASE WHEN TG_OP <> 'INSERT' THEN row_to_json(OLD) END,"
        " CASE WHEN TG_OP <> 'DELETE' THEN row_to_json(NEW) END, false); RETURN NULL; END $$"
    )
    for number, (schema, table) in enumerate(tables, 1):
        clone, kept = names.clone_name(short, number), names.kept_name(short, number)
        facts = describe_table(session, schema, table)
        oid = place.database.run(f"""SELECT '"{schema}"."{table}"'::regclass::oid::int""")[0][0]
        key = keys.get(table) or ["id"]
        ledger.rows(
            postgresql_manifest.INSERT_COVERED,
            *(RUN, number, schema, table, oid, key, clone, kept, json.dumps(facts)),
        )
        place.database.run(
            f'CREATE TRIGGER "{names.capture_trigger(short)}" AFTER INSERT OR UPDATE OR DELETE ON'
            f' "{schema}"."{table}" FOR EACH ROW WHEN (current_setting(\'whimbrel.test\', true)'
            f" IS DISTINCT FROM 'migration') EXECUTE FUNCTION whimbrel.capture_{short}({number})"
        )
    with place.database.connect() as copier:
        copier.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        snapshot = copier.execute("SELECT pg_current_snapshot()::text").fetchone()[0]
        for number, (schema, table) in enumerate(tables, 1):
            facts = describe_table(session, schema, table)["columns"]
            listed = ", ".join(
                '"' + each["name"].replace('"', '""') + '"'
                for each in facts
                if not each["generated"]
            )
            clone = f"whimbrel.{names.clone_name(short, number)}"
            copier.execute(f'CREATE TABLE {clone} (LIKE "{schema}"."{table}" INCLUDING GENERATED)')
            copier.execute(
                f'INSERT INTO {clone} ({listed}) SELECT {listed} FROM "{schema}"."{table}"'
            )
        copier.execute("COMMIT")
    ledger.rows(
        "UPDATE {s}.checkpoint SET snapshot = $1, state = 'Ready' WHERE id = $2", snapshot, RUN
    )
    return place.now()
