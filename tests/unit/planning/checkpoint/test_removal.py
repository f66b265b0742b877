"""What a migration added goes in an order in which nothing hangs on what goes."""

import pytest

from whimbrel.model.steps import CatalogObject
from whimbrel.planning.checkpoint.removal import DROPPABLE, MOVABLE, drop, move


@pytest.mark.parametrize(
    ("each", "statement"),
    [
        (CatalogObject("table", "public", "a b"), 'DROP TABLE IF EXISTS "public"."a b" RESTRICT'),
        (CatalogObject("schema", "", "side"), 'DROP SCHEMA IF EXISTS "side" RESTRICT'),
        (
            CatalogObject("function", "s", "f", "a integer, b text"),
            'DROP FUNCTION IF EXISTS "s"."f"(a integer, b text) RESTRICT',
        ),
        (
            CatalogObject("materialized view", "s", "m"),
            'DROP MATERIALIZED VIEW IF EXISTS "s"."m" RESTRICT',
        ),
    ],
)
def test_it_is_dropped_where_nothing_hangs_on_it(each: CatalogObject, statement: str):
    assert drop(each) == statement


def test_or_it_is_taken_away_with_what_it_holds():
    each = CatalogObject("function", "s", "f", "integer")
    assert move(each, "whimbrel", "kept_1") == (
        'ALTER FUNCTION "s"."f"(integer) SET SCHEMA "whimbrel"',
        'ALTER FUNCTION "whimbrel"."f"(integer) RENAME TO "kept_1"',
    )


def test_tables_go_before_the_types_of_their_columns_and_schemas_last():
    order = list(DROPPABLE)
    assert order.index("table") < order.index("type") < order.index("schema")
    assert set(MOVABLE) == set(order) - {"extension", "schema"}
