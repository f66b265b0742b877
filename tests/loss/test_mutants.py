"""Each deliberate defect of the engine is found: a checker that never failed is no evidence.

`make test` tries two of the session's seed, `make soak` all.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conftest import NUMBERS
from tests.loss.driving import Driven, EngineError
from tests.loss.limits import LIMITS
from tests.loss.migrations import migration_of
from tests.loss.mutants import MUTANTS
from tests.loss.rounds import play
from tests.loss.shop import Shop, draw_shop
from tests.postgres import Postgres, create_database

SEED = int(os.environ.get("WHIMBREL_SEED", "1"))
FEATURES = (
    "view over view", "materialised view", "grants on columns", "grants", "comments",
    "extended statistics", "publication", "checks", "inbound composite key", "indexes",
    "triggers", "policies",
)  # fmt: skip
MIGRATION = (
    "wrong update", "wrong update of texts", "wrong update of positions", "wrong keys", "inserts",
    "new column", "indexes", "grants", "comments", "renames the token",
)  # fmt: skip
IN_ROUNDS = tuple(name for name in MUTANTS if name not in LIMITS)
SAMPLE = random.Random(SEED).sample(IN_ROUNDS, 2)


@pytest.fixture
def shop(postgres_server: Callable[[int], Postgres]) -> Shop:
    server = postgres_server(15)
    database = create_database(server, f"loss{next(NUMBERS)}")
    return draw_shop(database, server, random.Random(SEED), FEATURES)


def faults_of(shop: Shop, engine: Driven) -> list[str]:
    """Play the round of the mutants; what the engine itself refuses is a fault too."""
    migration = migration_of(shop, MIGRATION, mapped=False)
    engine.migration = migration
    try:
        return play(shop, engine, migration, SEED).faults
    except EngineError as error:
        return [f"engine: {error}"] if error.is_refusal else []


def is_found(shop: Shop, name: str) -> None:
    """Demand that a mutant changes something, and that this is found."""
    engine = Driven(random.Random(SEED), mutant=name)
    faults = faults_of(shop, engine)
    assert engine.changes > 0, f"the mutant {name!r} has nothing to change any more: {faults[:3]}"
    assert faults, f"nobody noticed that {name}"
    if MUTANTS[name].blind:
        assert any(each.startswith("catalogue:") for each in faults), faults


@pytest.mark.parametrize("name", SAMPLE)
def test_a_sample_of_the_defects_is_found(shop: Shop, name: str):
    is_found(shop, name)


@pytest.mark.soak
def test_without_a_defect_nothing_is_found(shop: Shop):
    assert faults_of(shop, Driven(random.Random(SEED))) == []


@pytest.mark.soak
@pytest.mark.parametrize("name", IN_ROUNDS)
def test_every_defect_is_found(shop: Shop, name: str):
    is_found(shop, name)


def test_there_are_enough_defects():
    assert len(MUTANTS) >= 10
    assert LIMITS.keys() <= MUTANTS.keys()


@pytest.mark.parametrize("of", ["tests.loss.mutants", "tests.loss.mariadb.mutants"])
def test_what_a_defect_is_put_into_is_there(of: str):
    """In a process of its own: a defect stays. What was renamed would be noticed by `make soak`."""
    put = "each.apply() if hasattr(each, 'apply') else each()"
    text = f"from {of} import MUTANTS\nfor each in MUTANTS.values(): {put}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
