"""What differs between two shapes of the catalogue, and what is not known."""

import itertools

import pytest

from whimbrel.planning.shape import (
    Shape,
    changed,
    differ,
    left_behind,
    named,
    not_as_before,
    reordered,
    shape_of,
    touched,
)

USERS = [
    ("relation", "public.users", "r|owner"),
    ("column", "public.users", "id|bigint"),
    ("column", "public.users", "email|text"),
    ("order", "public.users", "{id,email}"),
    ("function", "public.f", "select 1"),
]


def shape(*lines: tuple[str, str, str], version: str = "12345678/16") -> Shape:
    return shape_of(version, lines, frozenset({"django_migrations"}))


BEFORE = shape(*USERS)


def with_line(kind: str, name: str, text: str = "x") -> Shape:
    return shape(*USERS, (kind, name, text))


@pytest.mark.parametrize(
    ("after", "told"),
    [
        pytest.param(BEFORE, "", id="nothing"),
        pytest.param(shape(*reversed(USERS)), "", id="other order of lines"),
        pytest.param(
            with_line("index", "public.users"), "public.users (index)", id="kind of line"
        ),
        pytest.param(
            with_line("relation", "public.t"), "public.t (new)", id="something new"
        ),
        pytest.param(
            shape(*USERS[:4]), "public.f (gone)", id="something gone"
        ),
        pytest.param(
            shape(*USERS[:3], ("order", "public.users", "{email,id}"), USERS[4]), "",
            id="order of columns",
        ),
        pytest.param(
            shape(*USERS, ("column", "public.users", "z"), version="87654321/16"), "",
            id="another question: not known",
        ),
        pytest.param(with_line("column", "public.django_migrations"), "", id="books of a tool"),
    ],
)  # fmt: skip
def test_what_has_changed_is_named(after: Shape, told: str):
    assert changed(BEFORE, after) == told


def test_many_names_are_counted():
    after = shape(*USERS, *(("relation", f"public.t{n}", "x") for n in range(7)))
    assert changed(BEFORE, after).endswith("public.t4 (new) and 2 more")


def test_of_very_many_relations_only_the_whole_is_kept():
    many = [("relation", f"public.t{n}", "x") for n in range(5_001)]
    before, after = shape(*many), shape(*many, ("relation", "public.u", "x"))
    assert before.parts == {}
    assert (changed(before, before), bool(changed(before, after))) == ("", True)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("1/16:a", "1/16:a", False),
        ("1/16:a", "1/16:b", True),
        ("1/16:a", "2/16:b", False),
        ("1/16:a", "1/17:b", False),
        ("1/16:a", "", False),
        ("a", "1/16:b", False),
    ],
)
def test_fingerprints_of_two_versions_say_nothing(before: str, after: str, expected: bool):
    assert differ(before, after) is expected


def test_the_order_of_columns_counts_for_one_start_only():
    other = shape(*USERS[:3], ("order", "public.users", "{email,id}"), USERS[4])
    assert differ(BEFORE.fingerprint, other.fingerprint)
    assert touched(BEFORE.parts, other.parts) == {}


def test_of_several_starts_the_first_one_knows_what_was_before():
    start, middle = {"t": {"column": "1"}}, {"t": {"column": "2"}, "u": {}}
    assert not_as_before([start, middle], {"t": {"column": "1"}}) == {}
    left = not_as_before([start, middle], {"t": {"column": "2"}, "u": {"column": "3"}})
    assert named(left, {"t": {"column": "2"}, "u": {"column": "3"}}) == "t (column), u (new)"


EMAIL_FIRST = (*USERS[:3], ("order", "public.users", "{email,id}"), USERS[4])
MORE = (("column", "public.users", "age|int"), ("order", "public.users", "{id,email,age}"))
WITH_MORE = (*USERS[:3], MORE[0], MORE[1], USERS[4])
WITH_NEW = (*USERS, ("relation", "public.t", "r"), ("order", "public.t", "{n}"))
RENAMED = [(kind, name.replace("users", "people"), text) for kind, name, text in USERS]


@pytest.mark.parametrize(
    ("middle", "after", "told"),
    [
        pytest.param(WITH_MORE, USERS, ("", ""), id="a column more, and back"),
        pytest.param(EMAIL_FIRST, EMAIL_FIRST, ("", "public.users"), id="order alone, left"),
        pytest.param(EMAIL_FIRST, USERS, ("", ""), id="order alone, and back"),
        pytest.param(WITH_NEW, USERS, ("", ""), id="a new table, and gone"),
        pytest.param(WITH_NEW, WITH_NEW, ("public.t (new)", ""), id="a new table, left"),
        pytest.param(WITH_MORE, WITH_MORE, ("public.users (column)", ""), id="a column more, left"),
        pytest.param(RENAMED, USERS, ("", ""), id="another name, and back"),
        pytest.param(USERS[4:], EMAIL_FIRST, ("", "public.users"), id="dropped, and made again"),
    ],
)
def test_the_order_of_columns_is_told_where_all_else_is_as_before(middle, after, told):
    times = [BEFORE, shape(*middle), shape(*after)]
    were = [
        (touched(one.parts, two.parts), reordered(one.orders, two.orders))
        for one, two in itertools.pairwise(times)
    ]
    assert left_behind(were, times[-1]) == told
    # Notes of earlier runs know no order: nothing is said of it.
    assert left_behind([(parts, {}) for parts, _ in were], times[-1]) == (told[0], "")
