"""The runner is killed at each stage of a checkpoint; the next attempt finishes what it began."""

import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.checkpoint_runs import DAMAGED, EACH_FILE, FAILS, Shop, files, opened
from tests.checkpoint_shop import admin, asleep, left_over, until
from tests.postgres import Postgres
from tests.runner_process import RunnerProcess

pytestmark = pytest.mark.sampled("a killed run with a checkpoint")

SLEEPS = "SELECT pg_sleep(60) WHERE current_setting('test.awake', true) IS NULL"
SLOW = DAMAGED | {"002_slow.up.sql": SLEEPS}
STATE = "SELECT state FROM whimbrel.checkpoint WHERE state <> 'Closed'"


@pytest.fixture
def shop(database: Postgres, tmp_path: Path) -> Iterator[Shop]:
    yield from opened(database, tmp_path)


def state(shop: Shop) -> str:
    there = shop.database.run("SELECT to_regclass('whimbrel.checkpoint') IS NOT NULL")
    found = shop.database.run(STATE) if there == [(True,)] else []
    return str(found[0][0]) if found else ""


@contextmanager
def in_the_way(shop: Shop) -> Iterator[None]:
    """Hold a lock that lets the application write, and neither triggers nor an exchange be made."""
    with admin(shop.database).connect() as session, session.transaction():
        session.execute("LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE")
        yield


def killed_when(running: RunnerProcess, condition: Callable[[], object]) -> None:
    until(lambda: condition() or running.process.poll() is not None, 60)
    assert running.process.poll() is None, running.finish()
    running.process.send_signal(signal.SIGKILL)
    running.finish()


def carried_on(shop: Shop, segment: str = "Migrate", first: int = 2, **more: Any) -> dict[str, Any]:
    """Carry out attempts until one has an end, as the controller does."""
    number = more.pop("number", 1)
    for attempt in range(first, first + 9):
        answer = shop.run(number, segment, attempt=attempt, **more)
        if answer.get("outcome") != "NotFinished":
            return answer
    raise AssertionError(answer)


def test_killed_while_it_captures(shop: Shop):
    with in_the_way(shop):
        killed_when(shop.start(), lambda: state(shop) == "Capturing")
    done = carried_on(shop)
    assert (done["outcome"], done["checkpoint"]["restorable"]) == ("Done", True), done["message"]
    back = shop.run(2, "Rollback")
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_killed_in_a_step_goes_on_with_the_same_checkpoint(shop: Shop):
    running = shop.start(files=files(SLOW), spec=(EACH_FILE,))
    killed_when(running, lambda: asleep(shop.database))
    shop.writer.wait(50)
    admin(shop.database).run(f"ALTER DATABASE {shop.database.dbname} SET test.awake = 'yes'")
    done = carried_on(shop, files=files(SLOW), spec=(EACH_FILE,))
    assert done["outcome"] == "Done", done["message"]
    assert shop.database.run("SELECT count(*) FROM whimbrel.checkpoint") == [(1,)]
    back = shop.run(2, "Rollback", files=files(SLOW), spec=(EACH_FILE,))
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_killed_while_a_failed_run_is_restored(shop: Shop):
    running = shop.start(files=files(SLOW), spec=(EACH_FILE,))
    until(lambda: asleep(shop.database))
    with in_the_way(shop):
        (pid,) = asleep(shop.database)
        admin(shop.database).run("SELECT pg_terminate_backend(%s)", pid)
        running.finish()
        again = shop.start(attempt=2, files=files(FAILS), spec=(EACH_FILE,))
        killed_when(again, lambda: state(shop) == "Restoring")
    failed = carried_on(shop, first=3, files=files(FAILS), spec=(EACH_FILE,))
    assert failed["outcome"] == "Failed", failed["message"]
    assert "restored from the checkpoint" in failed["message"]
    shop.expect_as_before()


def test_killed_while_a_person_takes_a_run_back(shop: Shop):
    shop.run()
    with in_the_way(shop):
        killed_when(shop.start(2, "Rollback"), lambda: state(shop) == "Restoring")
    back = carried_on(shop, "Rollback", number=2)
    assert back["outcome"] == "RolledBack", back["message"]
    shop.expect_as_before()


def test_killed_while_it_is_dropped(shop: Shop):
    shop.run()
    with in_the_way(shop):
        killed_when(shop.start(1, "Discard"), lambda: state(shop) == "Closing")
    gone = carried_on(shop, "Discard")
    assert (gone["outcome"], left_over(shop.database)) == ("Done", []), gone["message"]


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_time_it_is_as_before_in_the_end(shop: Shop, seed: int):
    """Killed three times, wherever it is; nothing is lost, nothing stays, one end."""
    chance = random.Random(seed)
    told = {"files": files(FAILS), "spec": (EACH_FILE,)}
    for attempt in range(1, 4):
        running = shop.start(attempt=attempt, **told)
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(chance.uniform(1.5, 6))
        running.process.kill()
        running.finish()
    answer = carried_on(shop, first=4, **told)
    assert answer["outcome"] == "Failed", answer["message"]
    shop.expect_as_before()
    assert shop.writer.errors == []
    shop.run(1, "Discard")
    assert left_over(shop.database) == []
