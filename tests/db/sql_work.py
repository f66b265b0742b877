"""A run of tool `sql` on a real database, as the tests of its steps need it."""

from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tests.postgres import Postgres
from whimbrel.model.facts import Facts
from whimbrel.model.spec import parse_spec
from whimbrel.model.steps import Adopt, RunAlone, RunFiles, SalvageObjects
from whimbrel.planning.build import plan_down, plan_up
from whimbrel.planning.dialects import postgresql_ledger
from whimbrel.runner.catalog import read_catalog, read_foreign_keys
from whimbrel.runner.ledger import Ledger, install_ledger
from whimbrel.runner.postgresql_run_alone import run_alone
from whimbrel.runner.records import read_applied
from whimbrel.runner.run_files import run_files
from whimbrel.runner.salvage import run_salvage
from whimbrel.runner.session import Manners
from whimbrel.runner.sessions import open_session
from whimbrel.runner.step_work import Work
from whimbrel.runner.transactions import await_end
from whimbrel.runner.urls import parse_target

OWNER = "team/shop"


def spec(files=None, *, rollback=None, **migrations):
    """Return the spec of an object with inline files."""
    return parse_spec(
        {
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}},
            "migrations": {
                "tool": "sql",
                "inline": {"files": files or {"001_x.up.sql": "SELECT 1"}},
                **migrations,
            },
            "rollback": rollback or {},
        }
    )


@dataclass
class Shop:
    """A database with a ledger, and one worker's session to it."""

    database: Postgres
    work: Work
    told: list = field(default_factory=list)

    @property
    def session(self):
        return self.work.ledger.session

    def facts(self, **more) -> Facts:
        return Facts(
            database="shop",
            server_version=160000,
            applied=read_applied(self.work.ledger, "default"),
            catalog=read_catalog(self.session, self.work.ledger.schema),
            foreign_keys=read_foreign_keys(self.session, self.work.ledger.schema),
            **more,
        )

    def versions(self) -> list[str]:
        return [row.version for row in read_applied(self.work.ledger, "default")]

    def run(self, *statements: str) -> list:
        return [self.database.run(each) for each in statements][-1]

    def plan_up(self, files, **migrations):
        return plan_up(spec(files, **migrations), OWNER, self.facts(), files)

    def up(self, files, **migrations):
        return self.carry_out(self.plan_up(files, **migrations))

    def down(self, files, to="", **options):
        plan = plan_down(spec(files, **options), OWNER, self.facts(), files, to)
        return self.carry_out(plan)

    def carry_out(self, plan):
        return [self.carry_out_step(step) for step in plan.steps]

    def carry_out_step(self, step):
        match step:
            case RunFiles():
                return run_files(step, self.work)
            case RunAlone():
                return run_alone(step, self.work)
            case SalvageObjects():
                return run_salvage(step, self.work)
            case Adopt():
                raise AssertionError("not a step of these modules")

    def started_before(self, *steps: str) -> "Shop":
        return replace(self, work=replace(self.work, started=frozenset(steps)))

    def salvage_tables(self) -> list[str]:
        query = "SELECT table_name FROM whimbrel.salvage ORDER BY at, table_name"
        return [name for (name,) in self.run(query)]


@contextmanager
def open_shop(database: Postgres, *, run="run1", guard=None, lock_timeout=1.0):
    """Install a ledger, record an open run, and give a worker's session."""
    target = parse_target(database.url)
    manners = Manners(f"whimbrel:{run}:{OWNER}", lock_timeout)
    with open_session(target, manners) as session:
        ledger = Ledger(session, "whimbrel")
        install_ledger(ledger)
        if not ledger.rows(postgresql_ledger.READ_RUN, run):
            ledger.rows(postgresql_ledger.INSERT_RUN, run, "team", "shop", "u", "c", 1, "Migrate")
        told = []
        work = Work(
            ledger=ledger,
            run=run,
            owner=OWNER,
            image="",
            history="default",
            keep_salvage=3600.0,
            guard=guard or (lambda _session: None),
            prove=lambda xid: await_end(lambda: open_session(target, manners), xid, patience=5.0),
            tell=told.append,
        )
        yield Shop(database, work, told)
