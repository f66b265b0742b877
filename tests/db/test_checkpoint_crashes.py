"""Killed at every step of opening and discarding: the next one ends, and leaves nothing.

A process is killed by SIGKILL between two of its words, a backend by the server.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable

import psycopg
import pytest

from tests.db.checkpoints import Shop, Talk, a_desk, a_shop, wanted
from tests.db.orders import until
from tests.db.test_checkpoint_open import now, replayed
from whimbrel.model.errors import TransientError
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.manifest import State, read_checkpoint
from whimbrel.runner.checkpoint.open import open_checkpoint
from whimbrel.runner.session import Session

# Transactions: of opening (manifest, two tables, copy), of discarding (mark, two tables, the rest).
OPENING, DISCARDING = 4, 4


@pytest.fixture
def shop(any_database) -> Shop:
    return a_shop(any_database)


def work(shop: Shop, talk: Talk) -> None:
    """Open and discard."""
    with a_desk(shop.deploy, talk) as desk:
        discard(open_checkpoint(wanted(shop, "users", "notes"), desk), desk)


def counted(shop: Shop) -> int:
    talk = Talk()
    work(shop, talk)
    return talk.guarded


def left_by_a_kill(shop: Shop, talk: Talk, kill: Callable[[Shop, Talk], None]) -> None:
    """Kill, write, open again and look that nothing was missed, discard."""
    before = shop.traces()
    kill(shop, talk)
    shop.app.run("update app.users set name = 'meanwhile' where id = 5")
    with a_desk(shop.deploy) as desk:
        found = read_checkpoint(desk.ledger, "run-1")
        if found is not None and found.snapshot and found.state is not State.READY:
            discard(found, desk)  # it was ready, and was being discarded
            assert shop.traces() == before
            return
        ready = open_checkpoint(wanted(shop, "users", "notes"), desk)
        shop.app.run("update app.users set balance = 5 where id = 6")
        for number in (1, 2):
            assert replayed(shop, ready, number) == now(shop, ready, number)
        discard(ready, desk)
    assert shop.traces() == before


def end_backend(shop: Shop, talk: Talk) -> None:
    with pytest.raises((TransientError, psycopg.OperationalError)):
        work(shop, talk)


@pytest.mark.parametrize("step", range(1, OPENING + DISCARDING + 1))
@pytest.mark.sampled("a step of a checkpoint that the server ends")
def test_a_backend_that_the_server_ends_at_a_step(shop, step):
    def fault(session, number: int) -> None:
        if number == step:
            shop.admin().run("select pg_terminate_backend(%s, 5000)", session.info.backend_pid)

    left_by_a_kill(shop, Talk(fault=fault), end_backend)


def end_process(shop: Shop, talk: Talk) -> None:
    process = multiprocessing.get_context("fork").Process(target=work, args=(shop, talk))
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    alive = "select 1 from pg_stat_activity where usename = %s"
    until(lambda: not shop.admin().run(alive, shop.deploy.user))


def dying_at(step: int) -> Callable[[Session, int], None]:
    def fault(_session: Session, number: int) -> None:
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return fault


class Dying(list):
    """Lines that a desk is told; the process dies of the last one."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.word = word

    def append(self, line: str) -> None:
        super().append(line)
        if self.word in line:
            os.kill(os.getpid(), signal.SIGKILL)


WORDS = ("copying app.notes", "copying app.users", "2 tables", "discarding it")


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.sampled("a process killed at a step of a checkpoint")
def test_a_process_that_is_killed_at_a_word(shop, word):
    left_by_a_kill(shop, Talk(lines=Dying(word)), end_process)


@pytest.mark.parametrize("step", range(1, OPENING + DISCARDING + 1, 2))
@pytest.mark.sampled("a process killed at a step of a checkpoint")
def test_a_process_that_is_killed_at_a_step(shop, step):
    left_by_a_kill(shop, Talk(fault=dying_at(step)), end_process)


def test_these_are_all_the_steps(shop):
    assert counted(shop) == OPENING + DISCARDING


def test_killed_again_and_again_and_then_ready(shop):
    before = shop.traces()
    for step in (2, 3, 1, 4, 2):
        end_process(
            shop, Talk(fault=lambda _s, n, step=step: n == step and os.kill(os.getpid(), 9))
        )
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "users", "notes"), desk)
        assert ready.state is State.READY
        discard(ready, desk)
    assert shop.traces() == before
