"""A checkpoint says no where it could not keep its promise, and so does the checker's mutant of it.

`make test` tries one limit of the session's seed, `make soak` all, and all that is not covered.
"""

import os
import random
from collections.abc import Callable

import pytest

from tests.conftest import NUMBERS
from tests.loss.driving import Driven
from tests.loss.features import FEATURES
from tests.loss.limits import LIMITS, refusal
from tests.loss.rounds import read_traces
from tests.loss.shop import Shop, draw_shop
from tests.loss.witness import differences, read_catalogue
from tests.postgres import Postgres, create_database

SEED = int(os.environ.get("WHIMBREL_SEED", "1"))
SAMPLE = random.Random(SEED).choice(sorted(LIMITS))
REFUSED = [each.label for each in FEATURES if each.is_refused]


def a_shop(server: Postgres, *features: str) -> Shop:
    database = create_database(server, f"loss{next(NUMBERS)}")
    return draw_shop(database, server, random.Random(SEED), features)


@pytest.fixture
def shop(postgres_server: Callable[[int], Postgres]) -> Shop:
    return a_shop(postgres_server(15))


def is_kept(shop: Shop, name: str) -> None:
    engine = Driven(random.Random(SEED))
    assert LIMITS[name](shop, engine) == []


def test_a_limit_is_kept(shop: Shop):
    is_kept(shop, SAMPLE)


@pytest.mark.soak
@pytest.mark.parametrize("name", LIMITS)
def test_every_limit_is_kept(shop: Shop, name: str):
    is_kept(shop, name)


@pytest.mark.soak
@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_is_taken_away_is_missed(shop: Shop, name: str):
    engine = Driven(random.Random(SEED), mutant=name)
    faults = LIMITS[name](shop, engine)
    assert engine.changes > 0, f"the mutant {name!r} has nothing to change any more: {faults}"
    assert faults, f"nobody noticed that {name}"


@pytest.mark.soak
@pytest.mark.parametrize("feature", REFUSED)
def test_what_cannot_be_covered_is_refused_and_nothing_is_left(
    feature: str, postgres_server: Callable[[int], Postgres]
):
    shop = a_shop(postgres_server(15), feature)
    before, traces = read_catalogue(shop), read_traces(shop)
    assert refusal(Driven(random.Random(SEED)), "open", shop) == "TableNotCovered"
    assert differences(before, read_catalogue(shop)) == []
    assert read_traces(shop) == traces
