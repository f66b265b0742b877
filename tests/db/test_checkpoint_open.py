"""Opening and discarding a checkpoint, on each PostgreSQL: captured, copied, and nothing left."""

import pytest

from tests.db.checkpoints import Shop, a_desk, a_shop, journal, wanted
from whimbrel.runner.checkpoint.discard import discard
from whimbrel.runner.checkpoint.manifest import State, read_checkpoint, read_checkpoints
from whimbrel.runner.checkpoint.open import open_checkpoint


@pytest.fixture
def shop(any_database) -> Shop:
    return a_shop(any_database)


def test_a_checkpoint_is_ready_with_equal_copies_and_a_journal_and_leaves_nothing(shop):
    before = shop.traces()
    with a_desk(shop.deploy) as desk:
        ready = open_checkpoint(wanted(shop, "users", "notes"), desk)
        assert (ready.state, [str(each) for each in ready.tables]) == (
            State.READY,
            ["app.notes", "app.users"],
        )
        assert [(each.rows, each.key) for each in ready.tables] == [
            (0, ("org", "line")),
            (500, ("id",)),
        ]
        clone = shop.owner.run(f"table whimbrel.{ready.tables[1].clone}")
        assert sorted(clone) == sorted(shop.owner.run("table app.users"))
        shop.app.run("update app.users set balance = 7.10, facts = '{\"x\":  1}' where id = 3")
        shop.app.run("insert into app.notes values (1, 2, null)")
        shop.app.run("delete from app.users where id = 4")
        shop.deploy.run("update app.users set name = 'migrated'")
        assert [(number, op) for number, op, *_ in journal(shop, ready)] == [
            (2, "U"),
            (1, "I"),
            (2, "D"),
        ]
        assert journal(shop, ready)[0][3] == (
            '{"id":3,"org":4,"name":"user 3","balance":7.10,"facts":{"x":  1},"shown":"USER 3"}'
        )
        assert open_checkpoint(wanted(shop, "users", "notes"), desk) == ready
        discard(ready, desk)
        discard(read_checkpoint(desk.ledger, "run-1"), desk)
        assert [each.state for each in read_checkpoints(desk.ledger)] == [State.CLOSED]
    assert shop.traces() == before
