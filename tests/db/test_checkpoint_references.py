"""What foreign keys would have done is done in a restore, and rows that refer to none are told."""

import pytest

from tests.db.checkpoint_desk import station
from whimbrel.model.errors import HeldError


@pytest.fixture
def place(any_database):
    with station(any_database) as opened:
        yield opened


FAMILY = """
CREATE TABLE parents (id int PRIMARY KEY, code text UNIQUE);
CREATE TABLE children (id int PRIMARY KEY, dad int REFERENCES parents ON DELETE CASCADE
  ON UPDATE CASCADE, mum int REFERENCES parents ON DELETE SET NULL,
  code text DEFAULT 'c9' REFERENCES parents (code) ON DELETE SET DEFAULT ON UPDATE CASCADE);
CREATE TABLE toys (id int PRIMARY KEY, who int NOT NULL REFERENCES children ON DELETE CASCADE);
INSERT INTO parents SELECT i, 'c' || i FROM generate_series(1, 9) i;
INSERT INTO children SELECT i, i, 1 + i % 9, 'c' || i FROM generate_series(1, 8) i;
INSERT INTO toys SELECT i, 1 + i % 8 FROM generate_series(1, 16) i;
"""


def family(place, **options):
    place.database.run(FAMILY)
    place.open(("public", "parents"), **options)


def test_foreign_keys_do_what_they_would_have_done(place):
    family(place)
    place.migrate("DELETE FROM toys; DELETE FROM children")
    run = place.database.run
    run("DELETE FROM parents WHERE id = 1")
    run("UPDATE parents SET id = 20 WHERE id = 2")
    run("UPDATE parents SET code = 'new' WHERE id = 3")
    place.restore()
    assert run(
        "SELECT id, dad, mum, code FROM children WHERE id < 5 OR mum IS NULL ORDER BY id"
    ) == [
        (2, 20, 3, "c2"),
        (3, 3, 4, "new"),
        (4, 4, 5, "c4"),
    ]
    assert run("SELECT count(*) FROM toys") == [(14,)]
    assert place.conflicts() == []


def test_parent_that_went_and_came_back_takes_its_children_with_it(place):
    family(place)
    place.migrate("DELETE FROM toys; DELETE FROM children WHERE id <> 4")
    run = place.database.run
    run("UPDATE children SET mum = NULL WHERE id = 4")
    run("DELETE FROM parents WHERE id IN (1, 2)")
    run("INSERT INTO parents VALUES (1, 'c1'), (2, 'c2')")
    run("INSERT INTO children VALUES (2, 2, 1, 'c2')")
    for old, new in ((5, 200), (6, 5), (200, 6)):
        run(f"UPDATE parents SET id = {new} WHERE id = {old}")
    place.restore()
    assert run("SELECT * FROM children WHERE id < 7 ORDER BY id") == [
        (2, 2, 1, "c2"),
        (3, 3, 4, "c3"),
        (4, 4, None, "c4"),
        (5, 6, 6, "c5"),
        (6, 5, 7, "c6"),
    ]
    assert run("SELECT id FROM toys WHERE who = 1") == []
    # The migration, too, had made room for the new child: the old one is told of.
    old = {"id": 2, "dad": 2, "mum": 3, "code": "c2"}
    assert place.conflicts() == [("ReplacedRow", {"id": 2}, "", old)]


def test_child_of_a_row_that_the_migration_made_is_recorded_with_its_own(place):
    family(place)
    place.migrate("INSERT INTO parents VALUES (900, 'made')")
    run = place.database.run
    run("INSERT INTO children (id, dad, code) VALUES (50, 900, 'c4'), (51, 4, 'made')")
    run("INSERT INTO toys VALUES (60, 50), (61, 3)")
    done = place.restore()
    assert run("SELECT count(*) FROM children") == [(8,)]
    assert run("SELECT id FROM toys WHERE id > 50") == [(61,)]
    found = sorted((kind, key["id"], value["id"]) for kind, key, _, value in place.conflicts())
    assert found == [("NoParent", 50, 50), ("NoParent", 51, 51), ("NoParent", 60, 60)]
    assert done.conflicts == 3


def test_child_without_parent_holds_where_conflicts_do(place):
    family(place, on_conflict="Hold")
    place.migrate("INSERT INTO parents VALUES (900, 'made')")
    place.database.run("INSERT INTO children (id, dad) VALUES (50, 900)")
    with pytest.raises(HeldError) as held:
        place.restore()
    assert held.value.reason == "CheckpointConflicts"
    assert place.database.run("SELECT dad FROM children WHERE id = 50") == [(900,)]
    assert [(kind, key["id"]) for kind, key, _, _ in place.conflicts()] == [("NoParent", 50)]
    place.database.run("UPDATE children SET dad = 4 WHERE id = 50")
    place.restore()
    assert place.database.run("SELECT dad FROM children WHERE id = 50") == [(4,)]
    assert place.conflicts() == []
