"""Policies and rules of covered tables that ask other covered ones, and those that may not."""

import pytest

from tests.db.checkpoint_desk import station
from tests.db.test_checkpoint_restore import COVERED, HARM, SHOP, everything
from whimbrel.model.errors import RefusedError
from whimbrel.runner.checkpoint.discard import discard

ASKING = """
ALTER TABLE users ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_org ON users USING (EXISTS (SELECT FROM orgs o WHERE o.id = org AND o.name > ''));
CREATE POLICY of_boss ON orgs
    USING (boss IN (SELECT id FROM users) AND name IN (SELECT org FROM all_names));
COMMENT ON POLICY of_org ON users IS 'asks';
CREATE RULE told AS ON UPDATE TO orgs WHERE NEW.name = 'none'
    DO ALSO DELETE FROM users WHERE org = OLD.id;
COMMENT ON RULE told ON orgs IS 'writes';
"""
TOUCHED = """
DROP POLICY of_org ON users;
CREATE POLICY other ON users USING (id IN (SELECT boss FROM orgs));
CREATE RULE twice AS ON DELETE TO users DO ALSO UPDATE orgs SET boss = NULL WHERE boss = OLD.id;
UPDATE users SET name = 'wrong'"""
GONE = ("DROP TABLE users CASCADE", "DROP TABLE orgs CASCADE")


@pytest.fixture
def place(any_database):
    any_database.run(SHOP)
    with station(any_database) as opened:
        yield opened


@pytest.mark.parametrize("migration", [HARM, TOUCHED, *GONE], ids=["harm", "touched", "t", "p"])
def test_policies_and_rules_ask_other_covered_tables(place, migration):
    place.database.run(ASKING)
    before = everything(place)
    place.open(*COVERED)
    place.migrate(migration)
    place.restore()
    assert everything(place) == before
    discard(place.now(), place.desk)
    assert everything(place) == before


@pytest.mark.parametrize(
    ("table", "asks"),
    [
        ("notes", "USING (who IN (SELECT id FROM users))"),
        ("users", "USING (org IN (SELECT org FROM totals))"),
    ],
)
def test_what_asks_from_outside_or_asks_rows_of_a_view_is_refused(place, table, asks):
    place.database.run(f"CREATE POLICY p ON {table} {asks}")
    with pytest.raises(
        RefusedError, match=rf"policy p on table public\.{table} depends"
    ) as refused:
        place.open(*COVERED)
    assert refused.value.reason == "TableNotCovered"
