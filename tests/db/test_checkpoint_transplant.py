"""A restored table is what it was, in everything: pg_dump says the same before and after."""

import pytest

from tests.db.checkpoint_desk import station
from tests.db.checkpoint_tables import HARM, dump, make_rich

USERS = ("app", "User s")


@pytest.fixture
def place(any_database):
    with station(any_database) as opened:
        yield opened


@pytest.mark.parametrize("harm", HARM)
def test_restored_table_is_what_it_was(place, harm):
    roles = make_rich(place.database)
    before, rows = dump(place.database), all_rows(place)
    place.open(USERS)
    place.migrate(HARM[harm].format(**roles))
    place.restore()
    assert dump(place.database) == before
    assert all_rows(place) == rows


def all_rows(place):
    return [
        place.database.run(f"SELECT t::text FROM {name} t ORDER BY 1")
        for name in (
            'app."User s"',
            "app.names",
            "app.rich",
            "app.totals",
            "app.shown",
            "app.twice",
        )
    ]
