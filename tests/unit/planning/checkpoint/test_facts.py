"""Which views must go, which come later, which foreign keys there are."""

import pytest

from whimbrel.planning.checkpoint.facts import (
    foreign_keys,
    is_checked,
    is_late,
    merged_views,
    place_of,
    stale_views,
)


def view(name, *reads, kind="v", columns=("id",), depth=1, **facts):
    table = {"schema": "app", "name": name, "kind": kind, "depth": depth, **facts}
    table["reads"] = [["app", each] for each in reads]
    shape = [{"name": each, "type": "int", "collation": None} for each in columns]
    return {"table": table, "columns": shape}


def names(views):
    return [place_of(each)[1] for each in views]


@pytest.mark.parametrize(
    ("live", "gone"),
    [
        pytest.param([view("a"), view("b", "a")], [], id="unchanged: all may stay"),
        pytest.param([view("a"), view("new", "a")], ["new"], id="made by the migration: goes"),
        pytest.param(
            [view("a", columns=("id", "more")), view("b", "a")],
            ["b", "a"],
            id="another shape: goes, after what reads it",
        ),
        pytest.param([view("a", kind="m")], ["a"], id="another kind: goes"),
        pytest.param([view("a", is_other=True)], ["a"], id="reads something else: goes"),
        pytest.param([view("m", kind="m", columns=("x",))], [], id="has rows: is read until later"),
    ],
)
def test_stale_views(live, gone):
    then = [view("a"), view("b", "a"), view("m", kind="m")]
    assert names(stale_views(then, live)) == gone


def test_what_reads_a_view_with_rows_is_late_as_well():
    views = [view("a"), view("m", "a", kind="m"), view("b", "m"), view("c", "b"), view("d", "a")]
    assert names(each for each in views if is_late(each, views)) == ["m", "b", "c"]


def test_views_of_several_tables_are_merged_in_the_order_of_reading():
    merged = merged_views([[view("x"), view("y", "x", depth=2)], [view("y", depth=1)]])
    assert names(merged) == ["x", "y"]


def test_foreign_key_between_two_tables_is_one():
    key = {"schema": "app", "table": "orders", "name": "buyer", "kind": "f"}
    check = {"schema": "app", "table": "orders", "name": "positive", "kind": "c"}
    tables = [
        {"constraints": [key, check], "inbound": []},
        {"constraints": [], "inbound": [key]},
    ]
    assert foreign_keys(tables) == [key]


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("FOREIGN KEY (a) REFERENCES b(id)", True),
        ("FOREIGN KEY (a) REFERENCES b(id) NOT VALID", False),
        ("FOREIGN KEY (a) REFERENCES b(id) NOT ENFORCED", False),
    ],
)
def test_foreign_key_is_checked(definition, expected):
    assert is_checked({"definition": definition}) is expected
