"""Whoever drew a number of the journal early and commits late is replayed all the same."""

import random
from collections.abc import Callable

import psycopg

from tests.conftest import NUMBERS
from tests.loss.driving import Driven
from tests.loss.engine import a_desk
from tests.loss.shop import Shop, draw_shop, fill
from tests.postgres import Postgres, create_database
from whimbrel.runner.checkpoint.manifest import read_checkpoint
from whimbrel.runner.checkpoint.replay import begin_replay, replay_round


def write(session: psycopg.Connection, shop: Shop, key: int) -> None:
    session.execute(fill(f"UPDATE <A> SET balance = 4711 WHERE id = {key}", shop).encode())


def test_who_writes_first_and_commits_last_loses_nothing(
    postgres_server: Callable[[int], Postgres],
):
    server = postgres_server(15)
    database = create_database(server, f"loss{next(NUMBERS)}")
    shop = draw_shop(database, server, random.Random(1), ())
    engine = Driven(random.Random(1))
    engine.open(shop)
    told = engine.assignment("restore", shop)
    login = shop.logins.application
    with (
        a_desk(told.url) as desk,
        shop.connect(login) as earlier,
        shop.connect(login) as later,
    ):
        checkpoint = read_checkpoint(desk.ledger, told.run)
        progress = begin_replay(checkpoint, desk)
        earlier.execute("BEGIN")
        write(earlier, shop, -1)
        later.execute("BEGIN")
        write(later, shop, -2)
        write(earlier, shop, -3)
        earlier.execute("COMMIT")
        # `later` has a lower number in the journal than what is seen, and is open for two rounds.
        for _ in range(2):
            progress, _ = replay_round(checkpoint, desk, progress)
        later.execute("COMMIT")
        replay_round(checkpoint, desk, progress)
        (account,) = [each for each in checkpoint.tables if each.table == shop.account.name]
        found = shop.admin.run(
            f'SELECT id FROM whimbrel."{account.clone}" WHERE balance = 4711 ORDER BY id DESC'
        )
    assert found == [(-1,), (-2,), (-3,)]
