"""Rounds with the real engine, killed again and again: nothing lost, nothing too much, all equal.

`make test` plays one round of the session's seed, `make soak` sixty on three versions.
"""

import os
import random
from collections.abc import Callable

import pytest

from tests.conftest import NUMBERS
from tests.loss.driving import BLOWS, CRASH, Driven
from tests.loss.migrations import draw_migration
from tests.loss.rounds import PHASES, play
from tests.loss.shop import draw_shop
from tests.postgres import Postgres, create_database

SEED = int(os.environ.get("WHIMBREL_SEED", "1"))
VERSIONS = (15, 16, 18)
ROUNDS = 20  # of each version
KILLS = 3  # of each part of a round, at the most
LEAST_KILLS = 100
MADE: list[tuple[str, str, str, int]] = []


def play_round(server: Postgres, seed: int, kills: int, *, crashes: bool) -> None:
    """Play a round and demand that it has no fault."""
    database = create_database(server, f"loss{next(NUMBERS)}")
    shop = draw_shop(database, server, random.Random(seed))
    migration = draw_migration(shop, random.Random(seed))
    blows = (*BLOWS, CRASH) if crashes else BLOWS
    engine = Driven(random.Random(seed), kills, blows=blows, migration=migration)
    seen = play(shop, engine, migration, seed)
    MADE.extend(engine.made)
    assert seen.faults == [], f"seed {seed} on PostgreSQL {server.version}: {seen}"
    assert min(seen.told[phase] for phase in PHASES) > 0, f"nobody wrote: {seen}"


def test_a_round_with_kills(postgres_server: Callable[[int], Postgres]):
    play_round(postgres_server(15), SEED, kills=2, crashes=False)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("version", VERSIONS)
def test_many_rounds(version: int, number: int, postgres_server: Callable[[int], Postgres]):
    play_round(postgres_server(version), SEED * 1000 + number, KILLS, crashes=number % 4 == 3)


@pytest.mark.soak
def test_there_were_enough_kills():
    """After the rounds above, of which it counts the kills."""
    assert len(MADE) >= LEAST_KILLS
    assert {part for part, *_ in MADE} == {"open", "restore", "discard"}
