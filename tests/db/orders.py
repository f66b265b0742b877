"""Orders and sessions for tests of the runner's groundwork."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.postgres import Postgres
from whimbrel.model.order import Known, Order, Resolution
from whimbrel.model.plan import Segment
from whimbrel.model.spec import parse_spec
from whimbrel.runner.known import open_ledger
from whimbrel.runner.ledger import Ledger
from whimbrel.runner.session import Manners, Session
from whimbrel.runner.sessions import application_name, open_session
from whimbrel.runner.target import Target
from whimbrel.runner.urls import parse_target

SPEC = parse_spec({
    "database": {"urlFrom": {"secretKeyRef": {"name": "shop-db", "key": "url"}}},
    "migrations": {"tool": "sql", "inline": {"files": {"001_a.up.sql": "select 1"}}},
})  # fmt: skip
RUN = "run-1-0123456789"


def an_order(**changes: object) -> Order:
    """Return an order of the object shop/schema; keywords replace its fields."""
    fields = {
        "segment": Segment.MIGRATE,
        "namespace": "shop",
        "name": "schema",
        "uid": "uid-1",
        "cluster": "cluster-1",
        "number": 1,
        "run": RUN,
        "attempt": 1,
        "spec": SPEC,
    }
    return Order(**{**fields, **changes})


def known(database: str, epoch: int) -> Known:
    return Known(database=database, epoch=epoch)


def resolved(verdict: str, run: str = RUN) -> Resolution:
    return Resolution(verdict=verdict, run=run, by="ann", reason="looked at the node")


def target_of(database: Postgres) -> Target:
    return parse_target(database.url)


def manners(run: str = RUN, lock_timeout: float = 0.1) -> Manners:
    return Manners(application_name(run, "shop/schema"), lock_timeout)


@contextmanager
def a_session(database: Postgres, run: str = RUN) -> Iterator[Session]:
    """Open a session as the runner opens it."""
    with open_session(target_of(database), manners(run)) as session:
        yield session


@contextmanager
def a_ledger(database: Postgres, **changes: object) -> Iterator[Ledger]:
    """Open a session and the ledger, installed if need be."""
    order = an_order(**changes)
    with a_session(database, order.run) as session:
        ledger = Ledger(session, "whimbrel")
        open_ledger(ledger, order)
        yield ledger


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never became true"
        threading.Event().wait(0.01)


def sleeps(database: Postgres, session: Session) -> bool:
    """Return whether a session is inside pg_sleep."""
    asked = "select 1 from pg_stat_activity where wait_event = 'PgSleep' and pid = %s"
    return bool(database.run(asked, session.info.backend_pid))
