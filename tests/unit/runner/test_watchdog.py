"""What the watchdog remembers of several that wait, in whichever order the server names them."""

import threading

import pytest

from whimbrel.runner.postgresql_session import POSTGRESQL
from whimbrel.runner.session import Row, Waits, Watched
from whimbrel.runner.watchdog import Limits, Watchdog

OURS = 7
OLD, YOUNG = (100, 0.35, [OURS]), (101, 0.05, [OURS])
SECOND, THIRD = (102, 0.33, [OURS]), (103, 0.31, [OURS])
Waiter = tuple[int, float, list[int]]


class Server:
    """A session that sees these waiters, look by look."""

    dialect = POSTGRESQL

    def __init__(self, looks: list[tuple[Waiter, ...]]) -> None:
        self.looks = looks
        self.stopped: list[int] = []
        self.all_seen = threading.Event()

    def pin(self) -> None: ...

    def close(self) -> None: ...

    def backend(self) -> int:
        return 1

    def describe(self, pids: list[int]) -> list[Row]:
        return []

    def watch(self, watched: Watched) -> Waits:
        if not self.looks:
            self.all_seen.set()
            return Waits({})
        return Waits({OURS: "active"}, self.looks.pop(0))

    def stop(self, pid: int, *, hard: bool) -> None:
        self.stopped.append(pid)


@pytest.mark.parametrize(
    "looks",
    [
        pytest.param([(OLD,)], id="one"),
        pytest.param([(YOUNG, OLD)], id="the one that waits for too long is named last"),
        pytest.param([(OLD, YOUNG)], id="one that came later is named last"),
        pytest.param([(THIRD, OLD, SECOND)], id="several wait for too long, and are one reason"),
        pytest.param([(OLD,), (YOUNG,)], id="at the next look another one waits"),
    ],
)
def test_what_was_stopped_stays_known_as_stopped(looks: list[tuple[Waiter, ...]]):
    server = Server(looks)
    with Watchdog(lambda: server, Watched("us"), Limits(wait=10.0, hold=0.3)) as dog:
        assert server.all_seen.wait(10)
    seen = dog.last_sighting(OURS)
    assert (server.stopped, seen.stopped, seen.seconds) == ([OURS], True, 0.35)
    dog.forget()
    assert dog.sightings() == ()


def test_a_wait_that_is_got_over_is_no_stop():
    server = Server([((100, 0.2, [OURS]),), (YOUNG,)])
    with Watchdog(lambda: server, Watched("us"), Limits(wait=10.0, hold=0.3)) as dog:
        assert server.all_seen.wait(10)
    seen = dog.last_sighting(OURS)
    assert (server.stopped, seen.stopped, seen.seconds) == ([], False, 0.05)
