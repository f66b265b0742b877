"""Rounds with the real engine on MariaDB, killed again and again: nothing lost, all equal."""

import os
import random

import pytest

from tests.conftest import NUMBERS
from tests.loss.mariadb.migrations import Migration, draw_migration, parts
from tests.loss.mariadb.rounds import Driven, play
from tests.loss.mariadb.shop import make_shop
from tests.mariadb import MariaDB

SEED = int(os.environ.get("WHIMBREL_SEED", "1"))
ROUNDS = 60
KILLS = 3
LEAST_KILLS = 100
MADE: list[tuple[str, str, int]] = []


# Keys are dropped, changed and added, and rows that others refer to are wrong or gone.
LINKED = ("entries gone", "entries wrong", "no keys", "other key", "more keys", "insert", "delete")


def play_round(server: MariaDB, seed: int, kills: int, migration: Migration | None = None) -> None:
    """Play a round and demand that it has no fault."""
    shop = make_shop(server, f"loss{next(NUMBERS)}")
    engine = Driven(random.Random(seed), kills)
    seen = play(shop, engine, migration or draw_migration(random.Random(seed)), seed)
    MADE.extend(engine.made)
    assert seen.faults == [], f"seed {seed}, {engine.made}: {seen}"
    phases = ("before", "opened", "restored")
    assert min(seen.told[phase] for phase in phases) > 0, f"nobody wrote: {seen}"


def test_a_round_with_kills(mariadb_server: MariaDB):
    play_round(mariadb_server, SEED, kills=2)


@pytest.mark.parametrize("seed", [SEED, pytest.param(SEED + 1, marks=pytest.mark.soak)])
def test_a_round_that_nobody_kills_binds_the_application_by_no_key_of_ours(
    mariadb_server: MariaDB, seed: int
):
    play_round(mariadb_server, seed, kills=0, migration=Migration(parts(*LINKED)))


@pytest.mark.soak
@pytest.mark.parametrize("number", range(ROUNDS))
def test_many_rounds(number: int, mariadb_server: MariaDB):
    play_round(mariadb_server, SEED * 1000 + number, KILLS)


@pytest.mark.soak
def test_there_were_enough_kills():
    """After the rounds above, of which it counts the kills."""
    assert len(MADE) >= LEAST_KILLS
    assert {part for part, *_ in MADE} == {"open", "restore", "discard"}
