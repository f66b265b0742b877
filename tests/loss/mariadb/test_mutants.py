"""The checker on MariaDB finds deliberate defects of the engine: else its silence says nothing."""

import random

import pytest

from tests.conftest import NUMBERS
from tests.loss.mariadb.migrations import Migration, parts
from tests.loss.mariadb.mutants import MUTANTS
from tests.loss.mariadb.rounds import Driven, EngineError, play
from tests.loss.mariadb.shop import make_shop
from tests.mariadb import MariaDB

# Each of these makes something that a defect leaves behind.
WRONG = ("wrong update", "wrong some", "delete", "insert", "add column", "entries gone", "no keys")
TRIES = 4  # a race is not lost every time


@pytest.mark.sampled("a defect of checkpoints on MariaDB")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_defect_is_found(name: str, mariadb_server: MariaDB):
    found: list[str] = []
    for seed in range(TRIES):
        shop = make_shop(mariadb_server, f"mutant{next(NUMBERS)}")
        engine = Driven(random.Random(seed), mutant=name)
        try:
            found = play(shop, engine, Migration(parts(*WRONG)), seed).faults
        except EngineError as error:
            found = [str(error)]
        if found:
            break
    assert found, f"nobody noticed: {name}"
    assert "died" not in found[0], "the mutant itself is broken"
