"""Numbers that are drawn beside a restore of the whole database: none is given twice."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.checkpoint_shop import admin, application, until
from tests.drawing import Drawing, drawing
from tests.dump_runs import ACCEPTED, ON_EACH, WAITS, Shop, opened
from tests.postgres import Postgres

pytestmark = pytest.mark.sampled("a dump as the way back")

BUY = "INSERT INTO orders DEFAULT VALUES RETURNING id"
DRAW = "SELECT nextval('numbers')"
DOWN = """
CREATE SEQUENCE down INCREMENT -2;
CREATE SEQUENCE once_up MAXVALUE 100;
SELECT nextval('down'), nextval('once_up');
"""


@contextmanager
def drawn(shop: Shop, statement: str) -> Iterator[Drawing]:
    """Let an application draw numbers all the while that the given restore is held up."""
    app = application(shop.database, "orders")
    shop.database.run(f"GRANT USAGE ON SEQUENCE orders_id_seq, numbers TO {app.user}")
    assert shop.run()["outcome"] == "Done"
    with drawing(app, statement) as numbers:
        yield numbers
        numbers.wait()


@ON_EACH
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        pytest.param(BUY, set(), id="for a row"),
        # The sequence that it waited for is gone, and there is another one of that name.
        pytest.param(DRAW, {"XX000"}, id="by nextval"),
    ],
)
def test_a_number_that_is_drawn_while_the_restore_waits_is_not_drawn_again(
    any_database: Postgres, tmp_path: Path, statement: str, told: set[str]
):
    shop = opened(any_database, tmp_path, {}, spec=(ACCEPTED,))
    with drawn(shop, statement) as numbers:
        with shop.database.connect() as reader, reader.transaction():
            reader.execute("SELECT count(*) FROM beside")
            running = shop.start(2, "Rollback")
            until(lambda: admin(shop.database).run(WAITS) == [(1,)])
            numbers.wait()
        back = running.finish().result
    assert back["outcome"] == "RolledBack", back["message"]
    assert numbers.twice() == []
    assert set(numbers.errors) <= told


def test_a_sequence_that_goes_down_does_not_go_back_up(database: Postgres, tmp_path: Path):
    database.run(DOWN)
    shop = opened(database, tmp_path, {}, spec=(ACCEPTED,))
    assert shop.run()["outcome"] == "Done"
    assert database.run("SELECT nextval('down') FROM generate_series(1, 3)") == [
        (-3,), (-5,), (-7,)
    ]  # fmt: skip
    back = shop.run(2, "Rollback")
    assert back["outcome"] == "RolledBack", back["message"]
    assert database.run("SELECT nextval('down')") == [(-9,)]
    shop.expect_as_before()


def test_a_number_that_the_old_sequence_has_no_room_for_leaves_it_used_up(
    database: Postgres, tmp_path: Path
):
    database.run(DOWN)
    shop = opened(database, tmp_path, {}, spec=(ACCEPTED,))
    assert shop.run()["outcome"] == "Done"
    database.run("ALTER SEQUENCE once_up MAXVALUE 500 RESTART 200; SELECT nextval('once_up')")
    back = shop.run(2, "Rollback")
    assert back["outcome"] == "RolledBack", back["message"]
    assert database.run("SELECT last_value, is_called FROM once_up") == [(100, True)]
