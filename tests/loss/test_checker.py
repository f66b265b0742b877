"""The checker itself: silent where nothing can be lost, and loud where a guide's backup loses."""

import random
from collections.abc import Callable

import pytest

from tests.conftest import NUMBERS
from tests.loss.history import ANYTHING, Effect, Fate, patch
from tests.loss.migrations import draw_migration
from tests.loss.rounds import PHASES, WRITES, play
from tests.loss.shop import Shop, draw_shop
from tests.loss.simple import Locking, Naive
from tests.postgres import Postgres, create_database


@pytest.fixture
def shop(postgres_server: Callable[[int], Postgres], request: pytest.FixtureRequest) -> Shop:
    server = postgres_server(15)
    database = create_database(server, f"loss{next(NUMBERS)}")
    return draw_shop(database, server, random.Random(request.param))


@pytest.mark.parametrize("shop", [1], indirect=True)
def test_without_a_migration_nothing_is_missed(shop: Shop):
    seen = play(shop, Locking(), None, 1)
    assert seen.faults == [], seen
    assert min(seen.told[phase] for phase in PHASES) >= WRITES, seen


@pytest.mark.parametrize("shop", [2], indirect=True)
def test_a_migration_that_is_rolled_back_loses_nothing(shop: Shop):
    migration = draw_migration(shop, random.Random(2), keep=lambda move: not move.alone)
    seen = play(shop, Locking(), migration, 2, patience=1.0)
    assert seen.faults == [], seen
    assert set(migration.failed) < set(migration.labels), seen


@pytest.mark.parametrize("shop", [4], indirect=True)
def test_a_copy_that_is_renamed_loses_writes_and_schema(shop: Shop):
    migration = draw_migration(shop, random.Random(4))
    seen = play(shop, Naive(), migration, 4)
    kinds = {each.split(" ")[0] for each in seen.faults}
    assert {"catalogue:", "row"} <= kinds, seen


def test_what_the_application_took_back_itself_is_owed_no_more():
    """In a column that only the new shape has; the engine keeps the last value of a row."""
    fate, key = Fate([{}]), ("1",)
    fate.acknowledge(Effect("position", key, patch({}), {"remark": "w1"}))
    assert fate.owed == {"remark": ["w1"]}
    fate.doubt(Effect("position", key, patch({}), {"remark": None}))
    assert fate.owed == {"remark": ["w1", ANYTHING]}
    fate.acknowledge(Effect("position", key, patch({}), {"remark": None}))
    assert fate.owed == {}
