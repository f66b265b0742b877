"""Where conflicts hold a restore, nothing of it is kept but them, until it is tried again."""

import pytest

from tests.db.checkpoint_desk import again, station
from tests.db.test_checkpoint_replay import TABLE, begin, cut_off, rows
from whimbrel.model.errors import HeldError, TransientError

pytestmark = pytest.mark.sampled("a write since a checkpoint")

RENAMED = "ALTER TABLE people RENAME name TO title"
MAPPED = """
UPDATE whimbrel.checkpoint
SET mappings = '[{"table": "public.people", "old": "name", "new": "title"}]'
"""
RECORD = "UPDATE whimbrel.checkpoint SET on_conflict = 'Record'"
HOLD = "UPDATE whimbrel.checkpoint SET on_conflict = 'Hold'"


@pytest.fixture
def place(any_database):
    with station(any_database) as opened:
        opened.database.run(TABLE)
        yield opened


def held(place):
    with pytest.raises(HeldError) as error:
        place.restore()
    assert error.value.reason == "CheckpointConflicts"
    return error.value.message


@pytest.mark.parametrize("wish", [HOLD, RECORD], ids=["still to hold", "to be recorded"])
def test_what_is_mapped_later_is_where_it_belongs(place, wish):
    begin(place, RENAMED, on_conflict="Hold")
    run = place.database.run
    run("UPDATE people SET title = 'mine', age = 5 WHERE id = 1")
    run("INSERT INTO people (id, part, title) VALUES (30, 'x', 'new')")
    assert held(place).startswith("2 value(s)")
    told = place.conflicts()
    assert sorted((column, value) for _, _, column, value in told) == [
        ("title", "mine"),
        ("title", "new"),
    ]
    assert held(place).startswith("2 value(s)")
    assert len(place.conflicts()) == 2, "of the last try alone"
    run(f"{MAPPED}; {wish}; UPDATE people SET title = 'later' WHERE id = 2")
    assert place.restore().conflicts == 0
    assert rows(place, "name, age", "id IN (1, 2, 30)") == [("mine", 5), ("later", 18), ("new", 18)]
    assert place.conflicts() == []


def test_what_no_name_maps_is_recorded_once_where_it_may_be(place):
    begin(place, "ALTER TABLE people ADD score numeric", on_conflict="Hold")
    run = place.database.run
    run("UPDATE people SET score = 12345678901234567890.123, name = 'n' WHERE id = 1")
    held(place)
    shown = "SELECT value::text FROM whimbrel.checkpoint_conflict"
    assert run(shown) == [("12345678901234567890.123",)], "as it was written, to the last digit"
    run(RECORD)
    assert place.restore().conflicts == 1
    assert run(shown) == [("12345678901234567890.123",)]
    assert rows(place, "name") == [("n",)]


def test_conflicts_of_a_round_that_stays_are_there_whatever_is_wished_later(place):
    """Recorded as it was wished then: what was replayed is not read again."""
    begin(place, "ALTER TABLE people ADD score int")
    run = place.database.run
    run("UPDATE people SET score = 1 WHERE id = 1")
    with pytest.raises(TransientError):
        place.restore(cut_off)
    run(HOLD)
    run("UPDATE people SET score = 2 WHERE id = 2")
    for _ in range(2):
        assert held(place).startswith("2 value(s)")
        assert [value for *_, value in place.conflicts()] == [1, 2]
    run(RECORD)
    assert place.restore().conflicts == 2
    assert [value for *_, value in place.conflicts()] == [1, 2]


def test_a_write_in_the_moment_of_the_exchange_holds_it_and_is_shown(place):
    """Two tries before it are alike, so that the last guard is that of the exchange."""
    begin(place, "ALTER TABLE people ADD score int", on_conflict="Hold")
    calls = []
    for _ in range(2):
        calls.clear()
        with again(place, guard=calls.append) as counted, pytest.raises(TransientError):
            counted.restore(cut_off)
    last = len(calls)
    calls.clear()

    def write_at_the_last(session):
        calls.append(session)
        if len(calls) == last:
            place.database.run("UPDATE people SET score = 3 WHERE id = 3")

    with again(place, guard=write_at_the_last) as late:
        held(late)
    assert [value for *_, value in place.conflicts()] == [3]
    assert rows(place, "score", "id = 3") == [(3,)]
