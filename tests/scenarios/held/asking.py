"""A question to a person, its answer as printed, and the moments that a story waits for."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from psycopg import Connection

from tests.fake_cluster import FakeCluster
from tests.forked import Process
from tests.postgres import Postgres
from tests.scenarios.terminal import Said, Terminal

FILES: Final = {
    "001_users.up.sql": "CREATE TABLE users (id int); INSERT INTO users VALUES (1);",
    "001_users.down.sql": "DROP TABLE users;",
}
MORE: Final = FILES | {
    "002_more.up.sql": "CREATE TABLE more (n int);",
    "002_more.down.sql": "DROP TABLE more;",
}
LOSSY: Final = MORE | {"002_more.down.sql": "DROP TABLE more; DELETE FROM users;"}
# In a file: wait here until the test opens the gate.
GATE: Final = "SELECT pg_advisory_xact_lock_shared(42);"
PATIENT: Final = {"lockTimeout": "60s", "lockHold": "60s"}
_ENOUGH: Final = 60.0  # seconds


def held(said: Said, reason: str, *, told: str = "") -> None:
    """Check that a person is asked, for this reason, and is given one command.

    The test of completeness reads the reason in the calls of this function.
    """
    assert said.code == 3, said
    assert (told or f"Held ({reason}): ") in said.err, said
    assert said.command


def held_in_cluster(cluster: FakeCluster, reason: str) -> str:
    """Check that status asks a person, for this reason; return the command at its end."""
    status = cluster.status()
    assert status["phase"] == "Held", status
    told = {each["type"]: each["reason"] for each in status["conditions"]}
    assert (told["Ready"], told["Stalled"]) == (reason, reason), status
    return status["message"][status["message"].index(". ") + 2 :]


def obey(terminal: Terminal, said: Said) -> Said:
    """Type the command that was printed; it may print one that goes on."""
    answer = terminal.type(said.command)
    if "go on with" in answer.text:
        assert answer.code == 0, answer
        return terminal.type(answer.command)
    return answer


def finish(process: Process) -> Said:
    """Return what a command that was started has said at its end."""
    out, err = process.communicate(timeout=90)
    return Said(process.returncode, out, err)


def await_that(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + _ENOUGH
    while not holds():
        assert time.monotonic() < end, f"it never came that {what}"
        time.sleep(0.02)  # between two looks


def await_waiter(database: Postgres, kind: str) -> None:
    """Wait until a session of the database waits for a lock of a kind, as the server says."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    asked += f" AND wait_event = '{kind}' AND datname = current_database()"
    await_that(lambda: database.run(asked) != [(0,)], f"a session waits for {kind}")


def await_begun(terminal: Terminal, name: str = "shop") -> None:
    """Wait until a run has begun: its look is over, and the first attempt is on record."""
    folder = terminal.home / terminal.more.get("WHIMBREL_STATE_DIR", ".whimbrel")
    record = folder / f"objects/team.{name}.json"

    def begun() -> bool:
        known: dict[str, Any] = json.loads(record.read_text()) if record.exists() else {}
        return "run" in known and known["run"].get("state", "Open") == "Open"

    await_that(begun, f"a run of {name} begins")


@contextmanager
def closed_gate(database: Postgres) -> Iterator[Connection]:
    """Keep the gate shut; it opens when `with` is left."""
    with database.connect() as session:
        session.execute("SELECT pg_advisory_lock(42)")
        yield session
