"""What a stop does to the worker's session: it ends statements, not the reading of an end."""

import threading
import time
from contextlib import closing

import pytest

from tests.db.orders import manners, target_of
from whimbrel.planning.dialects.fates import Trouble
from whimbrel.runner.interrupts import Interrupts
from whimbrel.runner.server_errors import SERVER_ERRORS, is_trouble
from whimbrel.runner.sessions import open_session
from whimbrel.runner.surroundings import Surroundings


@pytest.fixture(params=["database", "mariadb"])
def target(request):
    return target_of(request.getfixturevalue(request.param))


@pytest.fixture
def session(target):
    with closing(open_session(target, manners())) as opened:
        yield opened


def sleep(session, seconds):
    word = "pg_sleep" if session.dialect.own_logins else "sleep"
    session.ask(f"SELECT {word}({seconds})", ())


def is_cancelled(session):
    """Sleep for long, and tell whether somebody has ended that."""
    with pytest.raises(SERVER_ERRORS) as ended:
        sleep(session, 60)
    return is_trouble(ended.value, Trouble.CANCELLED)


@pytest.fixture
def stopping():
    return threading.Event()


@pytest.fixture
def interrupts(target, session, stopping):
    place = Surroundings(target, None, {}, None, print, stopping)
    with Interrupts(session, place) as begun:
        yield begun


def test_a_stop_ends_what_runs(session, stopping, interrupts):
    threading.Timer(0.2, stopping.set).start()
    assert is_cancelled(session)


def test_a_stop_waits_for_what_reads_and_records_an_end(session, stopping, interrupts):
    stopping.set()
    with interrupts.held_back():
        sleep(session, 1.5)  # in which a stop would strike three times
    assert is_cancelled(session)


def test_a_stop_waits_for_what_clears_a_half_no_longer_than_is_told(session, stopping, interrupts):
    begun = time.monotonic()
    stopping.set()
    with interrupts.held_back(1.5):
        assert is_cancelled(session)
    assert 1.5 < time.monotonic() - begun < 10


def test_nothing_goes_on_once_the_lock_is_lost(session, interrupts):
    interrupts.lost.set()
    with interrupts.held_back():
        assert is_cancelled(session)


def test_a_strike_in_flight_is_over_before_an_end_is_read(session, stopping, interrupts):
    """Held back and let go of again and again: no cancel that began before strikes inside."""
    stopping.set()
    for _ in range(200):
        with interrupts.held_back():
            sleep(session, 0.005)
